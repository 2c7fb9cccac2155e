"""Callbacks that follow events of napari, and are disconnected together."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any
from weakref import WeakMethod


class Subscriptions:
    """Connects callbacks to emitters of napari's events, and disconnects all of them at once.

    The viewer and its layers outlive a panel that is closed, so whatever follows them must be
    disconnected. Signals of Qt need none of this: they end with either of their objects.

    Bound methods are referred to weakly, as napari does, so that this keeps nothing alive that
    owns it.

    Examples
    --------
    >>> from napari.utils.events import EventEmitter
    >>> changed, seen = EventEmitter(type_name="changed"), []
    >>> def note(event):
    ...     seen.append(event.type)
    >>> subscriptions = Subscriptions()
    >>> subscriptions.connect(note, changed)
    >>> _ = changed()
    >>> subscriptions.release()
    >>> _ = changed()
    >>> seen
    ['changed']
    """

    def __init__(self) -> None:
        self._ends: list[tuple[Callable[[Any], object], Callable[[], Any]]] = []

    def connect(self, callback: Callable[..., object], *emitters: Any) -> None:
        """Connect a callback to emitters of events.

        Parameters
        ----------
        callback : callable
            Called with the event, or without if it takes no argument.
        *emitters : EventEmitter
            Such as ``layer.events.data``.
        """
        for emitter in emitters:
            emitter.connect(callback)
            self._ends.append((emitter.disconnect, _reference(callback)))

    def append(self, callback: Callable[..., object], callbacks: list[Any]) -> None:
        """Append a callback to a list of callbacks, such as ``viewer.mouse_drag_callbacks``.

        Parameters
        ----------
        callback : callable
            As napari expects it in that list.
        callbacks : list of callable
            Is changed in place; whoever removes the callback from it may do so.
        """
        callbacks.append(callback)

        def remove(listed: Any) -> None:
            if listed in callbacks:
                callbacks.remove(listed)

        self._ends.append((remove, _reference(callback)))

    def release(self) -> None:
        """Disconnect everything; a callback that is disconnected already is no error."""
        ends, self._ends = self._ends, []
        for disconnect, reference in ends:
            callback = reference()
            if callback is not None:  # napari would disconnect all callbacks there are
                disconnect(callback)


def _reference(callback: Callable[..., object]) -> Callable[[], Any]:
    """Return a function that returns the callback, or None where its object is gone."""
    return WeakMethod(callback) if inspect.ismethod(callback) else lambda: callback

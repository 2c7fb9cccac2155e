"""Refines the part of a result that is in view, whenever the settings or the view change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari import Viewer
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unet.display import count
from napari_unet.postprocessing.options import RefineOptions
from napari_unet.widgets.predict.refine_layer import LayerLook, RefinedLayer, RefineSession
from napari_unet.widgets.qt.event_thread import EventRunner, LatestOnly
from napari_unet.widgets.qt.subscriptions import Subscriptions

WAIT_MS = 100
"""Time in milliseconds to wait for further changes of settings or view."""


@dataclass(frozen=True)
class _Asked:
    """What was computed last, or is being computed."""

    target: RefinedLayer
    options: RefineOptions
    look: LayerLook


class RefinePreview(QObject):
    """Shows in the layer of a result what the settings do to the part that is in view.

    It computes in a thread, and only the latest settings and view. Where the settings are those
    that were applied already, the preview is removed.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layer is.
    options : callable
        Returns the settings; None where nothing is to be previewed now.
    parent : QObject
        Its Qt parent, which deletes it.

    Attributes
    ----------
    shown : Signal(str)
        There is a preview; a sentence about it.
    removed : Signal()
        There is no preview any more.
    layerChanged : Signal()
        From now on another layer is written into.
    runner : EventRunner
        The thread that computes.
    """

    shown = Signal(str)
    removed = Signal()
    layerChanged = Signal()  # noqa: N815 - Qt's way of naming

    def __init__(
        self, viewer: Viewer, options: Callable[[], RefineOptions | None], parent: QObject
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._options = options
        self._session: RefineSession | None = None
        self._asked: _Asked | None = None
        self._options_changed = False
        self.runner = EventRunner(self)
        self._latest = LatestOnly(self.runner)
        self._latest.due.connect(self._compute)
        self.runner.happened.connect(self._show)
        self._subscriptions = Subscriptions()
        # One timer for both: a change of the settings starts it again, a move of the view does
        # not.
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(WAIT_MS)
        self._timer.timeout.connect(self._update)

    def follow(self, session: RefineSession) -> None:
        """Preview a result, wherever the user looks."""
        self.end()
        self._session = session
        dims, camera = self._viewer.dims.events, self._viewer.scene.camera.events
        self._subscriptions.connect(
            self.update_soon,
            dims.current_step,
            dims.ndisplay,
            dims.order,
            camera.center,
            camera.zoom,
        )

    def end(self) -> None:
        """Preview no result any more; what is shown stays."""
        self.cancel()
        self._subscriptions.release()
        self._session = None

    def cancel(self) -> None:
        """Drop what is being computed or waits for it."""
        self._timer.stop()
        self._latest.cancel()
        self._asked = None
        self._options_changed = False

    def options_changed(self) -> None:
        """Preview other settings, when they have not changed for a moment.

        Where the user has painted on the layer, this makes a new one.
        """
        self._options_changed = True
        self._timer.start()

    def update_soon(self, event: Any = None) -> None:  # noqa: ARG002 - napari passes it
        """Preview what is in view, in a moment."""
        if not self._timer.isActive():
            self._timer.start()

    def _update(self) -> None:
        session, options = self._session, self._options()
        if session is None or options is None:
            return
        if options == session.applied:
            self._asked = None
            session.target.take_back()
            self.removed.emit()
        else:
            self._latest.request()

    def _compute(self) -> None:
        session, options = self._session, self._options()
        if session is None or options is None or options == session.applied:
            return
        before = session.target
        target = session.writable(new=self._options_changed)
        look = None if target is None else session.look(options)
        self._options_changed = False
        if session.target is not before:
            self.layerChanged.emit()
        if target is None or look is None or options == session.applied:
            return
        asked = _Asked(target, options, look)
        if asked != self._asked:
            self._asked = asked
            self._start(session, asked)

    def _start(self, session: RefineSession, asked: _Asked) -> None:
        from napari_unet.postprocessing.refine import refine

        part = session.result.probabilities[(slice(None), *asked.look.read)]
        arguments = session.result.arguments(asked.options)
        self.runner.start_call(lambda: refine(part, **arguments)[asked.look.inside])

    def _show(self, labels: NDArray[Any]) -> None:
        """Show what was computed, unless it is out of date."""
        session, asked = self._session, self._asked
        if session is None or asked is None or asked.target is not session.target:
            return
        if asked.target.edited or asked.look != session.look(asked.options):
            return
        asked.target.show(asked.look.shown, labels, objects=asked.options.output == "objects")
        what = "Preview of what is in view" if asked.look.whole else "Preview of the middle"
        objects = int(np.count_nonzero(np.unique(labels)))
        self.shown.emit(sentence(what, objects, asked.options))


def sentence(what: str, objects: int, options: RefineOptions) -> str:
    """Return a sentence on what is shown, and where these are objects, how many there are.

    Parameters
    ----------
    what : str
        What is shown.
    objects : int
        The number of objects.
    options : RefineOptions
        Tell whether there are objects, or classes.
    """
    return f"{what}." if options.output == "classes" else f"{what}: {count(objects, 'object')}."

"""The bridge: runs an iterator of events in a thread and tells a panel what happens.

It is a plain thread and Qt signals, and not superqt's ``GeneratorWorker``, for that one has three
traps. A generator that raises ``RuntimeError`` (as torch does when memory runs out) emits neither
``errored`` nor ``finished``, and a panel would wait for ever. ``worker.quit()`` leaves a generator
suspended, so that its ``finally`` runs later, in the GUI's thread. And while it works it replaces
``warnings.showwarning`` for the whole program, for ever if two workers overlap.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from threading import Lock, Thread
from weakref import finalize

from qtpy.compat import isalive
from qtpy.QtCore import QObject, Signal

from napari_unet.control import Control, Question, Viewport
from napari_unet.errors import NapariUnetError

Events = Callable[[Control], Iterable[object]]

GRACE = 1.0
"""Seconds that a closing panel waits for its thread."""

_log = logging.getLogger(__name__)


class UnexpectedError(NapariUnetError):
    """Something failed that nobody foresaw; its cause is chained, and in the log."""


def as_ours(error: Exception) -> NapariUnetError:
    """Return an error that can be shown: ours as it is, any other one wrapped."""
    if isinstance(error, NapariUnetError):
        return error
    text = (str(error).splitlines() or [""])[0]
    ours = UnexpectedError(
        "Something went wrong that we did not foresee",
        got=f"{type(error).__name__}: {text}" if text else type(error).__name__,
        todo="The details are in the terminal",
    )
    ours.__cause__ = error
    return ours


class EventRunner(QObject):
    """Runs one iterator of events at a time, in a thread of its own.

    The thread is stopped, and shortly waited for, when this object is destroyed or the program
    ends: whoever closes the window that holds it need not think of it.

    Parameters
    ----------
    parent : QObject
        What it belongs to, and dies with.

    Attributes
    ----------
    happened : Signal(object)
        One thing that the iterator yielded.
    failed : Signal(object)
        The iterator raised; a `NapariUnetError`.
    ended : Signal()
        It is over, however it ended, and its thread has ended. Always the last signal of a run.
    """

    happened = Signal(object)
    failed = Signal(object)
    ended = Signal()
    _over = Signal(object)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._slot = _Slot()
        # A signal from a thread reaches each of its receivers by itself, and others may come in
        # between: so one receiver alone, which then tells all in one go.
        self._over.connect(self._end)
        # Whichever comes first: the end of this object, or of the program.
        finalize(self, self._slot.clear)
        self.destroyed.connect(self._slot.clear)

    def start(self, events: Events) -> None:
        """Begin; `events` is called in the thread, with the control that it shall poll."""
        if self._slot.run is not None:
            raise UnexpectedError("This is running already")
        self._slot.run = _Run(events, self._tell)
        self._slot.run.start()

    def start_call(self, function: Callable[[], object]) -> None:
        """Begin a function; what it returns becomes the only event."""

        def events(_: Control) -> Iterator[object]:
            yield function()

        self.start(events)

    @property
    def running(self) -> bool:
        """Whether something runs, up to and including its last signal."""
        return self._slot.run is not None

    @property
    def paused(self) -> bool:
        """Whether what runs was asked to wait."""
        return self._control.paused

    @property
    def stopping(self) -> bool:
        """Whether what runs was asked to end early."""
        return self._control.stopped

    def stop(self) -> None:
        """Ask what runs to end early; its last events still arrive."""
        self._control.stop()

    def pause(self) -> None:
        """Ask what runs to wait."""
        self._control.pause()

    def resume(self) -> None:
        """Let what runs go on."""
        self._control.resume()

    def ask(self, question: Question) -> None:
        """Ask what runs something; the answer comes among what happens."""
        self._control.ask(question)

    def look(self, view: Viewport | None) -> None:
        """Ask what runs for previews of something; None for none."""
        self._control.look(view)

    def abandon(self) -> None:
        """Stop what runs, hear no more of it, and wait for it shortly."""
        self._slot.clear()

    @property
    def _control(self) -> Control:
        return Control() if self._slot.run is None else self._slot.run.control

    def _tell(self, kind: str, *payload: object) -> None:
        """Emit a signal (called in the thread; Qt carries it over to the GUI's)."""
        try:
            getattr(self, kind).emit(*payload)
        except RuntimeError:
            # Qt deletes its half of this object a moment before `destroyed` reaches us.
            if isalive(self):
                raise

    def _end(self, run: _Run) -> None:
        if self._slot.run is not run:  # it was abandoned while this was on its way
            return
        run.join(GRACE)  # this was the last that it had to do
        self._slot.run = None
        self.ended.emit()


class LatestOnly(QObject):
    """Lets a runner answer only the latest request.

    A request that comes while the runner is busy waits; of several the last one counts, for
    whoever answers `due` reads the settings of that moment.

    Parameters
    ----------
    runner : EventRunner
        Runs what is begun upon `due`. It is the parent of this object.

    Attributes
    ----------
    due : Signal()
        The runner is free and something was requested: begin now.
    """

    due = Signal()

    def __init__(self, runner: EventRunner) -> None:
        super().__init__(runner)
        self._runner = runner
        self._requested = False
        runner.ended.connect(self._ended)

    def request(self) -> None:
        """Emit `due` at once, or, while the runner is busy, when that has ended."""
        if self._runner.running:
            self._requested = True
        else:
            self.due.emit()

    def cancel(self) -> None:
        """Forget a request that waits."""
        self._requested = False

    def _ended(self) -> None:
        if self._requested:
            self._requested = False
            self.due.emit()


class _Slot:
    """Holds what a runner runs, and outlives the runner."""

    def __init__(self) -> None:
        self.run: _Run | None = None

    def clear(self, *_: object) -> None:
        """Stop what runs, let nothing more be heard of it, and wait for it shortly."""
        run, self.run = self.run, None
        if run is not None:
            run.cut()
            run.join(GRACE)


class _Run:
    """One thread at work. Cut off, it knows nothing of Qt any more, and ends at its next event."""

    def __init__(self, events: Events, tell: Callable[..., None]) -> None:
        self.control = Control()
        self._tell: Callable[..., None] | None = tell
        self._lock = Lock()
        self._thread = Thread(target=self._work, args=(events,), name="napari-unet", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def cut(self) -> None:
        """Ask it to end, and let nothing of it be heard from now on."""
        self.control.stop()
        with self._lock:
            self._tell = None

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    def _work(self, events: Events) -> None:
        try:
            for event in events(self.control):
                self._say("happened", event)
        except Exception as error:  # noqa: BLE001 - whatever it is, the panel must hear of it
            ours = as_ours(error)
            if ours is not error:
                _log.error("%s", ours, exc_info=error)
            self._say("failed", ours)
        finally:
            self._say("_over", self)

    def _say(self, kind: str, *payload: object) -> None:
        with self._lock:
            if self._tell is not None:
                self._tell(kind, *payload)

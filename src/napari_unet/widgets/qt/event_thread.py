"""Runs an iterator of events in a thread, and emits what it yields as Qt signals.

It is a plain thread, and not superqt's ``GeneratorWorker``, for three reasons. There, a generator
that raises ``RuntimeError`` (as torch does when memory runs out) emits neither ``errored`` nor
``finished``, and a panel would wait for ever. ``worker.quit()`` leaves a generator suspended, so
that its ``finally`` runs later, in the thread of the GUI. And while a worker runs,
``warnings.showwarning`` is replaced for the whole program, for ever if two workers overlap.
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
"""Makes the iterator of events of a run; it polls the control for requests to pause or stop."""

GRACE = 1.0
"""Seconds that a panel waits for its thread when it is closed."""

_log = logging.getLogger(__name__)


class UnexpectedError(NapariUnetError):
    """An unexpected failure; the original exception is its cause, and in the log."""


def as_ours(error: Exception) -> NapariUnetError:
    """Return an error that can be shown: one of this package as it is, any other one wrapped."""
    if isinstance(error, NapariUnetError):
        return error
    text = (str(error).splitlines() or [""])[0]
    kind = type(error).__name__
    what = "A file could not be read or written" if isinstance(error, OSError) else "An error"
    ours = UnexpectedError(
        f"{what} ({kind}: {text})" if text else f"{what} ({kind})",
        todo="The details are in the terminal",
    )
    ours.__cause__ = error
    return ours


class EventRunner(QObject):
    """Runs one iterator of events at a time, in a thread of its own.

    The thread is stopped, and waited for at most `GRACE` seconds, when this object is destroyed
    or the program ends.

    Parameters
    ----------
    parent : QObject
        The Qt parent.

    Attributes
    ----------
    happened : Signal(object)
        An event that the iterator yielded.
    failed : Signal(object)
        The exception that the iterator raised, as a `NapariUnetError`.
    ended : Signal()
        The run and its thread have ended. Always the last signal of a run.
    """

    happened = Signal(object)
    failed = Signal(object)
    ended = Signal()
    _said = Signal(object, str, object)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._slot = _Slot()
        # A signal from another thread is delivered to each receiver as an event of its own, with
        # other events in between, and after its run was abandoned. So there is one receiver, which
        # drops what comes late, and emits all else to all receivers at once.
        self._said.connect(self._hear)
        # Whichever comes first: this object is deleted, or the program ends.
        finalize(self, self._slot.clear)
        self.destroyed.connect(self._slot.clear)

    def start(self, events: Events) -> None:
        """Start a run; `events` is called in the thread, with the control that it has to poll."""
        if self._slot.run is not None:
            raise UnexpectedError("This is running already")
        self._slot.run = _Run(events, self._tell)
        self._slot.run.start()

    def start_call(self, function: Callable[[], object]) -> None:
        """Start a run that calls a function, and whose only event is what that returns."""

        def events(_: Control) -> Iterator[object]:
            yield function()

        self.start(events)

    @property
    def running(self) -> bool:
        """Whether a run is under way; False from its signal `ended` on."""
        return self._slot.run is not None

    @property
    def paused(self) -> bool:
        """Whether the run was asked to pause."""
        return self._control.paused

    @property
    def stopping(self) -> bool:
        """Whether the run was asked to stop."""
        return self._control.stopped

    def stop(self) -> None:
        """Ask the run to end early; its last events are still emitted."""
        self._control.stop()

    def leave(self) -> None:
        """Ask the run to end because the panel does; a training can be gone on with later."""
        self._control.leave()

    def pause(self) -> None:
        """Ask the run to pause."""
        self._control.pause()

    def resume(self) -> None:
        """Let the run continue."""
        self._control.resume()

    def ask(self, question: Question) -> None:
        """Ask the run a question; the answer is one of its events."""
        self._control.ask(question)

    def look(self, view: Viewport | None) -> None:
        """Ask the run for previews of a part of an image; None for no previews."""
        self._control.look(view)

    def abandon(self) -> None:
        """Stop the run without further signals, and wait for it at most `GRACE` seconds."""
        self._slot.clear()

    @property
    def _control(self) -> Control:
        return Control() if self._slot.run is None else self._slot.run.control

    def _tell(self, run: _Run, kind: str, payload: object) -> None:
        """Emit the internal signal; called in the thread of the run, received in the GUI's."""
        try:
            self._said.emit(run, kind, payload)
        except RuntimeError:
            # Qt deletes its part of this object a moment before it emits `destroyed`.
            if isalive(self):
                raise

    def _hear(self, run: _Run, kind: str, payload: object) -> None:
        """Emit the signal that a run meant; kind is "happened", "failed" or "ended"."""
        if self._slot.run is not run:  # abandoned while the signal was under way
            return
        if kind == "ended":
            run.join(GRACE)  # emitting this signal was its last action
            self._slot.run = None
            self.ended.emit()
        else:
            getattr(self, kind).emit(payload)


class LatestOnly(QObject):
    """Starts a run per request; of requests during a run only the latest is answered, after it.

    Whoever is connected to `due` starts the run with the settings of that moment.

    Parameters
    ----------
    runner : EventRunner
        Executes the runs. It is the Qt parent of this object.

    Attributes
    ----------
    due : Signal()
        The runner is free, and a run was requested: start it now.
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
    """Holds the run of a runner, and outlives the runner."""

    def __init__(self) -> None:
        self.run: _Run | None = None

    def clear(self, *_: object) -> None:
        """Stop the run without further signals, and wait for it at most `GRACE` seconds."""
        run, self.run = self.run, None
        if run is not None:
            run.cut()
            run.join(GRACE)


class _Run:
    """A thread that iterates over events; after `cut` it emits nothing more, and ends soon."""

    def __init__(self, events: Events, tell: Callable[[_Run, str, object], None]) -> None:
        self.control = Control()
        self._tell: Callable[[_Run, str, object], None] | None = tell
        self._lock = Lock()
        self._thread = Thread(target=self._work, args=(events,), name="napari-unet", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def cut(self) -> None:
        """Ask it to end, and emit nothing from now on."""
        self.control.leave()
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
            self._say("ended")

    def _say(self, kind: str, payload: object = None) -> None:
        with self._lock:
            if self._tell is not None:
                self._tell(self, kind, payload)

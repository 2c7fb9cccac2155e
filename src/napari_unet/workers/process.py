"""Work is done by another process, behind the same iterator of events.

A thread would do, but for Python's lock: while a thread trains, the viewer waits for it many times
a second. Another process also gives all its memory back when it ends, the GPU's too, and can be
ended by force.
"""

from __future__ import annotations

import logging
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener
from threading import RLock, Thread, Timer
from typing import Any, Protocol
from weakref import finalize

from napari_unet.control import Control
from napari_unet.errors import TrainingError
from napari_unet.workers.messages import (
    ControlUpdate,
    JobEvent,
    JobFinished,
    PreviewRequest,
    ReadRequest,
    SharedObjects,
    Work,
    WriteRequest,
    dumps,
    loads,
)

POLL = 0.02
"""Seconds between two looks at the controls and the strokes."""

PATIENCE = 60.0
"""Seconds that a job which was asked to stop has for it."""

START = 120.0
"""Seconds that a child has to report for work: antivirus programs look at torch for long."""

GRACE = 2.0
"""Seconds that a killed process, and the threads that wait for it, have to be gone."""

IDLE = 60.0
"""Seconds after which a process that has worked makes way for a fresh one."""

CODE = "import sys; sys.path[:] = {path!r}; from napari_unet.workers.server import main; main()"

_log = logging.getLogger(__name__)


class Job(Protocol):
    """Something to do: plain values, and `Readable`, `Writable` and `AnnotationStore` objects."""

    def events(self, control: Control) -> Iterator[Any]:
        """Do it, and yield what happens; stop when the control says so."""


class Worker(Protocol):
    """Does jobs, one at a time."""

    def warm_up(self) -> None:
        """Get ready, for there will soon be something to do."""

    def run(self, job: Job, control: Control) -> Iterator[Any]:
        """Do a job; yield what happens."""

    def close(self) -> None:
        """End whatever is done."""


class SubprocessWorker:
    """Does its jobs in other processes, one for each that runs at the same time.

    A process is started ahead of time, for torch takes seconds to import. One that has done its
    job waits a while for another one, and then makes way for a fresh one, so that all memory that
    it took comes back.
    """

    def __init__(self) -> None:
        # Reentrant: a forgotten iterator may be collected, and give back its process, in a thread
        # that holds the lock.
        self._lock = RLock()
        self._spare: _Process | None = None
        self._busy: set[_Process] = set()
        self._renewal: Timer | None = None

    def warm_up(self) -> None:
        """Start a process now, so that the next job need not wait for it."""
        with self._lock:
            if self._spare is None:
                self._spare = _Process()

    def run(self, job: Job, control: Control) -> Iterator[Any]:
        """Do a job; yield what happens.

        Raises
        ------
        Exception
            What the job raised, with the other process's traceback as a note.
        TrainingError
            Where the process was ended from outside, for instance for lack of memory.
        """
        process = self._take()
        whole = False
        try:
            yield from process.run(job, control)
            whole = True
        finally:
            self._give_back(process, again=whole)

    def close(self) -> None:
        """End all processes at once; a later job gets a fresh one."""
        with self._lock:
            busy, spare, renewal = list(self._busy), self._spare, self._renewal
            self._spare = self._renewal = None
            self._busy.clear()
        if renewal is not None:
            renewal.cancel()
            renewal.join(GRACE)
        for process in busy:
            process.kill()  # whoever waits for its events ends the rest
        if spare is not None:
            spare.end()

    def _take(self) -> _Process:
        with self._lock:
            process, self._spare = self._spare or _Process(), None
            if self._renewal is not None:
                self._renewal.cancel()
            self._busy.add(process)
            return process

    def _give_back(self, process: _Process, *, again: bool) -> None:
        with self._lock:
            # One that is no longer busy was ended meanwhile.
            keep = again and self._spare is None and process in self._busy
            self._busy.discard(process)
            if keep:
                self._spare = process
                self._renewal = Timer(IDLE, self._renew, (process,))
                self._renewal.daemon = True
                self._renewal.start()
        if not keep:
            process.end()

    def _renew(self, used: _Process) -> None:
        """Replace a process that has done something, and waits."""
        with self._lock:
            # In one go, or `close` would not know of the fresh one.
            if self._spare is not used:
                return
            self._spare = _Process()
        used.end()


class InProcessWorker:
    """Does its jobs in this very process."""

    def warm_up(self) -> None:
        """Do nothing."""

    def run(self, job: Job, control: Control) -> Iterator[Any]:
        """Do a job; yield what happens."""
        return job.events(control)

    def close(self) -> None:
        """Do nothing."""


class _Process:
    """One child, which does one job at a time.

    It is killed at the latest when this object is collected, or the program ends.
    """

    def __init__(self) -> None:
        self._line = _Line()
        self._popen = self._line.popen
        self._kill = finalize(self, self._line.kill)

    def run(self, job: Job, control: Control) -> Iterator[Any]:
        """Do a job; yield what happens."""
        lending = SharedObjects()
        connection = self._wait(control)
        if connection is None:
            return
        self._say(Work(job), lending.persistent_id)
        steering = self._steer(lending, control)
        while True:
            next(steering)
            if not self._heard(connection):
                continue
            match loads(self._receive(), lending.persistent_load):
                case JobEvent(event):
                    yield event
                case ReadRequest() as message:
                    self._say(lending.read(message))
                case WriteRequest() as message:
                    lending.write(message)
                case JobFinished(error):
                    if error is not None:
                        raise error
                    return

    def _steer(self, lending: SharedObjects, control: Control) -> Iterator[None]:
        """Hand on, each time, what has changed here; see that a stop is obeyed."""
        told, stopped_at = ControlUpdate(False, False, None), 0.0
        while True:
            now = ControlUpdate(control.stopped, control.paused, control.view)
            if now != told:
                self._say(now)
                told = now
            while question := control.asked():
                self._say(PreviewRequest(question))
            for strokes in lending.painted():
                self._say(strokes)
            if now.stopped:
                stopped_at = stopped_at or time.monotonic()
                if time.monotonic() - stopped_at > PATIENCE:
                    raise TrainingError("It did not stop when asked to, and was ended by force")
            yield

    def kill(self) -> None:
        """End the process, whatever it does; any thread may call this."""
        self._kill()

    def end(self) -> None:
        """End the process and close the connection; only where nobody else uses that any more.

        A descriptor that is closed while another thread reads from it may by then be another file.
        """
        self._kill()
        if self._line.connection is not None:
            self._line.connection.close()

    def _wait(self, control: Control) -> Connection | None:
        """Wait until the child is there; None where the user no longer wants it."""
        began = time.monotonic()
        accepting = self._line.accepting
        while accepting.is_alive():
            accepting.join(POLL)
            if control.stopped:
                return None
            if self._popen.poll() is not None or time.monotonic() - began > START:
                raise self._died()
        if self._line.connection is None:
            raise self._died()
        return self._line.connection

    def _heard(self, connection: Connection) -> bool:
        try:
            return connection.poll(POLL)
        except OSError as error:
            raise self._died() from error

    def _receive(self) -> bytes:
        assert self._line.connection is not None
        try:
            return self._line.connection.recv_bytes()
        except (EOFError, OSError) as error:
            raise self._died() from error

    def _say(self, message: object, persistent_id: Callable[[Any], Any] = lambda _: None) -> None:
        assert self._line.connection is not None
        content = dumps(message, persistent_id)
        try:
            self._line.connection.send_bytes(content)
        except OSError as error:
            raise self._died() from error

    def _died(self) -> TrainingError:
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(1)
        code = self._popen.poll()
        return TrainingError(
            "The process that computes has ended unexpectedly",
            got="no answer" if code is None else f"exit code {code}",
            todo="If memory was short, choose a smaller network or smaller patches; else the "
            "terminal may say more",
        )


class _Line:
    """A child's process, and the connection to it once the child has reported for work.

    Attributes
    ----------
    popen : subprocess.Popen
        The process.
    connection : Connection, optional
        None until the child has reported.
    accepting : Thread
        Waits for the child to report, and ends when it has, or never will.
    """

    def __init__(self) -> None:
        key = secrets.token_bytes(32)
        self.connection: Connection | None = None
        with ExitStack() as undo:
            listener = undo.enter_context(Listener(authkey=key))
            self._address = listener.address
            self.popen = _start()
            undo.callback(_kill, self.popen)
            assert self.popen.stdin is not None
            # One that has died by now is noticed by whoever waits for it.
            with suppress(OSError), self.popen.stdin as told:
                told.write(f"{self._address}\n{key.hex()}\n")
            self.accepting = Thread(
                target=self._accept, args=(listener,), name="accept", daemon=True
            )
            self.accepting.start()
            undo.pop_all()

    def kill(self) -> None:
        """End the process, and wait until it and the thread are gone."""
        _kill(self.popen)
        if self.accepting.is_alive():
            with suppress(OSError):
                Client(self._address).close()  # else it would wait for ever
            # A collection of garbage may call this in any thread, that one too.
            with suppress(RuntimeError):
                self.accepting.join(GRACE)

    def _accept(self, listener: Listener) -> None:
        try:
            with listener:
                self.connection = listener.accept()
        except (OSError, EOFError, AuthenticationError):  # ended before it began
            _log.debug("No process reported for work")


def _start() -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603 - ourselves
        # -P: what lies in the current folder must not be taken for a package.
        [sys.executable, "-P", "-c", CODE.format(path=sys.path)],
        stdin=subprocess.PIPE,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        text=True,
    )


def _kill(popen: subprocess.Popen[str]) -> None:
    """Kill a process, and wait until it is gone; in a thread of its own where that takes long."""
    popen.kill()
    try:
        popen.wait(GRACE)
    except subprocess.TimeoutExpired:
        Thread(target=popen.wait, name="reap", daemon=True).start()

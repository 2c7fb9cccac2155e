"""Workers run jobs, in another process or in this one, and yield their events.

Jobs run in another process rather than in a thread, because a thread that trains holds the global
interpreter lock so often that the viewer stutters. A process also frees all of its memory when it
ends, that of the GPU, too, and it can be killed.
"""

from __future__ import annotations

import logging
import os
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
"""Interval at which changes of controls and annotations are sent, in seconds."""

STOP_TIMEOUT = 60.0
"""Seconds after which a job that does not stop on request is killed."""

START_TIMEOUT = 120.0
"""Seconds for a server to connect; antivirus software can delay the import of torch."""

KILL_TIMEOUT = 2.0
"""Seconds to wait for a killed process, and for the threads that wait for it, to end."""

RENEW_AFTER = 60.0
"""Seconds after which an idle process that has run a job is replaced by a new one."""

SERVER_CODE = (
    "import sys; sys.path[:] = {path!r}; from napari_unet.workers.server import main; main()"
)
"""Program of a job server."""

WAIT_POLICY = {"OMP_WAIT_POLICY": "passive"}
"""Environment of a job server, where the user's does not set it.

Torch's threads wait for each other after every operation. By default they do so by computing,
which on a busy computer keeps the thread that they wait for from its core: everything, a step of
a training too, took five to fifteen times as long beside other programs.
"""

_log = logging.getLogger(__name__)


class Job(Protocol):
    """A job: an object of plain values, and of `Readable`, `Writable` and `AnnotationStore`."""

    def events(self, control: Control) -> Iterator[Any]:
        """Run the job and yield its events, until it ends or `control` stops it."""


class Worker(Protocol):
    """Runs jobs, one at a time."""

    def warm_up(self) -> None:
        """Prepare for a job that will follow soon."""

    def run(self, job: Job, control: Control) -> Iterator[Any]:
        """Run a job and yield its events.

        Parameters
        ----------
        job : Job
            The job.
        control : Control
            Stops or pauses it, and passes questions and the visible region to it.
        """

    def close(self) -> None:
        """End all jobs."""


class SubprocessWorker:
    """Runs jobs in other processes, one for each job that runs at the same time.

    A process is started in advance, because importing torch takes seconds. A process that has
    run a job is kept for the next one, and replaced by a new one after a while, so that all of
    its memory is freed.
    """

    def __init__(self) -> None:
        # Reentrant, because garbage collection of an unfinished iterator releases its process,
        # possibly in a thread that holds the lock.
        self._lock = RLock()
        self._spare: _Process | None = None
        self._busy: set[_Process] = set()
        self._renewal: Timer | None = None

    def warm_up(self) -> None:
        """Start a process, so that the next job does not have to wait for it."""
        with self._lock:
            if self._spare is None:
                self._spare = _Process()

    def run(self, job: Job, control: Control) -> Iterator[Any]:
        """Run a job and yield its events.

        Parameters
        ----------
        job : Job
            The job.
        control : Control
            Stops or pauses it, and passes questions and the visible region to it.

        Raises
        ------
        Exception
            The exception of the job, with the traceback in the other process as a note.
        TrainingError
            If the process was killed, for instance because memory ran out.
        """
        process = self._acquire()
        finished = False
        try:
            yield from process.run(job, control)
            finished = True
        finally:
            self._release(process, reusable=finished)

    def close(self) -> None:
        """Kill all processes; a later job gets a new one."""
        with self._lock:
            busy = list(self._busy)
            spare = self._spare
            renewal = self._renewal
            self._spare = None
            self._renewal = None
            self._busy.clear()
        if renewal is not None:
            renewal.cancel()
            renewal.join(KILL_TIMEOUT)
        for process in busy:
            process.kill()  # its `run` then closes the connection
        if spare is not None:
            spare.end()

    def _acquire(self) -> _Process:
        """Return the spare process, or a new one, and mark it as busy."""
        with self._lock:
            process = self._spare or _Process()
            self._spare = None
            if self._renewal is not None:
                self._renewal.cancel()
            self._busy.add(process)
            return process

    def _release(self, process: _Process, *, reusable: bool) -> None:
        """Keep a process for the next job, or end it."""
        with self._lock:
            # A process that is not in the set of busy ones was killed in the meantime.
            keep = reusable and self._spare is None and process in self._busy
            self._busy.discard(process)
            if keep:
                self._spare = process
                self._renewal = Timer(RENEW_AFTER, self._renew, (process,))
                self._renewal.daemon = True
                self._renewal.start()
        if not keep:
            process.end()

    def _renew(self, used: _Process) -> None:
        """Replace an idle process that has run a job."""
        with self._lock:
            # Within the lock, so that `close` does not miss the new process.
            if self._spare is not used:
                return
            self._spare = _Process()
        used.end()


class InProcessWorker:
    """Runs jobs in this process."""

    def warm_up(self) -> None:
        """Do nothing."""

    def run(self, job: Job, control: Control) -> Iterator[Any]:
        """Run a job and yield its events; parameters as for `Worker.run`."""
        return job.events(control)

    def close(self) -> None:
        """Do nothing."""


class _Process:
    """A job server process, which runs one job at a time.

    It is killed when this object is garbage-collected, or the program ends, at the latest.
    """

    def __init__(self) -> None:
        self._link = _ServerLink()
        self._popen = self._link.popen
        self._kill = finalize(self, self._link.kill)

    def run(self, job: Job, control: Control) -> Iterator[Any]:
        """Run a job and yield its events; parameters as for `Worker.run`."""
        shared = SharedObjects()
        connection = self._connect(control)
        if connection is None:
            return
        self._send(Work(job), shared.persistent_id)
        updates = self._control_updates(shared, control)
        while True:
            next(updates)
            if not self._has_message(connection):
                continue
            match loads(self._receive(), shared.persistent_load):
                case JobEvent(event):
                    yield event
                case ReadRequest() as message:
                    self._send(shared.read(message))
                case WriteRequest() as message:
                    shared.write(message)
                case JobFinished(error):
                    if error is not None:
                        raise error
                    return

    def _control_updates(self, shared: SharedObjects, control: Control) -> Iterator[None]:
        """Send what has changed at each step; raise if the job does not stop on request."""
        sent = ControlUpdate(False, False, None)
        stopped_at = 0.0
        while True:
            now = ControlUpdate(control.stopped, control.paused, control.view, control.left)
            if now != sent:
                self._send(now)
                sent = now
            while question := control.asked():
                self._send(PreviewRequest(question))
            for update in shared.annotation_updates():
                self._send(update)
            if now.stopped:
                stopped_at = stopped_at or time.monotonic()
                if time.monotonic() - stopped_at > STOP_TIMEOUT:
                    raise TrainingError("The job did not stop when asked, and was ended by force")
            yield

    def kill(self) -> None:
        """Kill the process; this may be called from any thread."""
        self._kill()

    def end(self) -> None:
        """Kill the process and close the connection, which no other thread may be using.

        A closed descriptor may at once be that of another file, from which a thread that still
        reads the connection would then read.
        """
        self._kill()
        if self._link.connection is not None:
            self._link.connection.close()

    def _connect(self, control: Control) -> Connection | None:
        """Wait until the server has connected; return None if the job is stopped before."""
        began = time.monotonic()
        accept_thread = self._link.accept_thread
        while accept_thread.is_alive():
            accept_thread.join(POLL)
            if control.stopped:
                return None
            if self._popen.poll() is not None or time.monotonic() - began > START_TIMEOUT:
                raise self._unexpected_end()
        if self._link.connection is None:
            raise self._unexpected_end()
        return self._link.connection

    def _has_message(self, connection: Connection) -> bool:
        try:
            return connection.poll(POLL)
        except OSError as error:
            raise self._unexpected_end() from error

    def _receive(self) -> bytes:
        assert self._link.connection is not None
        try:
            return self._link.connection.recv_bytes()
        except (EOFError, OSError) as error:
            raise self._unexpected_end() from error

    def _send(self, message: object, persistent_id: Callable[[Any], Any] = lambda _: None) -> None:
        assert self._link.connection is not None
        content = dumps(message, persistent_id)
        try:
            self._link.connection.send_bytes(content)
        except OSError as error:
            raise self._unexpected_end() from error

    def _unexpected_end(self) -> TrainingError:
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(1)
        code = self._popen.poll()
        return TrainingError(
            "The computing process ended unexpectedly",
            got="no answer" if code is None else f"exit code {code}",
            todo="If memory ran out, choose a smaller network or smaller patches; otherwise see "
            "the messages in the terminal",
        )


class _ServerLink:
    """The process of a job server, and the connection to it.

    Attributes
    ----------
    popen : subprocess.Popen
        The process.
    connection : Connection, optional
        None until the server has connected.
    accept_thread : Thread
        Waits for the server to connect; it ends when the server has connected or ended.
    """

    def __init__(self) -> None:
        key = secrets.token_bytes(32)
        self.connection: Connection | None = None
        with ExitStack() as undo:
            listener = undo.enter_context(Listener(authkey=key))
            self._address = listener.address
            self.popen = _start_server()
            undo.callback(_kill, self.popen)
            assert self.popen.stdin is not None
            # If the process has already ended, `_Process` notices it later.
            with suppress(OSError), self.popen.stdin as stdin:
                stdin.write(f"{self._address}\n{key.hex()}\n")
            self.accept_thread = Thread(
                target=self._accept, args=(listener,), name="accept", daemon=True
            )
            self.accept_thread.start()
            undo.pop_all()

    def kill(self) -> None:
        """Kill the process, and wait until it and the thread have ended."""
        _kill(self.popen)
        if self.accept_thread.is_alive():
            with suppress(OSError):
                Client(self._address).close()  # wakes the thread up
            # Garbage collection may call this in any thread, in the waiting one, too.
            with suppress(RuntimeError):
                self.accept_thread.join(KILL_TIMEOUT)

    def _accept(self, listener: Listener) -> None:
        try:
            with listener:
                self.connection = listener.accept()
        except (OSError, EOFError, AuthenticationError):  # the process ended before it connected
            _log.debug("No job server connected")


def _start_server() -> subprocess.Popen[str]:
    """Start the process of a job server, which reads address and key from its standard input."""
    return subprocess.Popen(  # noqa: S603 - our own Python and program
        # -P: files in the current folder must not be imported as packages.
        [sys.executable, "-P", "-c", SERVER_CODE.format(path=sys.path)],
        stdin=subprocess.PIPE,
        env={**WAIT_POLICY, **os.environ},
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        text=True,
    )


def _kill(popen: subprocess.Popen[str]) -> None:
    """Kill a process, and wait until it has ended; in a thread if that takes long."""
    popen.kill()
    try:
        popen.wait(KILL_TIMEOUT)
    except subprocess.TimeoutExpired:
        Thread(target=popen.wait, name="reap", daemon=True).start()

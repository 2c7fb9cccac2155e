"""The job server: a process that runs jobs of the viewer, and ends when the viewer does."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from multiprocessing.connection import Client, Connection
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from napari_unet.control import Control
from napari_unet.data.annotations import AnnotationStore
from napari_unet.data.source import ChunkedSource, chunk_sizes
from napari_unet.geometry.region import Region
from napari_unet.workers.messages import (
    AnnotationsToken,
    AnnotationUpdate,
    ControlUpdate,
    JobEvent,
    JobFinished,
    PreviewRequest,
    Readable,
    ReadReply,
    ReadRequest,
    SourceToken,
    TargetToken,
    Work,
    Writable,
    WriteRequest,
    dumps,
    loads,
)

BLOCK = (8, 256, 256)
"""Shape of the blocks in which images are read, along the last axes, in voxels."""

NICE = 10
"""Niceness of the process, on systems that have it."""

_log = logging.getLogger(__name__)


class RemoteTarget:
    """An array for a result; values that are assigned are sent to the viewer's process."""

    def __init__(self, server: JobServer, token: TargetToken) -> None:
        self.shape = token.shape
        self.dtype = token.dtype
        self.token = token
        self._server = server

    def __setitem__(self, where: Any, values: NDArray[Any]) -> None:
        self._server.send(WriteRequest(self.token.number, where, np.ascontiguousarray(values)))


class JobServer:
    """Runs one job after the other.

    Parameters
    ----------
    connection : Connection
        Connection to the viewer's process.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = Lock()
        self._jobs: SimpleQueue[tuple[Any, Control]] = SimpleQueue()
        self._replies: SimpleQueue[ReadReply] = SimpleQueue()
        self._control = Control()
        self._stores: dict[int, AnnotationStore] = {}

    def serve(self) -> None:
        """Run jobs until the connection ends."""
        Thread(target=self._listen, name="listen", daemon=True).start()
        self._import_ahead()
        while True:
            self._run(*self._jobs.get())

    def _import_ahead(self) -> None:
        """Import what takes seconds before a job needs it, and the last ones only if none waits.

        Torch imports its compiler with the first optimiser, whether it compiles anything or not.
        """
        for module in ("napari_unet.api", "torch._dynamo", "sklearn.ensemble"):
            if self._jobs.empty():
                import_module(module)

    def send(self, message: object) -> None:
        """Send a message to the viewer's process."""
        content = dumps(message, _persistent_id)
        with self._lock:
            self._connection.send_bytes(content)

    def _run(self, job: Any, control: Control) -> None:
        error = None
        try:
            for event in job.events(control):
                self.send(JobEvent(event))
        except Exception as raised:  # noqa: BLE001 - every error is sent to the viewer
            error = raised
            _log.debug("The job failed", exc_info=raised)
        self.send(JobFinished(_picklable(error)))

    def _listen(self) -> None:
        """Receive messages, in a thread besides the one that runs jobs."""
        while True:
            try:
                message = loads(self._connection.recv_bytes(), self._persistent_load)
            except (EOFError, OSError):
                os._exit(0)  # the viewer's process has ended
            match message:
                case Work():
                    self._control = Control()
                    self._jobs.put((message.job, self._control))
                case ControlUpdate():
                    _apply(self._control, message)
                case PreviewRequest():
                    self._control.ask(message.question)
                case AnnotationUpdate():
                    self._stores[message.number].update(message.blocks)
                case ReadReply():
                    self._replies.put(message)

    def _persistent_load(self, token: Any) -> Any:
        match token:
            case SourceToken():
                return Readable(self._remote_source(token))
            case TargetToken():
                return Writable(RemoteTarget(self, token))
            case AnnotationsToken():
                store = self._stores[token.number] = token.open()
                return store
        raise ValueError(f"an unknown token: {token}")

    def _remote_source(self, token: SourceToken) -> ChunkedSource:
        """Return a source whose blocks are read from the viewer's process."""

        def fetch(regions: Sequence[Region]) -> Sequence[NDArray[Any]]:
            self.send(ReadRequest(token.number, list(regions)))
            return self._replies.get().arrays

        blocks = ((1,) * len(token.shape) + BLOCK)[-len(token.shape) :]
        # An axis of at most four, such as RGB, is not divided.
        blocks = tuple(max(b, n) if n <= 4 else b for b, n in zip(blocks, token.shape, strict=True))
        chunks = [chunk_sizes(n, block) for block, n in zip(blocks, token.shape, strict=True)]
        return ChunkedSource(token.shape, token.dtype, chunks, fetch)


def _persistent_id(part: Any) -> Any:
    return part.token if isinstance(part, RemoteTarget) else None


def _apply(control: Control, message: ControlUpdate) -> None:
    """Set the controls of a job to their state in the viewer's process."""
    control.look(message.view)
    if message.paused and not message.stopped:
        control.pause()
    else:
        control.resume()
    if message.left:
        control.leave()
    elif message.stopped:
        control.stop()


def _picklable(error: Exception | None) -> Exception | None:
    """Return an error that can be pickled, with the traceback as a note."""
    if error is None:
        return None
    import traceback

    text = "".join(traceback.format_exception(error))
    try:
        loads(dumps(error, lambda _: None), lambda _: None)
    except Exception:  # noqa: BLE001 - pickling can fail for any reason
        error = OSError(f"{type(error).__name__}: {error}")
    error.add_note(text)
    return error


def _lower_priority() -> None:
    """Give the viewer's process precedence over this one."""
    process = psutil.Process()
    with suppress(psutil.Error, OSError):
        process.nice(getattr(psutil, "BELOW_NORMAL_PRIORITY_CLASS", NICE))


def main() -> None:
    """Connect to the viewer's process; address and key are read from the standard input."""
    _lower_priority()
    address = sys.stdin.readline().rstrip("\n")
    key = bytes.fromhex(sys.stdin.readline().strip())
    JobServer(Client(address, authkey=key)).serve()

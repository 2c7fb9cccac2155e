"""The child: waits for work, does it, and tells what happens. It ends when its parent does."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from multiprocessing.connection import Client, Connection
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from napari_unet.control import Control
from napari_unet.data.annotations import AnnotationStore
from napari_unet.data.source import ChunkedSource
from napari_unet.workers.messages import (
    AnnotationsToken,
    AnnotationUpdate,
    ControlUpdate,
    JobEvent,
    JobFinished,
    PreviewRequest,
    Readable,
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
"""What is read of a picture at once, along its last axes, in voxels."""

NICE = 10
"""How far behind the viewer it stands, where the system counts that so."""

_log = logging.getLogger(__name__)


class RemoteTarget:
    """Takes a result like an array, and hands it to the parent."""

    def __init__(self, child: JobServer, token: TargetToken) -> None:
        self.shape, self.dtype, self.token = token.shape, token.dtype, token
        self._child = child

    def __setitem__(self, where: Any, values: NDArray[Any]) -> None:
        self._child.say(WriteRequest(self.token.number, where, np.ascontiguousarray(values)))


class JobServer:
    """Does one job after the other.

    Parameters
    ----------
    connection : Connection
        The line to the parent.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = Lock()
        self._jobs: SimpleQueue[tuple[Any, Control]] = SimpleQueue()
        self._answers: SimpleQueue[list[NDArray[Any]]] = SimpleQueue()
        self._control = Control()
        self._stores: dict[int, AnnotationStore] = {}

    def serve(self) -> None:
        """Work until the parent has gone."""
        Thread(target=self._listen, name="listen", daemon=True).start()
        # Seconds, while nobody waits for it yet.
        import napari_unet.api  # noqa: F401

        while True:
            self._do(*self._jobs.get())

    def say(self, message: object) -> None:
        """Tell the parent something."""
        content = dumps(message, _stands_for)
        with self._lock:
            self._connection.send_bytes(content)

    def _do(self, job: Any, control: Control) -> None:
        error = None
        try:
            for event in job.events(control):
                self.say(JobEvent(event))
        except Exception as raised:  # noqa: BLE001 - whatever it is, the parent must hear of it
            error = raised
            _log.debug("The job failed", exc_info=raised)
        self.say(JobFinished(_portable(error)))

    def _listen(self) -> None:
        """Take in what the parent says, while the main thread works."""
        while True:
            try:
                message = loads(self._connection.recv_bytes(), self._stood_for)
            except (EOFError, OSError):
                os._exit(0)  # the parent has gone: nobody is left to work for
            match message:
                case Work():
                    self._control = Control()
                    self._jobs.put((message.job, self._control))
                case ControlUpdate():
                    _steer(self._control, message)
                case PreviewRequest():
                    self._control.ask(message.question)
                case AnnotationUpdate():
                    self._stores[message.number].update(message.blocks)
                case list():
                    self._answers.put(message)

    def _stood_for(self, token: Any) -> Any:
        match token:
            case SourceToken():
                return Readable(self._picture(token))
            case TargetToken():
                return Writable(RemoteTarget(self, token))
            case AnnotationsToken():
                store = self._stores[token.number] = token.open()
                return store
        raise ValueError(f"an unknown token: {token}")

    def _picture(self, token: SourceToken) -> ChunkedSource:
        def fetch(regions: Any) -> list[NDArray[Any]]:
            self.say(ReadRequest(token.number, list(regions)))
            return self._answers.get()

        blocks = ((1,) * len(token.shape) + BLOCK)[-len(token.shape) :]
        # Colours stay together.
        blocks = tuple(max(b, n) if n <= 4 else b for b, n in zip(blocks, token.shape, strict=True))
        chunks = [
            (b,) * (n // b) + (n % b,) * (n % b > 0)
            for b, n in zip(blocks, token.shape, strict=True)
        ]
        return ChunkedSource(token.shape, token.dtype, chunks, fetch)


def _stands_for(part: Any) -> Any:
    return part.token if isinstance(part, RemoteTarget) else None


def _steer(control: Control, message: ControlUpdate) -> None:
    control.look(message.view)
    if message.paused and not message.stopped:
        control.pause()
    else:
        control.resume()
    if message.stopped:
        control.stop()


def _portable(error: Exception | None) -> Exception | None:
    """Return an error that the parent can rebuild, with the traceback as a note."""
    if error is None:
        return None
    import traceback

    text = "".join(traceback.format_exception(error))
    try:
        loads(dumps(error, lambda _: None), lambda _: None)
    except Exception:  # noqa: BLE001 - it cannot be copied, whatever the reason
        error = OSError(f"{type(error).__name__}: {error}")
    error.add_note(text)
    return error


def _make_way() -> None:
    """Let the viewer go first wherever both want to compute."""
    me = psutil.Process()
    with suppress(psutil.Error, OSError):
        me.nice(getattr(psutil, "BELOW_NORMAL_PRIORITY_CLASS", NICE))


def main() -> None:
    """Connect to the parent, who says on the standard input where, and by which secret."""
    _make_way()
    address = sys.stdin.readline().rstrip("\n")
    key = bytes.fromhex(sys.stdin.readline().strip())
    JobServer(Client(address, authkey=key)).serve()

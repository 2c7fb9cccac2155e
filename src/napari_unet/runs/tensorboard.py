"""Writing a run for TensorBoard, and starting TensorBoard, where it is installed."""

from __future__ import annotations

import atexit
import contextlib
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from napari_unet.control import Previewed, PreviewedImage
from napari_unet.errors import InputError
from napari_unet.runs.pictures import RGB, class_colours, png, preview_rgb
from napari_unet.runs.state import RunState
from napari_unet.training.events import Stepped, TrainingEvent, Validated

HOST = "127.0.0.1"
"""Address at which TensorBoard is served: of this computer only."""

PACKAGE = "tensorboard"
"""Name of the package that is imported."""

WAIT = 60.0
"""Seconds in which TensorBoard has to answer."""


def check_tensorboard() -> None:
    """Check that TensorBoard is installed.

    Raises
    ------
    InputError
        If it is not; the message says how to install it.
    """
    if find_spec(PACKAGE) is None:
        raise InputError(
            "TensorBoard is not installed",
            todo='Install it with: pip install "napari-unet-live[tensorboard]"',
        )


class Board:
    """Writes a run for TensorBoard: losses, learning rate, scores, previews.

    Parameters
    ----------
    folder : Path
        The run's folder; TensorBoard calls the run by its name.
    """

    def __init__(self, folder: Path) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._writer: Any = EventFileWriter(str(folder))

    def feed(self, event: TrainingEvent, state: RunState) -> None:
        """Write an event.

        Parameters
        ----------
        event : TrainingEvent
            Events without scalars or pictures are ignored.
        state : RunState
            Holds the classes.
        """
        match event:
            case Stepped():
                self._scalars(
                    event.step, {"loss": event.loss, "learning rate": event.learning_rate}
                )
            case Validated():
                each: dict[Any, float | None] = state.by_class(event.scores)
                found = {f"{event.metric}/{name}": score for name, score in each.items()}
                mean = {f"{event.metric}/mean": event.mean}
                self._scalars(event.step, {"held-out loss": event.loss, **found, **mean})
            case Previewed() | PreviewedImage():
                self.show(
                    [("preview", preview_rgb(event, class_colours(state.classes)))], event.step
                )

    def show(self, pictures: Iterable[tuple[str, RGB]], step: int) -> None:
        """Write pictures.

        Parameters
        ----------
        pictures : iterable of (str, ndarray)
            Captions and pictures, uint8 with axes (y, x, 3).
        step : int
            Training step at which they are shown.
        """
        from tensorboard.compat.proto.summary_pb2 import Summary

        for caption, picture in pictures:
            height, width = picture.shape[:2]
            image = Summary.Image(
                height=height, width=width, colorspace=3, encoded_image_string=png(picture)
            )
            self._add(step, [Summary.Value(tag=caption, image=image)])

    def close(self) -> None:
        """Write what is buffered, and close the file."""
        self._writer.close()

    def _scalars(self, step: int, scalars: dict[str, float | None]) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        known = {tag: value for tag, value in scalars.items() if value is not None}
        self._add(step, [Summary.Value(tag=t, simple_value=v) for t, v in known.items()])

    def _add(self, step: int, values: list[Any]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        summary = Summary(value=values)
        self._writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))


@dataclass(frozen=True, eq=False)
class TensorBoard:
    """A running TensorBoard process; it is ended when this process ends, at the latest."""

    url: str
    process: subprocess.Popen[bytes]

    def close(self) -> None:
        """End the process."""
        atexit.unregister(self.close)
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_tensorboard(folder: Path, wait: float = WAIT) -> TensorBoard:
    """Start TensorBoard on a folder of runs, reachable from this computer only.

    Parameters
    ----------
    folder : Path
        The folder of runs.
    wait : float
        Greatest time to wait for its first answer, in seconds.

    Returns
    -------
    TensorBoard
        Its `url` to open in a browser; `close` ends it.

    Raises
    ------
    InputError
        If it is not installed, the folder does not exist, or it does not answer in time.
    """
    check_tensorboard()
    if not folder.is_dir():
        raise InputError("There is no such folder of runs", got=str(folder))
    port = _free_port()
    command = [
        sys.executable, "-m", "tensorboard.main", "--logdir", str(folder.absolute()),
        "--host", HOST, "--port", str(port),
    ]  # fmt: skip
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(  # noqa: S603 - our own Python, no shell
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        board = TensorBoard(f"http://{HOST}:{port}/", process)
        atexit.register(board.close)
        try:
            answered = _answers(process, port, wait)
        except BaseException:
            board.close()
            raise
        if not answered:
            board.close()
            output.seek(0)
            raise InputError(
                "TensorBoard does not start",
                got=_last_line(output.read()) or f"no answer in {wait:g} s",
                todo="Try again, or start it yourself: tensorboard --logdir FOLDER",
            )
    return board


def _answers(process: subprocess.Popen[bytes], port: int, wait: float) -> bool:
    until = time.monotonic() + wait
    while process.poll() is None and time.monotonic() < until:
        with (
            contextlib.closing(HTTPConnection(HOST, port, timeout=5)) as connection,
            contextlib.suppress(OSError, HTTPException),
        ):
            connection.request("GET", "/")
            with connection.getresponse() as response:
                if response.status == 200:
                    return True
        time.sleep(0.1)
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    return port


def _last_line(output: bytes) -> str:
    lines = output.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else ""

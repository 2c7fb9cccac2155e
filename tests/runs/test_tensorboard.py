"""What TensorBoard is told, read back by TensorBoard itself."""

from __future__ import annotations

import socket
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from napari_unet.errors import InputError
from napari_unet.runs import tensorboard
from napari_unet.runs.folder import record
from napari_unet.runs.tensorboard import open_tensorboard
from tests.runs.states import EVIL, whole

pytest.importorskip("tensorboard")


def told(folder):
    """Return all that was written: (step, tag, value or picture)."""
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
    from tensorboard.compat.proto.event_pb2 import Event

    (path,) = folder.glob("*/events.out.tfevents.*")
    events = [Event.FromString(raw) for raw in RawEventFileLoader(str(path)).Load()]
    return [(event.step, value) for event in events for value in event.summary.value]


def test_scalars_and_pictures_are_told_as_they_happen(tmp_path):
    events = whole()
    assert list(record(events, tmp_path, tensorboard=True)) == events
    found = told(tmp_path)
    scalars = {(step, v.tag): v.simple_value for step, v in found if not v.HasField("image")}
    assert scalars[2, "loss"] == 0.5
    assert scalars[1, "learning rate"] == pytest.approx(0.01)
    assert (scalars[3, "held-out loss"], scalars[3, "IoU/cell"]) == (0.25, 0.5)
    assert (3, f"IoU/{EVIL}") not in scalars  # it has no score
    ((step, picture),) = [(s, v) for s, v in found if v.HasField("image")]
    assert (step, picture.tag) == (2, "preview")
    assert (picture.image.height, picture.image.width) == (2, 3)
    assert picture.image.encoded_image_string.startswith(b"\x89PNG")


def test_without_being_asked_nothing_is_written(tmp_path):
    list(record(whole(), tmp_path))
    assert not list(tmp_path.glob("*/events*"))


def test_where_it_is_missing_the_message_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(tensorboard, "PACKAGE", "surely_not_there")
    with pytest.raises(InputError, match=r"pip install .napari-unet-live\[tensorboard\]"):
        list(record(whole(), tmp_path / "runs", tensorboard=True))
    assert not (tmp_path / "runs").exists()
    with pytest.raises(InputError, match="not installed"):
        open_tensorboard(tmp_path)


def test_it_opens_for_this_computer_only_and_ends(tmp_path):
    list(record(whole(), tmp_path, tensorboard=True))
    with open_tensorboard(tmp_path) as board:
        assert board.url.startswith("http://127.0.0.1:")
        connection = HTTPConnection(urlsplit(board.url).netloc, timeout=10)
        connection.request("GET", "/data/runs")
        assert connection.getresponse().status == 200
        connection.close()
    assert board.process.poll() is not None


def test_one_that_does_not_start_is_said(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="no such folder"):
        open_tensorboard(tmp_path / "elsewhere")
    with socket.socket() as taken:
        taken.bind((tensorboard.HOST, 0))
        monkeypatch.setattr(tensorboard, "_free_port", lambda: taken.getsockname()[1])
        with pytest.raises(InputError, match=r"does not start .*in use"):
            open_tensorboard(tmp_path, wait=20)

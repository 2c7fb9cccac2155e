"""Models that are dropped on the viewer, and packages in and out."""

from __future__ import annotations

import importlib.util
import zipfile

import napari
import numpy as np
import pytest
from npe2 import PluginManifest
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent
from qtpy.QtWidgets import QFileDialog
from safetensors.numpy import save_file

import napari_unet
from napari_unet.data.normalisation import Normalisation
from napari_unet.errors import InputError
from napari_unet.model import ClassInfo, TrainedModel
from napari_unet.network.unet_config import UNetConfig
from napari_unet.widgets.models import ExportJob
from napari_unet.widgets.panel import find_host, find_panel
from napari_unet.widgets.reader import get_reader, open_model
from napari_unet.workers import jobs as exchange_jobs
from tests.widgets.conftest import PATIENCE, two_classes

NAME = "napari-unet-live"
DOCUMENT = "format_version: 0.5.4\ntype: model\nname: some model\n"
has_exchange = importlib.util.find_spec("onnxruntime") and importlib.util.find_spec("bioimageio")


@pytest.fixture
def plugin(npe2pm):
    with npe2pm.tmp_plugin(manifest=PluginManifest.from_distribution(NAME)):
        yield


@pytest.fixture
def saved(tmp_path):
    return tiny().save(tmp_path / "glands")


def tiny(name="a"):
    weights = {"w": np.frombuffer(name.encode(), np.uint8).copy()}
    norm = Normalisation("none", (0.0,), (1.0,))
    return TrainedModel(UNetConfig(), weights, norm, classes=(ClassInfo(1), ClassInfo(2)))


def package(path, document=DOCUMENT, name="rdf.yaml"):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(name, document)
        file.writestr("weights.onnx", b"")
    return path


def test_models_are_known_by_their_heads(saved, tmp_path):
    assert get_reader(str(saved)) is open_model
    assert get_reader(str(package(tmp_path / "a.zip"))) is open_model
    assert get_reader(str(package(tmp_path / "b.zip", name="bioimageio.yaml"))) is open_model
    assert get_reader([str(saved), str(saved)]) is None


def test_a_checkpoint_is_a_model(tmp_path):
    path = tmp_path / "point.safetensors"
    image, strokes = two_classes()
    napari_unet.fit(
        image, strokes, steps=2, size="small", batch_size=1, threads=1, checkpoint=str(path)
    )
    assert get_reader(str(path)) is open_model


def test_what_is_no_model_is_left_to_others(tmp_path):
    others = {
        "weights.safetensors": b"",
        "noise.safetensors": b"\x00" * 64,
        "text.zip": b"not a zip",
        "image.tif": b"",
    }
    for name, content in others.items():
        (tmp_path / name).write_bytes(content)
        assert get_reader(str(tmp_path / name)) is None
    save_file({"w": np.zeros(3)}, tmp_path / "stranger.safetensors")
    assert get_reader(str(tmp_path / "stranger.safetensors")) is None
    assert get_reader(str(tmp_path / "gone.safetensors")) is None
    assert get_reader(str(package(tmp_path / "c.zip", name="readme.txt"))) is None
    data = package(tmp_path / "d.zip", document="type: dataset\nsource: model\n")
    assert get_reader(str(data)) is None


def chosen(viewer, qtbot, name):
    panel = find_panel(viewer)
    qtbot.waitUntil(
        lambda: (panel.predict.form.model.value() or panel).__class__.__name__ == "NamedModel",
        timeout=PATIENCE,
    )
    assert panel.predict.form.model.value().name.startswith(name)
    assert panel.tabs.currentWidget() is panel.predict
    return panel


def test_a_model_opened_in_the_viewer_is_chosen_in_the_panel(viewer, plugin, qtbot, saved):
    assert viewer.open(saved, plugin=NAME) == []
    panel = chosen(viewer, qtbot, "glands")
    assert list(viewer.layers) == []
    # A second one goes into the same panel.
    viewer.open(tiny("b").save(saved.with_name("other")), plugin=NAME)
    qtbot.waitUntil(lambda: len(panel.session.models) == 2, timeout=PATIENCE)
    assert find_panel(viewer) is panel
    assert len(viewer.window.dock_widgets) == 1


def drop(viewer, *paths):
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    event = QDropEvent(
        QPointF(5, 5),
        Qt.DropAction.CopyAction,
        data,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    viewer.window._qt_viewer.dropEvent(event)


def test_models_dropped_on_the_viewer_are_opened_one_after_the_other(viewer, plugin, qtbot, saved):
    second = tiny("b").save(saved.with_name("other"))
    drop(viewer, saved, second)
    qtbot.waitUntil(lambda: find_panel(viewer) is not None, timeout=PATIENCE)
    panel = find_panel(viewer)
    qtbot.waitUntil(lambda: len(panel.session.models) == 2, timeout=PATIENCE)
    assert list(viewer.layers) == []
    find_host(viewer).parentWidget().destroyOnClose()


def test_a_damaged_model_is_said(viewer, plugin, qtbot, saved, notes):
    whole = saved.read_bytes()
    saved.write_bytes(whole.replace(b'\\"task\\"', b'\\"tusk\\"'))
    viewer.open(saved, plugin=NAME)
    qtbot.waitUntil(lambda: notes != [], timeout=PATIENCE)
    assert "header of glands.safetensors is damaged" in notes[-1][1]
    assert find_panel(viewer).session.models == []


def test_without_a_viewer_it_says_so(saved, monkeypatch):
    monkeypatch.setattr(napari, "current_viewer", lambda: None)
    with pytest.raises(InputError, match="There is no viewer"):
        open_model(str(saved))


@pytest.fixture
def page(room):
    room.panel.show_page("predict")
    return room.panel.predict


def test_without_a_model_there_is_nothing_to_export(room, page):
    assert not page.form.files.export.isEnabled()
    room.panel.session.add("mine", tiny())
    assert page.form.files.export.isEnabled()


def test_what_is_exported_and_with_which_example(room, page, tmp_path, monkeypatch, notes):
    jobs, path = [], tmp_path / "package.zip"

    def write(job, control):
        jobs.append(job)
        yield path

    monkeypatch.setattr(ExportJob, "events", write)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a: (str(path), ""))
    layer = room.viewer.add_image(np.zeros((4, 64, 64), np.uint8), axis_labels=("t", "y", "x"))
    named = room.panel.session.add("mine", tiny())
    room.click(page.form.files.export)
    room.wait(lambda: notes != [])
    assert (jobs[0].model, jobs[0].path) == (named.model, str(path))
    assert jobs[0].image.data is layer.data
    assert jobs[0].request.axes == ("t", "y", "x")
    assert notes == [("info", f"Exported {path}")]
    room.wait(page.notice.isHidden)
    room.wait(page.form.files.export.isEnabled)
    # An image that does not fit is no example.
    page.form.image.set_layer(room.viewer.add_image(np.zeros((64, 64, 3), np.uint8), rgb=True))
    room.click(page.form.files.export)
    room.wait(lambda: len(jobs) == 2)
    assert jobs[1].image is None


def test_exporting_can_be_called_off(room, page, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a: ("", ""))
    room.panel.session.add("mine", tiny())
    room.click(page.form.files.export)
    assert not page.form.files._writer.running
    assert page.notice.text() == ""


def test_without_the_libraries_it_says_how_to_get_them(room, page, tmp_path, monkeypatch, notes):
    import sys

    monkeypatch.setitem(sys.modules, "onnx", None)
    path = str(tmp_path / "p.zip")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a: (path, ""))
    room.panel.session.add("mine", tiny())
    room.click(page.form.files.export)
    room.wait(lambda: notes != [])
    assert 'pip install "napari-unet-live[bioimageio]"' in notes[-1][1]
    page.open_file(str(package(tmp_path / "a.zip")))
    room.wait(lambda: len(notes) == 2)
    assert "pip install" in notes[-1][1]


def test_a_package_is_opened_like_a_model(room, page, tmp_path, monkeypatch):
    model, path = tiny(), str(tmp_path / "from_others.zip")

    def read(job, control):
        yield "from_others", model

    monkeypatch.setattr(exchange_jobs.ImportJob, "events", read)
    asked = []
    monkeypatch.setattr(
        QFileDialog, "getOpenFileName", lambda *a: asked.append(a[-1]) or (path, "")
    )
    room.click(page.form.files.open)
    assert page.notice.text() == "Reading from_others.zip …"
    room.wait(lambda: page.form.model.value() is not None)
    assert page.form.model.value().name.startswith("from_others")
    room.wait(page.notice.isHidden)
    assert "*.zip" in asked[0]


@pytest.mark.skipif(not has_exchange, reason="without the extra")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_out_and_in_again_for_real(room, page, tmp_path, monkeypatch, notes):
    image, strokes = two_classes()
    model = napari_unet.fit(image, strokes, steps=1, size="small", batch_size=1, threads=1)
    path = tmp_path / "package.zip"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a: (str(path), ""))
    room.viewer.add_image(image)
    room.panel.session.add("mine", model)
    room.click(page.form.files.export)
    room.wait(lambda: not page.form.files._writer.running)
    assert [text for kind, text in notes if kind == "error"] == []
    assert get_reader(str(path)) is open_model
    room.panel.session.models.clear()
    page.form.model.clear()
    page.open_file(str(path))
    room.wait(lambda: room.panel.session.models)
    assert room.panel.session.models[0].model.digest == model.digest

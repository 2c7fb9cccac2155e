"""How was this made?"""

from __future__ import annotations

import shlex

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from napari.layers import Image, Labels
from napari.layers._source import layer_source
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QLabel, QTextEdit, QWidget
from typer.testing import CliRunner

from napari_unet.cli import load_app
from napari_unet.data.normalisation import Normalisation
from napari_unet.model import ClassInfo, TrainedModel
from napari_unet.network.unet_config import UNetConfig
from napari_unet.tasks.provenance import Origin, with_sources
from napari_unet.widgets.layers.factory import result_labels, result_probabilities
from napari_unet.widgets.layers.provenance import RESULT, note_time, origin
from napari_unet.widgets.predict.provenance_dialog import EDITED, PREVIEW, STRANGER, show_how
from tests.widgets.conftest import two_classes

MODEL = with_sources(
    TrainedModel(
        UNetConfig.sized("small", 2),
        {"w": np.zeros(3, np.float32)},
        Normalisation("none", (0.0,), (1.0,)),
        classes=(ClassInfo(1, "rim"), ClassInfo(2, "core")),
        spacing=(1.0, 1.0),
        training={"steps": 120, "seconds": 9.5, "seed": 4, "strokes": "cafe"},
    ),
    [(Origin("cells"), Origin("cells – strokes"))],
)


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.fixture
def ask(viewer, qtbot):
    panel = QWidget()
    qtbot.addWidget(panel)
    return lambda layer: show_how(viewer, layer, panel)


def test_a_result_tells_how_it_was_made(ask, qtbot):
    layer = result_labels(
        np.zeros((8, 9), np.uint8), MODEL, Image(np.zeros((8, 9)), name="c"), None
    )
    note_time([layer], 1.234)
    dialog = ask(layer)
    facts = dialog.findChild(QTextEdit).toPlainText()
    for part in (MODEL.digest, "cafe", "120 steps, 10 s", "1 rim, 2 core", "1.2 s"):
        assert part in facts
    commands = dialog.commands.toPlainText()
    assert "napari-unet train cells.tif cells-strokes.tif" in commands
    assert "--steps 120 --seed 4" in commands
    assert "napari-unet predict model.safetensors c.tif --output c-prediction.tif" in commands
    assert any("save it first" in label.text() for label in dialog.findChildren(QLabel))
    qtbot.mouseClick(dialog.copy, Qt.MouseButton.LeftButton)
    copied = QApplication.clipboard().text()
    assert MODEL.digest in copied
    assert commands.splitlines()[0] in copied


def test_probabilities_tell_their_own_command(ask):
    image = Image(np.zeros((3, 8, 9)), name="c")
    maps = result_probabilities(np.zeros((2, 8, 9), np.float32), MODEL, image, 0)
    command = ask(maps[1]).commands.toPlainText().splitlines()[-1]
    assert command.endswith("--probabilities --channel-axis 0")


def test_rgb_is_told(ask):
    image = Image(np.zeros((8, 9, 3), np.uint8), name="c", rgb=True)
    layer = result_labels(np.zeros((8, 9), np.uint8), MODEL, image, None)
    assert ask(layer).commands.toPlainText().endswith("--rgb")


def test_layers_of_others_are_met_politely(ask):
    dialog = ask(Labels(np.zeros((4, 4), np.uint8), name="mine"))
    assert [label.text() for label in dialog.findChildren(QLabel)] == [STRANGER]
    assert dialog.windowTitle() == "How was “mine” made?"
    preview = Labels(np.zeros((4, 4), np.uint8), metadata={RESULT: {"preview": True}})
    assert [label.text() for label in ask(preview).findChildren(QLabel)] == [PREVIEW]


def test_names_are_not_markup(ask):
    image = Image(np.zeros((8, 9)), name="<b>c</b>")
    layer = result_labels(np.zeros((8, 9), np.uint8), MODEL, image, None)
    assert "<b>c</b>" in ask(layer).findChild(QTextEdit).toPlainText()


def test_the_commands_of_a_refined_layer_make_it_again(room, ask, tmp_path, monkeypatch):
    """Predicted and refined with clicks, twice; the commands are those that the dialog shows."""
    monkeypatch.chdir(tmp_path)
    image, strokes = two_classes()
    tifffile.imwrite("cells.tif", image)
    with layer_source(path="cells.tif"):
        room.open(image, strokes)
    room.train()
    named = room.panel.session.models[0]
    named.model.save("model.safetensors")
    room.click(room.panel.train.footer.predict)
    room.idle()
    refine = room.panel.predict.refine
    room.wait(lambda: refine._session is not None)
    layer = refine._session.target.layer
    for threshold in (0.4, 0.6):
        refine.form.object_class.setValue(2)
        refine.form.editors["output"].setValue("objects")
        refine.form.editors["threshold"].setValue(threshold)
        room.wait(refine.apply.isEnabled)
        refine.apply.click()
        room.wait(lambda: not refine.applier.running)
        dialog = ask(layer)
        facts = dialog.findChild(QTextEdit).toPlainText()
        assert f"Threshold: {threshold}" in facts
        commands = dialog.commands.toPlainText().split("\n\n")
        assert len(commands) == 3
        for command in commands[1:]:
            done = CliRunner().invoke(load_app(), shlex.split(command)[1:])
            assert done.exit_code == 0, done.output
        np.testing.assert_array_equal(tifffile.imread("cells-refined.tif"), layer.data)
    assert not any(label.text() == EDITED for label in dialog.findChildren(QLabel))
    layer.data_setitem((np.array([3]), np.array([4])), np.array([1]))
    assert any(label.text() == EDITED for label in ask(layer).findChildren(QLabel))
    refine.reset.click()


def test_a_layer_knows_its_file(tmp_path):
    file = tmp_path / "cells.npy"
    np.save(file, np.zeros((8, 9)))
    with layer_source(path=str(file)):  # as napari does when it opens a file
        layer = Image(np.load(file), name="cells")
    assert origin(layer) == Origin("cells", str(file))
    result = result_labels(np.zeros((8, 9), np.uint8), MODEL, layer, None)
    assert result.metadata[RESULT]["path"] == str(file)
    assert origin(Image(np.zeros((8, 9)), name="x")) == Origin("x")

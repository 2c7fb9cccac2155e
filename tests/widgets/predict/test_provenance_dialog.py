"""How was this made?"""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels
from napari.layers._source import layer_source
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QLabel, QTextEdit, QWidget

from napari_unet.data.normalisation import Normalisation
from napari_unet.model import ClassInfo, TrainedModel
from napari_unet.network.unet_config import UNetConfig
from napari_unet.tasks.provenance import Origin, with_sources
from napari_unet.widgets.layers.factory import result_labels, result_probabilities
from napari_unet.widgets.layers.provenance import RESULT, note_time, origin
from napari_unet.widgets.predict.provenance_dialog import PREVIEW, STRANGER, show_how

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


def test_a_layer_knows_its_file(tmp_path):
    file = tmp_path / "cells.npy"
    np.save(file, np.zeros((8, 9)))
    with layer_source(path=str(file)):  # as napari does when it opens a file
        layer = Image(np.load(file), name="cells")
    assert origin(layer) == Origin("cells", str(file))
    result = result_labels(np.zeros((8, 9), np.uint8), MODEL, layer, None)
    assert result.metadata[RESULT]["path"] == str(file)
    assert origin(Image(np.zeros((8, 9)), name="x")) == Origin("x")

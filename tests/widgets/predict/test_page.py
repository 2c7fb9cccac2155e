"""Predicting from the panel: results grow tile by tile and lie where the image lies."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

import napari_unet
from napari_unet.inference.request import Request
from napari_unet.widgets.layers.provenance import RESULT
from napari_unet.widgets.layers.results import LabelsAndProbabilities
from tests.widgets.conftest import two_classes


@pytest.fixture(scope="module")
def model():
    options = {"steps": 3, "size": "small", "batch_size": 2, "threads": 1}
    colors = {1: (0.0, 1.0, 0.0, 1.0), 2: (1.0, 0.0, 0.0, 1.0)}
    names = {1: "dark", 2: "bright"}
    image, strokes = two_classes()
    return napari_unet.fit(image, strokes, class_names=names, class_colors=colors, **options)


@pytest.fixture(scope="module")
def model3d():
    image, strokes = two_classes((24, 40, 40))
    return napari_unet.fit(image, strokes, ndim=3, steps=1, size="small", batch_size=1, threads=1)


@pytest.fixture
def page(room, model):
    room.panel.session.add("mine", model)
    room.panel.show_page("predict")
    return room.panel.predict


def predict(room, page):
    room.click(page.footer.predict)
    room.idle()


@pytest.mark.parametrize(("factor", "told"), [(1, False), (0, True)])
def test_an_image_unlike_those_of_the_training_is_told_of_with_the_result(room, page, factor, told):
    image, _ = two_classes()
    room.viewer.add_image(factor * image, name="another")
    predict(room, page)
    assert page.notice.text().startswith("Predicted in")
    assert ("Almost all pixels of the image have one value" in page.notice.text()) == told


def results(room):
    """Return the results, without previews of a training, which come when they come."""
    layers = [layer for layer in room.viewer.layers if RESULT in layer.metadata]
    return [layer for layer in layers if "preview" not in layer.metadata[RESULT]]


def slow_tiles(page, room):
    """Let the prediction wait behind each tile until it is told to go on."""
    from threading import Semaphore

    from napari_unet.inference import predictor

    go, compute = Semaphore(0), predictor._TilePredictor.predict

    def wait_first(*arguments):
        go.acquire(timeout=20)
        return compute(*arguments)

    predictor._TilePredictor.predict = wait_first
    return go, lambda: setattr(predictor._TilePredictor, "predict", compute)


@pytest.fixture
def by_hand(page, room):
    """A prediction of 5 planes, in one tile each, that goes on only when `release()`d."""
    image, _ = two_classes((5, 64, 64))
    layer, _ = room.open(image)
    room.viewer.dims.set_current_step(0, 0)
    go, restore = slow_tiles(page, room)
    yield go, layer
    for _ in range(10):
        go.release()
    room.idle()
    restore()


def test_the_result_is_what_the_core_predicts(room, page, model):
    image, _ = two_classes((70, 90))
    layer, _ = room.open(image, scale=(2, 3), translate=(4, 5), units=("um", "um"))
    predict(room, page)
    (result,) = results(room)
    assert np.array_equal(result.data, napari_unet.predict(model, image))
    assert result.name == "picture – prediction"
    assert tuple(result.scale) == (2, 3)
    assert result.units == layer.units
    assert result.metadata[RESULT]["model"] == model.digest
    assert "Predicted in" in page.notice.text()
    assert page.footer.progress.isHidden()
    assert np.array_equal(layer.data, image)


def test_probabilities_too(room, page, model):
    image, _ = two_classes()
    room.open(image)
    page.form.probabilities.click()
    predict(room, page)
    *maps, labels = results(room)
    assert [layer.name for layer in maps] == ["picture – dark", "picture – bright"]
    expected = napari_unet.predict(model, image, output="probabilities")
    assert np.array_equal(np.stack([layer.data for layer in maps]), expected)
    assert np.array_equal(labels.data, napari_unet.predict(model, image))
    assert tuple(maps[1].colormap.map(np.array([1.0]))[0]) == pytest.approx((1, 0, 0, 1))


def test_a_2d_model_goes_plane_by_plane_through_a_stack(room, page, model):
    image, _ = two_classes((4, 64, 64))
    room.open(image)
    predict(room, page)
    assert np.array_equal(results(room)[0].data, napari_unet.predict(model, image))
    assert "4 tiles" in page.notice.text()


def test_lazy_images_and_pyramids(room, page, model):
    image, _ = two_classes()
    room.open([da.from_array(image), da.from_array(image[::2, ::2])], multiscale=True)
    predict(room, page)
    assert np.array_equal(results(room)[0].data, napari_unet.predict(model, image))


def test_the_tile_can_be_set_and_changes_nothing(room, page, model):
    image, _ = two_classes((200, 210))
    room.open(image)
    page.form.tile.check.setChecked(True)
    page.form.tile.editor.setText("144, 144")
    predict(room, page)
    assert np.array_equal(results(room)[0].data, napari_unet.predict(model, image))
    assert "1 tile." not in page.notice.text()


def test_a_tile_that_is_too_small_is_refused(room, page, notes):
    room.open(two_classes()[0])
    page.form.tile.check.setChecked(True)
    page.form.tile.editor.setText("8, 8")
    predict(room, page)
    assert "too small for the network" in page.notice.text()
    assert results(room) == []


def test_the_result_lies_above_the_image_and_below_the_strokes(room, page):
    image, strokes = two_classes()
    layer, labels = room.open(image, strokes)
    room.viewer.layers.selection.active = labels
    predict(room, page)
    assert [x.name for x in room.viewer.layers] == ["picture", "picture – prediction", "strokes"]
    assert room.viewer.layers.selection.active is labels
    assert room.form.labels.layer() is labels
    assert page.form.image.layer() is layer


def test_the_result_appears_tile_by_tile(room, page, by_hand):
    go, _ = by_hand
    room.click(page.footer.predict)
    room.wait(lambda: results(room))
    (result,) = results(room)
    shown = []
    result.events.set_data.connect(lambda: shown.append(result._slice.image.raw.any()))
    assert not result.data.any()
    go.release()
    room.wait(lambda: shown != [])
    assert shown == [True]
    assert result.data[0].all()
    assert not result.data[1:].any()
    assert "tile 1 of 5 ·" in page.footer.line.text()
    assert page.footer.progress.value() == 200


def test_what_is_not_in_view_is_not_drawn(room, page, by_hand):
    go, _ = by_hand
    room.viewer.dims.set_current_step(0, 4)
    room.click(page.footer.predict)
    room.wait(lambda: results(room))
    shown = []
    results(room)[0].events.set_data.connect(lambda: shown.append(1))
    for done in (1, 2):
        go.release()
        room.wait(lambda n=done: f"tile {n} of 5" in page.footer.line.text())
    room.qtbot.wait(300)
    assert shown == []


def test_cancel_keeps_what_is_done_and_says_so(room, page, by_hand):
    go, _ = by_hand
    room.click(page.footer.predict)
    go.release()
    room.wait(lambda: "tile 1 of 5" in page.footer.line.text())
    room.click(page.footer.cancel)
    assert page.footer.line.text() == "Stopping …"
    go.release()
    room.idle()
    (result,) = results(room)
    assert result.name == "picture – prediction (partial)"
    assert result.data[0].all()
    assert not result.data[4].any()
    assert "kept" in page.notice.text()
    assert not page.footer.predict.isHidden()


def test_the_result_removed_while_predicting_stops_it(room, page, by_hand, notes):
    go, _ = by_hand
    page.form.probabilities.click()
    room.click(page.footer.predict)
    go.release()
    room.wait(lambda: "tile 1 of 5" in page.footer.line.text())
    room.viewer.layers.remove(results(room)[-1])
    assert "removed, so the prediction was stopped" in page.notice.text()
    assert results(room) == []
    go.release()
    room.idle()
    assert notes == []
    assert not page.footer.predict.isHidden()


def test_a_probability_removed_while_predicting_changes_nothing_else(room, page, by_hand):
    go, _ = by_hand
    page.form.probabilities.click()
    room.click(page.footer.predict)
    go.release()
    room.wait(lambda: "tile 1 of 5" in page.footer.line.text())
    room.viewer.layers.remove(results(room)[0])
    for _ in range(5):
        go.release()
    room.idle()
    assert len(results(room)) == 2
    assert results(room)[-1].data.all()


def test_the_image_removed_while_predicting_does_not_matter(room, page, by_hand):
    go, layer = by_hand
    room.click(page.footer.predict)
    go.release()
    room.wait(lambda: "tile 1 of 5" in page.footer.line.text())
    room.viewer.layers.remove(layer)
    for _ in range(5):
        go.release()
    room.idle()
    assert results(room)[0].data.all()


def test_an_error_on_the_way_leaves_no_empty_layer(room, page, monkeypatch, notes):
    from napari_unet.inference import predictor

    def fail(*arguments):
        raise RuntimeError("device lost")

    monkeypatch.setattr(predictor._TilePredictor, "predict", fail)
    room.open(two_classes()[0])
    predict(room, page)
    assert "device lost" in page.notice.text()
    assert results(room) == []
    assert not page.footer.predict.isHidden()


def test_a_model_is_opened_described_and_chosen(room, model, tmp_path, monkeypatch):
    path = model.save(tmp_path / "fly")
    page = room.panel.predict
    assert page.form.info.isHidden()
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *a: (str(path), ""))
    room.panel.show_page("predict")
    room.click(page.form.files.open)
    room.wait(lambda: page.form.model.value() is not None)
    assert page.form.model.currentText().startswith("fly")
    assert model.digest[:8] not in page.form.model.currentText()
    tip = page.form.model.itemData(page.form.model.currentIndex(), Qt.ItemDataRole.ToolTipRole)
    assert f"Model ID {model.digest[:8]}" in tip
    text = page.form.info.text()
    for fact in (
        "Segment, 2D, 1 channel",
        "dark",
        "bright",
        "3 steps",
        model.digest[:8],
        "#00ff00",
    ):
        assert fact in text
    room.wait(lambda: not page.form.files._loader.running)
    room.click(page.form.files.open)
    room.wait(lambda: not page.form.files._loader.running)
    assert page.form.model.count() == 1


def test_predict_this_image_leads_from_training_to_the_result(painted):
    painted.train(steps=1)
    painted.click(painted.panel.train.footer.predict)
    assert painted.panel.tabs.currentWidget() is painted.panel.predict
    painted.idle()
    assert len(results(painted)) == 1


def test_a_class_0_is_shown_in_a_colour_of_its_own_or_none(room, tmp_path):
    image, strokes = two_classes()
    small = {"steps": 1, "size": "small", "batch_size": 1, "threads": 1}
    model = napari_unet.fit(image, strokes, zero="background", **small)
    room.panel.session.add("masks", model)
    room.open(image)
    room.panel.show_page("predict")
    predict(room, room.panel.predict)
    (result,) = results(room)
    assert set(np.unique(result.data)) <= {0, 1, 2}


def test_labels_follow_from_probabilities_as_they_are_written():
    probabilities, labels = np.zeros((2, 4, 4), np.float32), np.zeros((4, 4), np.uint8)
    out = LabelsAndProbabilities(probabilities, labels, (3, 9))
    out[(slice(None), slice(0, 2), slice(0, 4))] = np.array([[[0.4]], [[0.6]]], np.float32)
    assert labels[:2].tolist() == [[9] * 4] * 2
    assert not labels[2:].any()
    assert probabilities[1, 0, 0] == np.float32(0.6)
    assert (out.shape, out.dtype) == ((2, 4, 4), np.float32)


def test_a_3d_model_on_a_2d_layer(room, model3d, notes):
    room.panel.session.add("three", model3d)
    room.open(two_classes()[0])
    room.panel.show_page("predict")
    predict(room, room.panel.predict)
    assert "3D network needs 3 spatial axes" in room.panel.predict.notice.text()
    assert results(room) == []


def test_an_image_with_other_channels(room, page, notes):
    room.open(np.zeros((64, 64, 3), np.uint8), rgb=True)
    predict(room, page)
    assert "other channels than the model" in page.notice.text()
    assert notes == []
    assert results(room) == []


@pytest.mark.parametrize("content", [b"", b"not a model at all", b"\x00" * 64])
def test_a_file_that_is_no_model(room, tmp_path, notes, content):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    room.panel.predict.open_file(str(path))
    room.wait(lambda: notes != [])
    assert "not a model of napari-unet" in notes[0][1]
    assert room.panel.session.models == []


def test_a_file_that_is_not_there(room, tmp_path, notes):
    room.panel.predict.open_file(str(tmp_path / "gone.safetensors"))
    room.wait(lambda: notes != [])
    assert "There is no such model file" in notes[0][1]


def test_no_model_and_no_image(room, model, notes):
    room.panel.show_page("predict")
    room.click(room.panel.predict.footer.predict)
    assert "There is no model" in room.panel.predict.notice.text()
    room.panel.session.add("mine", model)
    room.click(room.panel.predict.footer.predict)
    assert room.panel.predict.notice.text().startswith("There is no image")
    assert not room.panel.predict.runner.running


def test_an_image_smaller_than_the_smallest_tile_is_mirrored(room, page, model):
    small = two_classes((24, 26))[0]
    room.open(small)
    predict(room, page)
    assert results(room)[0].data.shape == (24, 26)
    assert np.array_equal(results(room)[0].data, napari_unet.predict(model, small))


def test_the_request_names_what_the_layer_knows(room, page):
    room.open(np.zeros((2, 64, 64), np.float32), axis_labels=("t", "y", "x"))
    job = page.prediction.prepare(page.form.request())
    assert isinstance(job.request, Request)
    assert job.request.axes == ("t", "y", "x")
    assert results(room)[0].data.shape == (2, 64, 64)


def test_without_a_model_no_setting_of_one_is_shown(room):
    form = room.panel.predict.form
    assert form.model.value() is None
    for editor in (form.probabilities, form.missing, form.keep_known, form.flips):
        assert editor.isHidden()

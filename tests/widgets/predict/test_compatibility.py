"""What is said of a model and an image that do not fit, before anything is computed."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.data.normalisation import Normalisation
from napari_unet.model import ClassInfo, InputSpec, TrainedModel
from napari_unet.network.unet_config import UNetConfig
from napari_unet.widgets.layers.layer_data import LayerData
from napari_unet.widgets.predict.compatibility import find_issues

CLASSES = (ClassInfo(1), ClassInfo(2))


def model(ndim=2, channels=1, spacing=(), **fields):
    usual = {"classes": CLASSES, "spacing": spacing, **fields}
    config = UNetConfig(ndim=ndim).with_channels(channels, 2)
    norm = Normalisation("none", (0.0,) * channels, (1.0,) * channels)
    # Models are told apart by their weights.
    weights = {"w": np.array([ndim, channels, *spacing], np.float32)}
    return TrainedModel(config, weights, norm, **usual)


def filler():
    one = Normalisation("none", (0.0,), (1.0,))
    return TrainedModel(
        UNetConfig().with_channels(2, 1),
        {"w": np.zeros(3, np.uint8)},
        one,
        task="inpaint",
        target=one,
        input_spec=InputSpec(mask=True),
    )


def picture(shape=(40, 40), dtype=np.uint8, rgb=False, scale=None, axes=()):
    ndim = len(shape) - rgb
    return LayerData("cells", np.zeros(shape, dtype), rgb, axes, scale or (1.0,) * ndim)


def said(*arguments):
    return [(m.kind, m.text) for m in find_issues(*arguments)]


@pytest.mark.parametrize(
    ("model", "picture", "words"),
    [
        (model(3), picture(), ("The model is 3D", "“cells” has 2 spatial axes", "40 × 40")),
        (model(3), picture((40, 40, 3), rgb=True), ("The model is 3D", "2 spatial axes")),
        (model(2, 3), picture(), ("reads 3 channels", "“cells” has 1", "40 × 40")),
        (model(), picture((40, 40, 3), rgb=True), ("reads 1 channel,", "“cells” has 3")),
        (filler(), picture(), ("fills in missing pixels", "under “Missing”")),
        (
            model(2, 3, input_spec=InputSpec(context_planes=3)),
            picture(),
            ("3 planes", "single image"),
        ),
    ],
)
def test_what_cannot_be_predicted_names_both_sides(model, picture, words):
    ((kind, text),) = said(model, picture)
    assert kind == "error"
    for word in words:
        assert word in text


def test_a_mask_of_another_shape_is_named():
    ((kind, text),) = said(filler(), picture(), np.zeros((3, 3), np.uint8))
    assert kind == "error"
    assert "(40, 40)" in text
    assert "(3, 3)" in text


@pytest.mark.parametrize(
    ("model", "picture", "mask"),
    [
        (model(), picture(), None),
        (model(), picture((5, 40, 40)), None),
        (model(2, 3), picture((3, 40, 40)), None),
        (filler(), picture(dtype=np.float32), None),
        (filler(), picture(), np.zeros((40, 40), np.uint8)),
        (model(spacing=(0.5, 0.5)), picture(), None),
        (model(spacing=(1.0, 1.0)), picture(scale=(9.0, 9.0)), None),
        (model(spacing=(0.5, 0.5)), picture(scale=(0.7, 0.4)), None),
        (model(spacing=(0.5, 0.5)), picture((5, 40, 40), scale=(30.0, 0.5, 0.5)), None),
        (model(), picture(), np.zeros((3, 3), np.uint8)),
    ],
)
def test_nothing_is_said_where_they_fit(model, picture, mask):
    assert said(model, picture, mask) == []


def test_voxels_of_another_size_are_a_caution():
    ((kind, text),) = said(model(3, spacing=(45, 4.6, 4.6)), picture((9, 9, 9), scale=(45, 9, 4.6)))
    assert kind == "warning"
    assert "45 × 4.6 × 4.6" in text
    assert "45 × 9 × 4.6" in text
    ((kind, _),) = said(model(spacing=(2.0, 2.0)), picture(scale=(1.0, 1.3)))
    assert kind == "warning"


@pytest.fixture
def page(room):
    room.panel.show_page("predict")
    return room.panel.predict


def test_it_is_said_on_the_page_before_predict_is_pressed(room, page):
    grey, colours = np.zeros((64, 64), np.uint8), np.zeros((64, 64, 3), np.uint8)
    layer = room.viewer.add_image(colours, name="colours", rgb=True)
    assert page.form.compatibility.isHidden()
    room.panel.session.add("mine", model())
    assert "“colours” has 3" in page.form.compatibility.text()
    assert page.form.compatibility.property("kind") == "error"
    page.form.image.set_layer(room.viewer.add_image(grey, name="grey", scale=(9, 9)))
    assert page.form.compatibility.isHidden()
    room.panel.session.add("fine", model(spacing=(0.5, 0.5)))
    assert page.form.compatibility.property("kind") == "warning"
    assert "9 × 9" in page.form.compatibility.text()
    page.form.image.set_layer(layer)
    assert page.form.compatibility.property("kind") == "error"


def test_a_mask_makes_it_fit(room, page):
    room.viewer.add_image(np.zeros((64, 64), np.uint8), name="holes")
    room.panel.session.add("filler", filler())
    assert "fills in missing pixels" in page.form.compatibility.text()
    page.form.missing.set_layer(room.viewer.add_labels(np.zeros((64, 64), np.uint8), name="mask"))
    assert page.form.compatibility.isHidden()


def test_once_predict_is_pressed_it_is_said_once(room, page, notes):
    room.viewer.add_image(np.zeros((64, 64, 3), np.uint8), rgb=True)
    room.panel.session.add("mine", model())
    room.click(page.footer.predict)
    assert "other channels" in page.notice.text()
    assert page.form.compatibility.isHidden()

"""Predicting images from the panel: how results look, and what is asked of the model."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image
from napari.utils.colormaps import Colormap

import napari_unet
from napari_unet.data.normalisation import Normalisation
from napari_unet.inference.request import Request as Asked
from napari_unet.inference.request import allocate_result, find_view
from napari_unet.model import InputSpec, TrainedModel, weights_of
from napari_unet.network.build import build_network
from napari_unet.network.unet_config import UNetConfig
from napari_unet.widgets.layers.factory import result_images
from napari_unet.widgets.layers.provenance import RESULT
from napari_unet.widgets.models import describe_model
from tests.widgets.layers.test_factory import WHERE, same_place

UNITS = Normalisation("mean_sd", (100.0,), (20.0,))


def image_model(task="denoise", channels=(1, 1), mask=False):
    """Return a model that learned nothing: what it makes of an image is sure, if not useful."""
    given, made = channels
    config = UNetConfig.sized("small", 2, in_channels=given * (1 + mask), out_channels=made)
    return TrainedModel(
        config,
        weights_of(build_network(config)),
        UNITS.repeat(given),
        task=task,
        spacing=(1.0, 1.0),
        training={"steps": 7, "why": "It was told to.", "validation": {"loss": 0.25, "pixels": 9}},
        target=UNITS.repeat(made),
        input_spec=InputSpec(mask=mask),
    )


@pytest.fixture(scope="module")
def denoiser():
    return image_model()


@pytest.fixture(scope="module")
def filler():
    return image_model("inpaint", mask=True)


@pytest.fixture
def page(room):
    room.panel.show_page("predict")
    return room.panel.predict


def picture(shape=(64, 64)):
    random = np.random.default_rng(0)
    return random.normal(100, 10, shape).clip(0, 255).astype(np.uint8)


def results(room):
    """Return the results, without previews of a training, which come when they come."""
    layers = [layer for layer in room.viewer.layers if RESULT in layer.metadata]
    return [layer for layer in layers if "preview" not in layer.metadata[RESULT]]


def predict(room, page, model, image, **arguments):
    room.panel.session.add("mine", model)
    layer, _ = room.open(image, **arguments)
    room.click(page.footer.predict)
    room.idle()
    room.wait(lambda: not page.quality.residual.runner.running)
    return layer


def shown(page, *names):
    return [not getattr(page, name).isHidden() for name in names]


def test_the_page_shows_what_a_model_can_be_asked(room, page, denoiser, filler):
    parts = ("probabilities", "flips", "missing", "keep_known")
    room.panel.session.add("a", denoiser)
    assert shown(page.form, *parts) == [False, True, False, False]
    room.panel.session.add("b", filler)
    assert shown(page.form, *parts) == [False, True, True, True]
    assert page.form.keep_known.value()
    assert not page.form.flips.value()


def test_the_result_is_what_the_core_predicts_and_looks_like_the_image(room, page, denoiser):
    image = picture((3, 64, 70))
    looks = {"contrast_limits": (20, 180), "colormap": "magma", "gamma": 0.5}
    where = {**WHERE, "axis_labels": ("t", "y", "x")}
    layer = predict(room, page, denoiser, image, **looks, **where)
    (result,) = results(room)
    assert np.array_equal(result.data, napari_unet.predict(denoiser, image))
    assert result.data.dtype == np.float32
    assert result.name == "picture – denoised"
    assert same_place(result, layer)
    assert result.contrast_limits == [20, 180]
    assert (result.colormap.name, result.gamma) == ("magma", 0.5)
    facts = result.metadata[RESULT]
    assert (facts["model"], facts["image"], facts["task"]) == (
        denoiser.digest,
        "picture",
        "denoise",
    )
    assert facts["prediction_seconds"] >= 0
    assert np.array_equal(layer.data, image)
    assert shown(page, "refine_section", "quality", "provenance") == [False, True, True]
    assert not page.quality.compare.isHidden()
    assert not page.quality.residual_section.isHidden()
    assert page.quality.residual.verdict.text()


def test_flips_are_asked_for_and_told(room, page, denoiser):
    room.panel.session.add("mine", denoiser)
    page.form.flips.click()
    image = picture()
    predict(room, page, denoiser, image)
    (result,) = results(room)
    plain = napari_unet.predict(denoiser, image)
    assert np.allclose(result.data, napari_unet.predict(denoiser, image, flips=True), atol=1e-4)
    assert not np.allclose(result.data, plain, atol=1e-4)
    assert "--flips" in result.metadata[RESULT]["commands"][-1]


def test_what_is_missing_is_filled_in_and_the_rest_is_kept(room, page, filler):
    image, mask = picture(), np.zeros((64, 64), np.uint8)
    mask[20:30, 5:50] = 3
    holes = room.viewer.add_labels(mask, name="holes")
    predict(room, page, filler, image)
    assert page.form.missing.layer() is holes
    (result,) = results(room)
    assert result.name == "picture – filled in"
    assert np.array_equal(result.data, napari_unet.predict(filler, image, mask=mask))
    assert np.array_equal(result.data[mask == 0], image[mask == 0])
    assert not np.array_equal(result.data[mask > 0], image[mask > 0])
    assert "--mask holes.tif" in result.metadata[RESULT]["commands"][-1]
    assert page.quality.residual_section.isHidden()


def test_known_pixels_can_be_replaced_too(room, page, filler):
    room.panel.session.add("mine", filler)
    page.form.keep_known.click()
    image, mask = picture(), np.zeros((64, 64), np.uint8)
    mask[20:30] = 1
    room.viewer.add_labels(mask, name="holes")
    predict(room, page, filler, image)
    expected = napari_unet.predict(filler, image, mask=mask, keep_known=False)
    assert np.array_equal(results(room)[0].data, expected)
    assert "--no-keep-known" in results(room)[0].metadata[RESULT]["commands"][-1]


def test_nan_is_missing_without_a_mask(room, page, filler):
    image = picture().astype(np.float32)
    image[10:20, 10:20] = np.nan
    predict(room, page, filler, image, contrast_limits=(0, 255))
    assert page.form.missing.layer() is None
    assert np.array_equal(results(room)[0].data, napari_unet.predict(filler, image))


def test_no_mask_for_integers_is_refused_before_a_layer_is_made(room, page, filler, notes):
    predict(room, page, filler, picture())
    assert "needs to know which pixels are missing" in page.notice.text()
    assert results(room) == []


def test_colours_come_back_as_colours(room, page):
    model = image_model("restore", (3, 3))
    image = picture((64, 64, 3))
    layer = predict(room, page, model, image, rgb=True)
    (result,) = results(room)
    assert result.rgb
    assert result.contrast_limits == layer.contrast_limits == [0, 255]
    assert np.array_equal(result.data, napari_unet.predict(model, image, rgb=True))
    assert not page.quality.reference_section.isHidden()


def test_a_partial_result_is_compared_but_not_measured(room, page, denoiser, monkeypatch):
    from napari_unet.inference import predictor

    compute = predictor._TilePredictor.predict

    def stop_behind(*arguments):
        compute(*arguments)
        page.runner.stop()

    monkeypatch.setattr(predictor._TilePredictor, "predict", stop_behind)
    predict(room, page, denoiser, picture((3, 64, 64)))
    assert results(room)[0].name == "picture – denoised (partial)"
    assert not page.quality.compare.isHidden()
    assert page.quality.residual_section.isHidden()
    assert page.quality.reference_section.isHidden()


def test_what_has_other_units_gets_another_contrast(room, page):
    model = image_model("restore").with_facts(target=Normalisation("mean_sd", (9e4,), (1e4,)))
    layer = predict(room, page, model, picture(), contrast_limits=(0, 255))
    low, high = results(room)[0].contrast_limits
    assert high > 1000 > layer.contrast_limits[1]
    assert low < high


def shapes(image, model, **arguments):
    layer = Image(image, name="p", **arguments)
    asked = Asked(rgb=bool(layer.rgb), axes=tuple(layer.axis_labels))
    view = find_view(model, image, asked)
    data = allocate_result(model, view, "image")
    layers = result_images(data, model, layer, view.layout.channel)
    assert all(np.shares_memory(x.data, data) for x in layers)
    assert all(same_place(x, layer) for x in layers)
    return [(x.name, x.data.shape) for x in layers]


def test_channels_that_the_image_has_no_axis_for_are_layers():
    two = [("p – restored 1", (32, 40)), ("p – restored 2", (32, 40))]
    assert shapes(np.zeros((32, 40)), image_model("restore", (1, 2))) == two
    colours = np.zeros((32, 40, 3), np.uint8)
    assert shapes(colours, image_model("restore", (3, 2)), rgb=True) == two
    one = [("p – restored", (32, 40))]
    assert shapes(colours, image_model("restore", (3, 1)), rgb=True) == one
    named = {"axis_labels": ("c", "y", "x")}
    assert shapes(np.zeros((2, 32, 40)), image_model("restore", (2, 3)), **named) == [
        ("p – restored", (3, 32, 40))
    ]


def test_a_colormap_of_ones_own_is_kept():
    image = Image(np.zeros((32, 40)), colormap=Colormap([[0, 0, 0, 1], [0, 1, 0, 1]], name="mine"))
    (layer,) = result_images(np.zeros((32, 40), np.float32), image_model(), image, None)
    assert np.allclose(layer.colormap.colors, image.colormap.colors)


def test_a_model_is_described():
    text = describe_model(image_model("restore", (2, 1)))
    for fact in ("Restore, 2D, 2 channels in, 1 out", "held-out loss 0.25", "It was told to."):
        assert fact in text
    assert "1 channel<" in describe_model(image_model("inpaint", mask=True))

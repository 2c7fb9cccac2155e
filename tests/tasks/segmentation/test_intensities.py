"""Images of another exposure than the one that was learned from."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from typer.testing import CliRunner

import napari_unet
from napari_unet import UnlikeTrainingWarning
from napari_unet.cli import commands
from napari_unet.inference.request import Request
from napari_unet.model import TrainedModel
from napari_unet.network.unet_config import UNetConfig

TINY = UNetConfig(encoder=((8,),), bottom=(8,), decoder=((8,),), filters=((1.0, 1.0),))


def discs(seed: int = 0, count: int = 9, side: int = 96) -> NDArray[np.float64]:
    """Return bright discs of radius 8 on noise of 5 around 100."""
    random = np.random.default_rng(seed)
    image = random.normal(100, 5, (side, side))
    y, x = np.indices(image.shape)
    for i in range(count):
        centre = (16 + 32 * (i // 3), 16 + 32 * (i % 3))
        image[(y - centre[0]) ** 2 + (x - centre[1]) ** 2 < 64] += 150
    return image


@pytest.fixture(scope="module")
def model() -> TrainedModel:
    image = discs()
    strokes = np.zeros(image.shape, np.uint8)
    strokes[14:18, 10:22] = 1
    strokes[46:50, 42:54] = 1
    strokes[30:34, 4:90] = 2
    strokes[62:66, 4:90] = 2
    options = {"network": TINY, "threads": 1, "patch": (48, 48), "held_out": 0.0}
    return napari_unet.fit(image, strokes, steps=60, learning_rate=0.01, **options)


def labels_of(
    model: TrainedModel, image: NDArray[np.float64], **request: object
) -> NDArray[np.uint8]:
    """Predict, whatever is said of the image."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnlikeTrainingWarning)
        return napari_unet.predict(model, image, **request)


def found(model: TrainedModel, image: NDArray[np.float64], **request: object) -> float:
    """Return the agreement with the discs: intersection over union."""
    truth = discs() > 175
    labels = labels_of(model, image, **request) == 1
    return float((labels & truth).sum() / (labels | truth).sum())


@pytest.mark.parametrize(("gain", "offset"), [(1, 0), (1, 60), (0.3, 0), (40, 1e5)])
def test_exposure_and_offset_of_another_image_do_not_matter(model, gain, offset):
    image = gain * discs(1) + offset
    assert found(model, image) > 0.85
    if gain * offset:
        assert found(model, image, comparable=True) < 0.5


@pytest.mark.parametrize("hot", [1e9, 65_535])
def test_a_hot_pixel_does_not_matter(model, hot):
    image = discs(1)
    image[60, 10] = hot
    assert found(model, image) > 0.85


def test_an_empty_image_stays_empty_and_a_single_disc_is_found(model):
    empty = discs(2, count=0)
    assert (labels_of(model, empty + 40) == 1).mean() < 1e-3
    wide = np.random.default_rng(0).normal(140, 5, (300, 300))
    y, x = np.indices(wide.shape)
    disc = (y - 150) ** 2 + (x - 90) ** 2 < 64
    wide[disc] += 150
    labels = labels_of(model, wide) == 1
    assert (labels & disc).sum() / (labels | disc).sum() > 0.7


def test_the_result_does_not_depend_on_the_tile(model):
    image = 3 * discs(1) + 7
    whole, tiled = (
        napari_unet.predict(model, image, output="probabilities", tile=tile)
        for tile in (None, (40, 40))
    )
    np.testing.assert_allclose(whole, tiled, atol=1e-5)


def test_each_plane_of_a_series_is_measured_for_itself(model):
    series = np.stack([discs(1), 0.2 * discs(1) + 900, discs(1)])
    labels = napari_unet.predict(model, series)
    for plane, image in zip(labels, series, strict=True):
        np.testing.assert_array_equal(plane, napari_unet.predict(model, image))


def test_a_model_of_comparable_intensities_takes_them_as_they_are(tmp_path):
    image = discs()
    strokes = np.where(image > 175, 1, 2)
    options = {"network": TINY, "threads": 1, "patch": (48, 48), "intensities": "comparable"}
    model = napari_unet.fit(image, strokes, steps=2, **options)
    assert not model.normalisation.per_image
    brighter = discs(1) + 60
    as_they_are = labels_of(model, brighter, output="probabilities")
    same = labels_of(model, brighter, output="probabilities", comparable=True)
    np.testing.assert_array_equal(as_they_are, same)


def test_a_saved_model_measures_too_and_the_command_line_can_switch_it_off(model, tmp_path):
    path = model.save(tmp_path / "model")
    again = napari_unet.load_model(path)
    assert again.normalisation == model.normalisation
    header = json.dumps(again.header())
    assert '"reference"' in header
    image = discs(1) + 60
    tifffile.imwrite(tmp_path / "image.tif", image)
    for flags, comparable in ([], False), (["--comparable"], True):
        out = tmp_path / f"out{comparable}.tif"
        arguments = ["predict", str(path), str(tmp_path / "image.tif"), "-o", str(out), *flags]
        assert CliRunner().invoke(commands.app, arguments).exit_code == 0
        expected = labels_of(model, image, comparable=comparable)
        np.testing.assert_array_equal(tifffile.imread(out), expected)
    assert Request().comparable is False

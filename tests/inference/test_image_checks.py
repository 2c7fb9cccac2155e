"""What is said of images that are unlike those that a model learned from."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

import napari_unet
from napari_unet import UnlikeTrainingWarning
from napari_unet.data.normalisation import Normalisation, fit_to_classes
from napari_unet.data.source import open_source
from napari_unet.errors import InputError
from napari_unet.inference.image_checks import ImageChecks, spacing_differences
from napari_unet.inference.predictor import predict_events
from napari_unet.inference.request import PredictionFinished, Request
from napari_unet.model import ClassInfo, TrainedModel, weights_of
from napari_unet.network.build import build_network
from napari_unet.network.unet_config import UNetConfig
from tests.data.test_normalisation import nuclei, view_of

TINY = UNetConfig(encoder=((4,),), bottom=(4,), decoder=((4,),))


@pytest.fixture(params=[True, False], ids=["per-image", "comparable"])
def model(request) -> TrainedModel:
    fitted, _ = fit_to_classes([view_of(nuclei())], "mean_sd", per_image=request.param)
    classes = (ClassInfo(1), ClassInfo(2))
    weights = weights_of(build_network(TINY))
    return TrainedModel(TINY, weights, fitted, classes=classes, spacing=(0.5, 0.5))


def told(model: TrainedModel, image: NDArray[np.float64], **request: object) -> tuple[str, ...]:
    events = list(predict_events(model, open_source(image), Request(**request)))
    assert isinstance(events[-1], PredictionFinished)
    return events[-1].warnings


def test_nothing_is_said_of_an_image_like_those_of_the_training(model):
    assert told(model, nuclei(0.1, seed=5)) == told(model, nuclei(0.3, seed=6)) == ()


@pytest.mark.parametrize("per_image", [True, False])
def test_nothing_is_said_of_the_images_of_the_training_however_unlike_each_other(per_image):
    images = [nuclei(), 200 - nuclei(seed=1), 5 * nuclei(seed=2)]
    images.append(nuclei(seed=3) + np.random.default_rng(0).normal(0, 9, nuclei().shape))
    fitted, _ = fit_to_classes([view_of(x) for x in images], "mean_sd", per_image=per_image)
    fitted = Normalisation.from_dict(json.loads(json.dumps(fitted.to_dict())))
    weights = weights_of(build_network(TINY))
    model = TrainedModel(TINY, weights, fitted, classes=(ClassInfo(1), ClassInfo(2)))
    assert [told(model, image) for image in images] == [()] * len(images)
    assert told(model, images[0] * np.nan)


def test_another_exposure_is_said_only_where_it_matters(model):
    (message,) = told(model, 4 * nuclei() + 200) or ("",)
    assert bool(message) == (not model.normalisation.per_image)
    assert not message or "unlike those of the training" in message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda image: image * np.nan, "no finite pixels"),
        (lambda image: 0 * image + 7, "one value"),
        (
            lambda image: np.random.default_rng(0).normal(50, 2, image.shape),
            "Hardly anything stands out",
        ),
        (lambda image: 200 - image, "unlike those of the training"),
        (lambda image: image + np.random.default_rng(0).normal(0, 9, image.shape), "5 times as"),
    ],
)
def test_what_is_unlike_the_training_is_said(model, change, said):
    (message,) = told(model, change(nuclei()))
    assert said in message


def test_of_a_series_it_says_how_many_and_where(model):
    series = np.stack([nuclei(), nuclei() * np.nan, nuclei() * np.nan])
    (message,) = told(model, series)
    assert message.endswith("(2 of 3 images, first at 1).")


def test_python_warns(model):
    with pytest.warns(UnlikeTrainingWarning, match="one value"):
        napari_unet.predict(model, np.full((64, 64), 3.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        napari_unet.predict(model, nuclei(seed=3))


def test_pixels_of_another_size_are_said(model):
    (message,) = told(model, nuclei(), spacing=(0.1, 0.1))
    assert message.startswith("Objects appear 5 times larger")
    assert not told(model, nuclei(), spacing=(0.45, 0.5))


@pytest.mark.parametrize(
    ("trained", "here", "said"),
    [
        ((1, 1), (5, 5), ""),
        ((0.5, 0.5), (1, 1), ""),
        ((0.5, 0.5), (), ""),
        ((0.5, 0.5), (2, 0.5, 0.5), ""),
        ((2, 0.5, 0.5), (2, 1.5, 1.5), "3 times smaller"),
    ],
)
def test_sizes_of_pixels_are_compared_where_both_are_known(trained, here, said):
    messages = list(spacing_differences(trained, here))
    assert len(messages) == bool(said)
    assert not messages or said in messages[0]


def test_a_tile_that_is_too_small_is_named_as_what_it_is(model):
    with pytest.raises(InputError, match=r"tile is too small .* Set a larger tile"):
        napari_unet.predict(model, nuclei(), tile=(2, 2))


@pytest.mark.parametrize(
    ("operation", "tiles", "said"),
    [
        (b"InstanceNormalization", 4, 1),
        (b"InstanceNormalization", 1, 0),
        (b"BatchNormalization", 4, 0),
    ],
)
def test_imported_networks_that_look_at_the_whole_tile_are_told_of(model, operation, tiles, said):
    program = np.frombuffer(b"...." + operation + b"....", np.uint8)
    checks = ImageChecks(replace(model, weights={"program": program}))
    checks.add_tiles(tiles)
    assert len(checks.messages) == said

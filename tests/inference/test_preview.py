"""What is looked at is predicted exactly as the whole image would be."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_unet import predict
from napari_unet.control import Previewed, Viewport
from napari_unet.errors import InputError
from napari_unet.geometry.region import Region
from napari_unet.inference.predictor import Request
from napari_unet.inference.preview import class_uncertainty, preview_events
from napari_unet.model import ClassInfo
from tests.inference.models import FLAT, VOLUME, model

CLASSES = (ClassInfo(3), ClassInfo(300))


def look(trained, image, view, **request) -> Previewed:
    (preview,) = preview_events(trained, image, Request(threads=1, **request), view)
    return preview


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(
    ("config", "shape", "index", "region"),
    [
        (FLAT, (70, 61), (), Region((33, 7), (70, 50))),
        (FLAT, (3, 50, 40), (2,), Region((0, 0), (50, 40))),
        (FLAT, (2, 2, 30, 40), (1, 0), Region((5, 39), (6, 40))),
        (VOLUME, (9, 40, 41), (), Region((2, 11, 3), (5, 40, 30))),
        (VOLUME, (2, 9, 40, 41), (1,), Region((4, 1, 3), (5, 30, 41))),
    ],
)
def test_it_equals_the_prediction_of_the_whole(config, shape, index, region, padding):
    trained = model(
        config.model_copy(update={"padding": padding}), classes=CLASSES, training={"steps": 70}
    )
    image = np.random.default_rng(0).random(shape).astype(np.float32)
    view = Viewport(index, region)
    preview = look(trained, image, view)
    here = (*index, *region.slices)
    whole = predict(trained, image, tile=(24,) * config.ndim)[here]
    ordered = np.sort(predict(trained, image, output="probabilities")[(slice(None), *here)], 0)
    assert preview.view == view
    assert preview.step == 70
    assert preview.labels.shape == preview.unsure.shape == region.shape
    assert np.allclose(preview.unsure, 1 - ordered[-1] + ordered[-2], atol=1e-5)
    clear = ordered[-1] - ordered[-2] > 1e-4
    assert clear.any()
    assert np.array_equal(preview.labels[clear], whole[clear])
    assert set(np.unique(preview.labels)) <= {3, 300}


def test_channels_are_found_as_in_a_prediction():
    trained = model(FLAT.model_copy(update={"in_channels": 3}), classes=CLASSES)
    image = np.random.default_rng(0).random((3, 40, 30)).astype(np.float32)
    view = Viewport((), Region((3, 5), (40, 30)))
    labels = look(trained, image, view, channel_axis=0).labels
    assert np.array_equal(labels, predict(trained, image, channel_axis=0)[3:, 5:])


def test_a_step_that_is_not_known_is_0():
    assert look(model(), np.zeros((20, 20)), Viewport((), Region((0, 0), (5, 5)))).step == 0


@pytest.mark.parametrize(
    ("index", "region"),
    [
        ((), Region((0, 0), (5, 5))),
        ((2,), Region((0, 0), (5, 5))),
        ((-1,), Region((0, 0), (5, 5))),
        ((0,), Region((0, 0), (21, 5))),
        ((0,), Region((-1, 0), (5, 5))),
        ((0,), Region((4, 4), (4, 4))),
        ((0,), Region((0, 0, 0), (1, 5, 5))),
    ],
)
def test_what_lies_outside_is_refused(index, region):
    with pytest.raises(InputError, match="lies outside the image"):
        look(model(), np.zeros((2, 20, 20)), Viewport(index, region))


def test_without_classes_there_is_nothing_to_show():
    with pytest.raises(InputError, match="does not distinguish classes"):
        look(model(classes=()), np.zeros((20, 20)), Viewport((), Region((0, 0), (5, 5))))


def test_unsure_is_1_where_two_are_level_and_0_where_one_is_certain():
    answers = torch.tensor([[1.0, 0.5, 0.4], [0.0, 0.5, 0.35], [0.0, 0.0, 0.25]])
    assert class_uncertainty(answers).tolist() == pytest.approx([0, 1, 0.95])

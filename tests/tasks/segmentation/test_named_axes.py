"""Names of axes decide how an image is read; shapes only where there are no names."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet import fit, predict, train
from napari_unet.errors import InputError
from napari_unet.training.events import Started

HOW = {"steps": 2, "size": "small", "batch_size": 1, "threads": 1, "filters": False}


def scene(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return noise with a bright right half, and two strokes on each plane."""
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    image[..., shape[-1] // 2 :] += 4
    labels = np.zeros(shape, np.uint8)
    labels[..., 4:20, 4:9] = 1
    labels[..., 4:20, -9:-4] = 2
    return image, labels


def plan_of(image, labels, **options):
    events = train(image, labels, **HOW, **options)
    return next(event.plan for event in events if isinstance(event, Started))


@pytest.mark.parametrize(
    ("axes", "ndim", "loops", "spatial"),
    [
        (("t", "y", "x"), 2, [0], [1, 2]),
        (("Time", "y", "x"), 2, [0], [1, 2]),
        (("z", "y", "x"), 3, [], [0, 1, 2]),
        (None, 3, [], [0, 1, 2]),
    ],
)
def test_frames_are_learned_one_by_one_and_planes_together(axes, ndim, loops, spatial):
    plan = plan_of(*scene((9, 40, 40)), axes=axes)
    assert (plan["ndim"], plan["channels"]) == (ndim, 1)
    assert (plan["images"][0]["loops"], plan["images"][0]["spatial"]) == (loops, spatial)


def test_a_stack_over_time_is_a_volume_per_frame():
    image, labels = scene((2, 9, 40, 40))
    plan = plan_of(image, labels, axes=("t", "z", "y", "x"))
    assert plan["images"][0]["spatial"] == [1, 2, 3]
    assert plan["images"][0]["channel"] is None


def test_channels_are_those_of_the_axis_named_so_though_there_are_as_many_frames():
    image, labels = scene((2, 40, 40))
    both = np.stack([image, image], axis=1)
    plan = plan_of(both, labels, axes=("t", "c", "y", "x"))
    assert (plan["channels"], plan["images"][0]["channel"]) == (2, 1)


def test_labels_without_the_time_of_their_image_are_refused():
    image, labels = scene((5, 9, 40, 40))
    with pytest.raises(InputError, match=r"has a time axis, but its labels have none.*new strokes"):
        fit(image, labels[0], axes=("t", "z", "y", "x"), **HOW)
    # Without names, the shapes say that the first axis holds channels.
    assert plan_of(image, labels[0])["channels"] == 5


def test_time_may_be_the_last_axis():
    image, labels = scene((3, 40, 40))
    names = ("t", "y", "x")
    model = fit(image, labels, axes=names, **HOW)
    order = (1, 2, 0)
    last = {"axes": tuple(names[a] for a in order)}
    other = fit(image.transpose(order), labels.transpose(order), **last, **HOW)
    assert other.config.ndim == 2
    for name, weights in model.weights.items():
        np.testing.assert_array_equal(weights, other.weights[name])
    found = predict(model, image, axes=names)
    np.testing.assert_array_equal(
        predict(other, image.transpose(order), **last), found.transpose(order)
    )


def test_a_3d_network_reads_time_as_depth_where_it_is_asked_for():
    image, labels = scene((9, 40, 40))
    assert plan_of(image, labels, axes=("t", "y", "x"), ndim=3)["ndim"] == 3

"""What follows from shapes, axes and options alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_unet.errors import InputError
from napari_unet.network.registry import preset
from napari_unet.tasks.images.options import DenoiseOptions, InpaintOptions, RestoreOptions
from napari_unet.tasks.plan import ImageShape, choose_ndim, plan_training
from napari_unet.tasks.segmentation.options import SegmentOptions


def test_a_segmentation_reads_channels_and_gives_classes():
    options = SegmentOptions(axes=("t", "c", "y", "x"), spacing=(1.0, 1.0, 0.5, 0.5))
    images = [ImageShape.of((5, 2, 200, 300), 2, options)]
    plan = plan_training("segment", images, options, output_channels=3)
    assert (plan.ndim, plan.axes, plan.channels) == (2, ("y", "x"), 2)
    assert (plan.network.in_channels, plan.network.out_channels) == (2, 3)
    assert plan.spacing == (0.5, 0.5)
    assert plan.layouts[0].loops == (0,)
    assert plan.network.output_for(plan.input_shape) == plan.output_shape
    assert plan.batch_size == 8
    assert plan.with_classes((1, 2, 3, 9)).network.out_channels == 4


def test_planes_and_masks_are_channels_too():
    options = InpaintOptions(planes=3, batch_size=5)
    images = [ImageShape.of((9, 100, 80), 2, options)]
    plan = plan_training("inpaint", images, options, output_channels=1)
    assert plan.network.in_channels == 1 * 3 * 2
    assert (plan.context_planes, plan.mask_channel, plan.batch_size) == (3, True, 5)
    assert plan.input_shape == plan.output_shape == (64, 64)
    other = plan_training(
        "denoise",
        images,
        DenoiseOptions(),
        output_channels=1,
        context_planes=5,
    )
    assert other.network.in_channels == 5


def test_a_target_may_have_other_channels():
    options = RestoreOptions(readout="softplus", channel_axis=0)
    image = ImageShape.of((3, 64, 64), 2, options)
    assert image.target((64, 64)).channels == 1
    assert image.target((2, 64, 64)).channels == 2
    assert image.target((3, 64, 64)) is image
    plan = plan_training("restore", [image], options, output_channels=1)
    assert plan.network.model_dump()["readout"] == "softplus"


def test_the_largest_image_decides_the_patch():
    options = SegmentOptions(padding="same")
    images = [ImageShape.of(shape, 2, options) for shape in ((20, 30), (100, 25))]
    plan = plan_training("segment", images, options, output_channels=2)
    assert plan.input_shape[0] >= 96
    assert plan.input_shape[1] <= 32


@pytest.mark.parametrize(
    ("options", "wanted", "shape", "ndim"),
    [
        ({}, 3, (20, 20), 3),
        ({"network": preset("fcn8s")}, None, (9, 20, 20), 2),
        ({"zero": "background"}, None, (9, 20, 20), 3),
        ({"zero": "background"}, None, (7, 20, 20), 2),
        ({}, None, (9, 20, 20), 2),
    ],
)
def test_dimensions(options, wanted, shape, ndim):
    labels = [np.zeros(shape, np.uint8)]
    assert choose_ndim(SegmentOptions(**options), wanted, labels=labels) == ndim


@pytest.mark.parametrize(
    ("names", "image", "painted", "ndim"),
    [
        ("tyx", (12, 20, 20), (12, 20, 20), 2),
        ("yxt", (20, 20, 12), (20, 20, 12), 2),
        ("tcyx", (12, 2, 20, 20), (12, 20, 20), 2),
        ("tzyx", (4, 12, 20, 20), (4, 12, 20, 20), 3),
        ("tzyx", (12, 4, 20, 20), (12, 4, 20, 20), 2),
        ("zyx", (12, 20, 20), (12, 20, 20), 3),
        (("", "", ""), (12, 20, 20), (12, 20, 20), 3),
        (None, (12, 20, 20), (12, 20, 20), 3),
    ],
)
def test_frames_are_not_planes(names, image, painted, ndim):
    labels = np.zeros(painted, np.uint8)
    labels.reshape(-1)[::7] = 1
    options = SegmentOptions(axes=None if names is None else tuple(names))
    assert choose_ndim(options, labels=[labels], shapes=[image]) == ndim


def test_names_of_axes_are_those_of_images_with_as_many():
    options = SegmentOptions(axes=("c", "y", "x"))
    assert ImageShape.of((2, 9, 9), 2, options).channels == 2
    assert ImageShape.of((9, 9), 2, options, first=False).channels == 1


def test_it_says_what_does_not_fit():
    options = SegmentOptions(network=preset("fcn8s"))
    images = [ImageShape.of((20, 60, 60), 3, options)]
    with pytest.raises(InputError, match="a 2D network"):
        plan_training("segment", images, options, output_channels=2)


def test_a_plan_is_plain_json():
    options = SegmentOptions(axes=("c", "y", "x"))
    images = [ImageShape.of((2, 90, 80), 2, options)]
    told = plan_training("segment", images, options, output_channels=2).to_dict()
    assert json.loads(json.dumps(told)) == told
    assert told["images"] == [{"shape": [2, 90, 80], "loops": [], "channel": 0, "spatial": [1, 2]}]


def test_a_plan_needs_no_torch():
    code = "import sys, napari_unet.tasks.plan; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(), check=False).returncode == 0

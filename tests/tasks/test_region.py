"""Training within a region of interest: what lies outside is context, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import napari_unet
from napari_unet.control import Viewport
from napari_unet.data.image import ImageView, PartOfSource
from napari_unet.data.pixel_statistics import measure_image
from napari_unet.data.source import ArraySource, open_source
from napari_unet.errors import InputError
from napari_unet.geometry.axes import find_layout
from napari_unet.geometry.region import Region
from napari_unet.inference.output_transforms import to_grey_values
from napari_unet.inference.predictor import image_normalisation
from napari_unet.inference.preview import outputs_in_view, previewed, probabilities
from napari_unet.model import load_model
from napari_unet.network.inference import for_inference
from napari_unet.tasks.images.open import open_image_task
from napari_unet.tasks.images.options import DenoiseOptions, InpaintOptions, RestoreOptions
from napari_unet.tasks.provenance import Origin, as_text, provenance, train_command
from napari_unet.tasks.segmentation.data import open_all_annotated
from napari_unet.tasks.segmentation.options import SegmentOptions
from napari_unet.tasks.segmentation.task import SegmentationTask

REGION = (16, 80, 24, 88)
"""Of an image of 96 x 104 pixels."""

QUICK = {"size": "small", "batch_size": 2, "steps": 2, "patch": (48, 48)}


@pytest.fixture(scope="module")
def scene():
    """A noisy image, far brighter outside of the region, and strokes in it and outside."""
    rng = np.random.default_rng(0)
    image = rng.normal(size=(96, 104)).astype(np.float32)
    image[:, 56:] += 4
    image[80:] += 1000
    labels = np.zeros(image.shape, np.uint8)
    labels[30:60, 30:36] = 1
    labels[30:60, 70:76] = 2
    labels[84:90, 30:80] = 3
    return image, labels


@pytest.mark.parametrize("shape", [(7, 20, 24), (7, 2, 20, 24), (20, 24), (20, 24, 3)])
def test_a_window_reads_what_the_whole_holds(shape):
    array = np.random.default_rng(0).random(shape)
    layout = find_layout(
        shape, 2, channel_axis=1 if len(shape) == 4 else "auto", rgb=shape[-1] == 3
    )
    sizes = [n for a, n in enumerate(shape) if a != layout.channel]
    window = Region(tuple(n // 4 for n in sizes), tuple(n - 2 for n in sizes))
    whole = ImageView(open_source(array), layout)
    view = replace(whole, window=window)
    loops = len(layout.loops)
    assert view.loop_shape + view.spatial_shape == window.shape
    assert view.offset == window.start
    assert view.whole == whole
    region = Region((-9, -3), (15, 25))
    for loop in view.loops():
        there = tuple(i + a for i, a in zip(loop, window.start, strict=False))
        expected = whole.read(there, region.shift(window.start[loops:]))
        assert np.array_equal(view.read(loop, region), expected)


def test_planes_beside_the_window_are_context():
    array = np.arange(9.0).reshape(9, 1, 1) + np.zeros((9, 8, 8))
    window = Region((4, 0, 0), (5, 8, 8))
    view = ImageView(open_source(array), find_layout(array.shape, 2), 3, window=window)
    assert view.loop_shape == (1,)
    assert view.read((0,), Region((0, 0), (1, 1))).ravel().tolist() == [3, 4, 5]


def test_strokes_outside_are_not_learned_from(scene):
    image, labels = scene
    options = SegmentOptions(region=REGION)
    (found,) = open_all_annotated([image], [labels], 2, options)
    assert found.store.values() == {1: 180, 2: 180}
    model = napari_unet.fit(image, labels, region=REGION, **QUICK)
    assert [c.value for c in model.classes] == [1, 2]
    assert abs(model.normalisation.offset[0]) < 5
    assert model.training["options"]["region"] in (list(REGION), REGION)
    assert "--region 16,80,24,88" in train_command(model)


def test_the_region_is_kept_in_the_file_and_told(scene, tmp_path):
    image, labels = scene
    model = napari_unet.fit(image, labels, region=REGION, **QUICK)
    loaded = load_model(model.save(tmp_path / "model.safetensors"))
    assert "--region 16,80,24,88" in train_command(loaded)
    made = provenance(loaded, Origin("x"))
    assert "region" in as_text(made)


def test_an_image_is_measured_as_it_is_for_a_prediction(scene):
    image, labels = scene
    options = SegmentOptions(region=REGION, size="small", intensities="per_image")
    task = SegmentationTask.of(open_all_annotated([image], [labels], 2, options), options)
    model = task.build_model({}, {})
    whole = ImageView(open_source(image), find_layout(image.shape, 2))
    (sample,) = task.sampler.windows((48, 48), (48, 48), 1, held_out=False)
    predicted = image_normalisation(model, whole, ())
    used = task.sampler.normalisations.of(task.annotated[0].view, ())
    assert predicted == used
    assert sample.image.std() < 3


def test_background_counts_in_the_region_alone(scene):
    image, labels = scene
    (found,) = open_all_annotated(
        [image], [labels], 2, SegmentOptions(region=REGION, zero="background")
    )
    assert found.store.values() == {0: 64 * 64 - 360, 1: 180, 2: 180}


def test_a_preview_is_that_of_the_whole_image(scene):
    image, labels = scene
    options = SegmentOptions(region=REGION, size="small", patch=(48, 48), calibrate=False)
    task = SegmentationTask.of(open_all_annotated([image], [labels], 2, options), options)
    view = Viewport((), Region((9, 11), (60, 70)))
    device = torch.device("cpu")
    seen = task.preview(task.network, device, 1, view)
    whole = ImageView(open_source(image), find_layout(image.shape, 2))
    network = for_inference(task.network, device)
    normalisation = task.normalisation.for_image(measure_image(whole, ()))
    expected = previewed(1, view, probabilities(network, normalisation, whole, view), (1, 2))
    assert seen.view == view
    assert np.array_equal(seen.labels, expected.labels)
    assert np.array_equal(seen.unsure, expected.unsure)
    outside = Viewport((), Region((85, 90), (90, 100)))
    assert task.preview(task.network, device, 1, outside).view == outside
    places = task.suggest(task.network, device).places
    assert places
    assert all(16 <= y < 80 and 24 <= x < 88 for y, x in places)


@pytest.mark.parametrize("task", ["denoise", "restore", "inpaint"])
def test_images_are_learned_from_within_the_region(scene, task):
    image = scene[0]
    kinds = {"denoise": DenoiseOptions, "restore": RestoreOptions, "inpaint": InpaintOptions}
    options = kinds[task](region=REGION, size="small", patch=(48, 48))
    missing = np.zeros(image.shape, np.uint8)
    missing[40:44, 40:50] = 1
    other = {"denoise": None, "restore": 2 * image, "inpaint": missing}[task]
    built = open_image_task(task, image, other, None, options)
    assert built.dataset.views[0].spatial_shape == (64, 64)
    assert abs(built.dataset.normalisation.offset[0]) < 5
    batch = built.batch(2)
    assert batch.weights.any()


def test_a_preview_of_a_denoiser_is_that_of_the_whole_image(scene):
    image = scene[0]
    options = DenoiseOptions(region=REGION, size="small", patch=(48, 48))
    task = open_image_task("denoise", image, None, None, options)
    view = Viewport((), Region((9, 11), (60, 70)))
    device = torch.device("cpu")
    seen = task.preview(task.network, device, 1, view)
    whole = ImageView(open_source(image), find_layout(image.shape, 2))
    dataset = task.dataset
    network = for_inference(task.network, device)
    outputs = outputs_in_view(network, dataset.normalisation, whole, view, None, dataset.input_spec)
    expected = to_grey_values(dataset.target, outputs, whole, None, (), view.region)
    assert np.array_equal(seen.image, expected)


def test_a_part_of_labels_is_0_outside_of_its_mask():
    labels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    inside = np.array([[[True, False], [True, True]]])
    part = PartOfSource(ArraySource(labels), Region((0, 1, 2), (2, 3, 4)), inside)
    assert part.shape == (2, 2, 2)
    expected = np.where(inside, labels[:, 1:, 2:], 0)
    assert np.array_equal(part.read(Region.whole(part.shape)), expected)
    assert np.array_equal(part.read(Region((1, 0, 1), (2, 2, 2))), expected[1:, :, 1:])


def test_a_region_outside_of_the_image_is_refused(scene):
    with pytest.raises(InputError, match="is not inside the image"):
        napari_unet.fit(*scene, region=(0, 99, 0, 10), **QUICK)

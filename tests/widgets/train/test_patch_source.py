"""One patch to look at: where it is read, how little of an image that takes, how it is drawn."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest

from napari_unet.control import Control
from napari_unet.data.augment_options import AugmentOptions
from napari_unet.errors import InputError
from napari_unet.tasks.segmentation.options import SegmentOptions
from napari_unet.widgets.forms.augmentation_preview import INK, built_in_patch
from napari_unet.widgets.layers.factory import PAINTS
from napari_unet.widgets.layers.layer_data import LayerData
from napari_unet.widgets.train.patch_source import PatchSource
from napari_unet.widgets.train.request import TrainRequest
from napari_unet.workers.jobs import Augmented
from napari_unet.workers.process import InProcessWorker, SubprocessWorker

OFF = AugmentOptions.off()


def source(image, labels=None, *, point=None, colors=(), rgb=False, **options):
    shape = image.shape[: image.ndim - rgb]
    labels = np.zeros(shape, np.uint8) if labels is None else labels
    axes = tuple(f"axis {a}" for a in range(len(shape)))
    picture = LayerData("picture", image, rgb, axes, (1.0,) * len(shape))
    ndim = options.pop("ndim", 2)
    given = SegmentOptions(**{"size": "small", "rgb": rgb, "axes": axes, **options})
    request = TrainRequest("segment", ((picture, labels),), given, ndim, classes=(1, 2))
    middle = tuple(n / 2 for n in shape)
    return PatchSource(request, point or middle, dict(colors))


def drawn(patch, options=OFF, seed=0):
    (made,) = InProcessWorker().run(patch.job(options, seed), Control())
    assert isinstance(made, Augmented)
    return patch.draw(made)


def seen(patch):
    """Return the part of a patch that a network sees."""
    first = [(r - n) // 2 for r, n in zip(patch.labels.shape, patch.shape, strict=True)]
    return tuple(slice(a, a + n) for a, n in zip(first, patch.shape, strict=True))


def test_it_lies_in_the_middle_of_the_view_where_nothing_is_painted_there():
    image = np.arange(600 * 700, dtype=np.float32).reshape(600, 700)
    patch = source(image, point=(200, 300)).read()
    side = patch.shape[0]
    pixels = patch.normalisation.undo(patch.image)[0][seen(patch)]
    start = 200 - side // 2, 300 - side // 2
    expected = image[start[0] : start[0] + side, start[1] : start[1] + side]
    np.testing.assert_allclose(pixels, expected, rtol=1e-5)
    assert "in the middle of the view" in patch.caption
    assert f"{side} × {side} pixels" in patch.caption
    assert (patch.labels == -1).all()


def test_it_stays_inside_the_image_where_that_is_large_enough():
    image = np.random.default_rng(0).normal(size=(400, 400)).astype(np.float32)
    for point, at in (((0, 399), (0, -1)), ((399, 0), (-1, 0)), ((-50, 9000), (0, -1))):
        patch = source(image, point=point).read()
        pixels = patch.normalisation.undo(patch.image)[0][seen(patch)]
        assert pixels[at] == pytest.approx(image[at], abs=1e-4)


def test_it_lies_around_what_is_painted_near_the_middle_and_each_class_has_its_turn():
    image = np.random.default_rng(0).normal(size=(500, 500)).astype(np.float32)
    labels = np.zeros((500, 500), np.uint8)
    labels[100:140, 100:104] = 5
    labels[300:302, 330:332] = 9
    found = set()
    for seed in range(12):
        patch = source(image, labels, point=(250, 250), colors={9: (0, 1, 0, 1)}).read(seed)
        assert "around a stroke" in patch.caption
        values = patch.labels[seen(patch)]
        found |= {tuple(patch.colors[i]) for i in np.unique(values[values >= 0])}
    five = PAINTS[4]
    assert found == {
        (0, 1, 0),
        tuple(np.float32(int(five[i : i + 2], 16) / 255) for i in (1, 3, 5)),
    }


def test_of_a_large_lazy_image_one_patch_is_read():
    read = []

    def block(block_info=None):
        read.append(block_info[None]["chunk-location"])
        return np.random.default_rng(0).normal(size=(1, 100, 100)).astype(np.float32)

    image = da.map_blocks(
        block, chunks=((1,) * 20, (100,) * 20, (100,) * 20), dtype=np.float32, meta=np.empty(0)
    )
    labels = da.zeros(image.shape, dtype=np.uint8, chunks=(1, 500, 500))
    patch = source(image, labels, point=(5, 1000, 1000)).read()
    assert patch.image.shape[1:] == patch.labels.shape
    assert {plane for plane, _, _ in read} == {5}
    assert len(set(read)) < 20  # of 8000; a source reads some chunks at once


def test_unchanged_it_is_drawn_as_it_is_and_strokes_lie_faintly_on_it():
    patch = built_in_patch()
    pictures = drawn(patch)
    assert pictures.shape == (8, *patch.shape, 3)
    assert (pictures == pictures[:1]).all()
    labels, one = patch.labels[seen(patch)], pictures[0].astype(float)
    plain = one[labels < 0]
    assert (plain[:, 0] == plain[:, 1]).all()
    grey = patch.image[0][seen(patch)]
    order = np.argsort(grey[labels < 0], kind="stable")
    assert (np.diff(plain[order, 0]) >= 0).all()
    stroke = one[labels == 1]
    assert (np.ptp(stroke, axis=1) > 50).all()
    # The picture shows through: a stroke on the F is brighter than its colour alone.
    assert (stroke > 255 * INK * patch.colors[1]).all()


def test_changes_show_and_their_brightness_is_not_taken_back():
    patch = built_in_patch()
    plain, bright = (
        drawn(patch),
        drawn(patch, AugmentOptions(**{**OFF.model_dump(), "brightness": 2})),
    )
    level = bright.mean(axis=(1, 2, 3)) - plain[0].mean()
    assert level.min() < -15
    assert level.max() > 15
    turned = drawn(patch, AugmentOptions(**{**OFF.model_dump(), "rotate_degrees": 180}))
    assert not (turned == plain).all(axis=(1, 2, 3)).any()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_colours_stay_colours(dtype):
    white = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1
    image = np.zeros((300, 300, 3), dtype)
    image[:, :150, 0] = white
    image[:, 150:, 2] = white
    picture = drawn(source(image, rgb=True).read())[0]
    assert (picture[:, 5] == (255, 0, 0)).all()
    assert (picture[:, -5] == (0, 0, 255)).all()


def test_of_a_volume_the_middle_plane_is_drawn():
    image = np.zeros((40, 90, 90), np.float32)
    image += np.arange(40, dtype=np.float32)[:, None, None]
    labels = np.zeros(image.shape, np.uint8)
    labels[20, 45, 40:50] = 1
    patch = source(image, labels, ndim=3).read()
    pictures = drawn(patch)
    assert len(patch.shape) == 3
    assert pictures.shape == (8, *patch.shape[1:], 3)
    middle = patch.labels[seen(patch)][patch.shape[0] // 2]
    assert (np.ptp(pictures[0].astype(int), axis=-1) > 0).tolist() == (middle >= 0).tolist()


def test_the_size_is_that_of_the_training():
    from napari_unet.tasks.network_choice import fitting_input_shape

    image = np.random.default_rng(0).normal(size=(400, 380)).astype(np.float32)
    for options in ({}, {"size": "large"}, {"patch": (70, 90)}):
        asked = source(image, **options)
        config = asked.request.plan().network
        assert asked.read().shape == fitting_input_shape(config, (400, 380), options.get("patch"))


def test_a_flat_image_and_a_small_one_are_drawn_too():
    flat = np.full((300, 300), 7, np.uint8)
    assert np.ptp(drawn(source(flat).read())) == 0
    tiny = np.random.default_rng(0).normal(size=(20, 30)).astype(np.float32)
    assert drawn(source(tiny).read()).shape[0] == 8
    hole = np.full((300, 300), np.nan, np.float32)
    assert drawn(source(hole).read()).shape[0] == 8


def test_what_does_not_fit_together_is_refused():
    image = np.zeros((300, 300), np.float32)
    with pytest.raises(InputError, match="differ in shape"):
        source(image, np.zeros((200, 300), np.uint8)).read()
    with pytest.raises(InputError, match="one size per spatial axis"):
        source(image, patch=(3,)).read()


def test_another_process_makes_the_same_of_it():
    patch, apart = built_in_patch(), SubprocessWorker()
    job = patch.job(AugmentOptions(noise=0.3, chance={"noise": 0.5}), 3)
    try:
        (there,) = apart.run(job, Control())
    finally:
        apart.close()
    (here,) = InProcessWorker().run(job, Control())
    np.testing.assert_allclose(there.image, here.image, atol=1e-5)
    assert np.array_equal(there.labels, here.labels)

"""Several images that are learned from together."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from napari_unet import fit, predict, train
from napari_unet.control import Control, Viewport
from napari_unet.data.annotations import AnnotationStore
from napari_unet.data.image import ImageView
from napari_unet.data.normalisation import fit_normalisation
from napari_unet.data.source import open_source
from napari_unet.errors import InputError
from napari_unet.geometry.axes import find_layout
from napari_unet.geometry.region import Region
from napari_unet.network.unet_config import UNetConfig
from napari_unet.tasks.plan import choose_ndim
from napari_unet.tasks.segmentation.data import WAITING_FOR_ONE, digest_of, open_all_annotated
from napari_unet.tasks.segmentation.options import SegmentOptions
from napari_unet.tasks.segmentation.task import SegmentationTask
from napari_unet.training.events import (
    ClassesGrew,
    Finished,
    Preparing,
    Resolved,
    Started,
    Stepped,
    Warned,
)

TINY = UNetConfig(encoder=((8,),), bottom=(8,), decoder=((8,),), stem=(2, 2), up="nearest")
HOW = {"network": TINY, "batch_size": 2, "patch": (48, 48), "steps": 3, "threads": 1}
COMPARABLE = {"intensities": "comparable"}
"""Brightness is what tells the two classes of these images apart, so it has to be kept."""


def striped(shape=(96, 100), value=0.0, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).normal(value, 0.1, shape).astype(np.float32)


def painted(shape, *values) -> np.ndarray:
    """Return labels with a stroke of each value."""
    labels = np.zeros(shape, np.uint8)
    for number, value in enumerate(values):
        labels[..., 10 + 20 * number : 20 + 20 * number, 10:80] = value
    return labels


def learner(images, labels, **options) -> SegmentationTask:
    parsed = SegmentOptions.parse({**HOW, **options})
    return SegmentationTask.of(open_all_annotated(images, labels, 2, parsed), parsed)


def dark_and_bright():
    """Return a dark image painted 3, and a bright one of another size painted 7."""
    images = [striped((96, 100)), striped((140, 90), 4.0, 1)]
    return images, [painted((96, 100), 3), painted((140, 90), 7)]


def test_a_class_that_is_painted_on_one_image_only_is_learned():
    images, labels = dark_and_bright()
    # A batch of two would often come from one image, and batch norm then takes brightness out.
    how = {**HOW, **COMPARABLE, "steps": 40, "learning_rate": 2e-2, "batch_size": 8}
    model = fit(images, tuple(labels), **how)
    assert [c.value for c in model.classes] == [3, 7]
    assert model.training["painted"] == {"class 3": 700, "class 7": 700}
    for image, value in zip(images, (3, 7), strict=True):
        assert (predict(model, image) == value).mean() > 0.95


def test_patches_come_from_all_images_with_their_own_labels():
    toy = learner(*dark_and_bright(), **COMPARABLE, held_out=0)
    batch = toy.batch(12)
    cut = (toy.input_shape[0] - toy.output_shape[0]) // 2
    for patch, target in zip(batch.inputs, batch.targets, strict=True):
        seen = target[target >= 0]
        assert len(seen.unique()) == 1
        bright = patch[0, cut:-cut, cut:-cut].mean() > 0
        assert bool(bright) == bool(seen[0] == 1)
    assert set(batch.targets.unique().tolist()) == {-1, 0, 1}


def test_one_normalisation_serves_all_where_intensities_are_comparable():
    images, labels = dark_and_bright()
    toy = learner(images, labels, **COMPARABLE)
    every = np.concatenate([image.ravel() for image in images])
    assert toy.normalisation.offset[0] == pytest.approx(every.mean(), rel=1e-4)
    assert toy.normalisation.scale[0] == pytest.approx(every.std(), rel=1e-4)


def test_of_large_images_each_is_sampled():
    arrays = [np.zeros((200, 200)), np.full((300, 300), 8.0)]
    views = [ImageView(open_source(a), find_layout(a.shape, 2)) for a in arrays]
    fitted, finite = fit_normalisation(views, max_voxels=4000)
    assert fitted.offset[0] == pytest.approx(4, abs=0.2)
    assert finite == 1


def test_calibration_looks_at_all_images():
    images, labels = dark_and_bright()
    toy = learner(images, labels, **COMPARABLE)
    means = {round(float(window.mean())) for window in toy._calibration_windows()}
    assert means == {-1, 1}
    many = learner([images[0]] * 20, [labels[0]] * 19 + [painted((96, 100), 3, 7)])
    assert len(list(many._calibration_windows())) == 20


def test_a_preview_shows_the_image_that_is_looked_at():
    toy = learner(*dark_and_bright(), calibrate=False)
    network, cpu = toy.network.eval(), torch.device("cpu")
    region = Region((100, 10), (130, 80))  # beyond the end of the first image
    shown = toy.preview(network, cpu, 0, Viewport((), region, 1))
    assert (shown.view.image_index, shown.labels.shape) == (1, (30, 70))
    box = Region((10, 10), (40, 40))
    views = [Viewport((), box, pair) for pair in (0, 1)]
    dark, bright = (toy.preview(network, cpu, 0, view).unsure for view in views)
    assert not np.allclose(dark, bright)
    assert Viewport((), box).image_index == 0


def test_strokes_on_any_image_are_taken_up():
    images, _ = dark_and_bright()
    stores = [AnnotationStore(image.shape, 2) for image in images]
    stores[0].write(Region((10, 10), (20, 80)), np.full((10, 70), 1))
    stores[1].write(Region((10, 10), (20, 80)), np.full((10, 70), 2))
    control, seen = Control(), []
    for event in train(images, stores, control=control, **{**HOW, "steps": 12}):
        seen.append(event)
        if isinstance(event, Stepped) and event.step == 4:
            stores[1].write(Region((50, 10), (60, 80)), np.full((10, 70), 9))
    (grew,) = (e for e in seen if isinstance(e, ClassesGrew))
    assert grew.counts == (700, 700, 700)
    model = seen[-1].model
    assert [c.value for c in model.classes] == [1, 2, 9]
    options = SegmentOptions.parse(HOW)
    assert model.training["strokes"] == digest_of(open_all_annotated(images, stores, 2, options))


def test_it_waits_until_two_classes_are_painted_on_all_together():
    images, _ = dark_and_bright()
    stores = [AnnotationStore(image.shape, 2) for image in images]
    events = train(images, stores, **HOW)
    waiting = next(events)
    assert "each of two labels" in waiting.message
    for number, store in enumerate(stores, start=1):
        stroke = (Region((10, 10), (20, 80)), np.full((10, 70), number))
        threading.Timer(0.1 * number, store.write, stroke).start()
    assert next(events) == Resolved(waiting.message)
    assert isinstance(
        next(e for e in events if not isinstance(e, Warned | Resolved | Preparing)), Started
    )
    assert isinstance(list(events)[-1], Finished)


def test_with_background_one_stroke_is_enough():
    store = AnnotationStore((96, 100), 2, zero_is_class=True)
    events = train(striped(), store, zero="background", **HOW)
    waiting = next(events)
    assert isinstance(waiting, Warned)
    assert waiting.message == WAITING_FOR_ONE
    store.write(Region((10, 10), (20, 80)), np.full((10, 70), 1))
    assert next(events) == Resolved(WAITING_FOR_ONE)
    assert isinstance(next(events), Preparing)
    assert next(events).class_names == ("background", "class 1")


def test_the_digest_of_one_is_that_of_its_store_and_all_count_in_order():
    images, labels = dark_and_bright()
    options = SegmentOptions.parse(HOW)
    pairs = open_all_annotated(images, labels, 2, options)
    assert digest_of(pairs[:1]) == pairs[0].store.digest()
    assert len({digest_of(pairs), digest_of(pairs[::-1]), digest_of(pairs[:1])}) == 3


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        ([(96, 100), (96, 100, 2)], [(96, 100), (96, 100)], r"Pair 2 .*channels.*got 2 in pair 2"),
        ([(96, 100), (90, 90)], [(96, 100), (90, 91)], r"Pair 2: Image and labels differ in shape"),
        ([(96, 100)], [(96, 100), (96, 100)], r"as many images \(got 1 images, 2 labels\)"),
        ((96, 100), [(96, 100), (96, 100)], r"as many images \(got one image, 2 labels\)"),
        ([], [], "as many images"),
    ],
)
def test_pairs_that_do_not_fit_are_named(images, labels, message):
    given = [striped(s) for s in images] if isinstance(images, list) else striped(images)
    with pytest.raises(InputError, match=message):
        fit(given, [painted(s, 1, 2) for s in labels], **HOW)


def test_a_plane_among_volumes_is_named():
    images = [striped((8, 40, 90)), striped((40, 90))]
    labels = [painted(i.shape, 1, 2) for i in images]
    with pytest.raises(InputError, match=r"Pair 2: A 3D network needs 3 spatial axes"):
        fit(images, labels, ndim=3, steps=1)


def test_planes_and_stacks_train_together_in_2d():
    images = [striped((3, 96, 100)), striped()]
    labels = [painted(i.shape, 1, 2) for i in images]
    assert fit(images, labels, axes=("z", "y", "x"), **HOW).config.ndim == 2


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [([(9, 40, 90), (9, 40, 90)], 3), ([(9, 40, 90), (40, 90)], 2), ([(40, 90)], 2)],
)
def test_dimensions_follow_the_paint_on_all(shapes, expected):
    labels = [painted(shape, 1, 2) for shape in shapes]
    assert choose_ndim(SegmentOptions(), labels=labels) == expected


def test_an_almost_empty_volume_is_learned_plane_by_plane():
    labels = np.zeros((9, 40, 90), np.uint8)
    assert choose_ndim(SegmentOptions(), labels=labels) == 2
    labels[4, 3, 3] = 1
    assert choose_ndim(SegmentOptions(), labels=[labels]) == 2


def test_nothing_painted_on_any_image_is_refused():
    images, labels = dark_and_bright()
    with pytest.raises(InputError, match="Nothing is painted"):
        fit(images, [np.zeros_like(one) for one in labels], **HOW)
    with pytest.raises(InputError, match="Only one class is painted"):
        fit(images, [labels[0], np.zeros_like(labels[1])], **HOW)

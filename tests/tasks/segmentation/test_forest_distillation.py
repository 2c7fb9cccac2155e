"""The forest that says something of what nobody painted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from napari_unet import fit, resume, train
from napari_unet.control import Control
from napari_unet.data.annotations import AnnotationStore
from napari_unet.data.augment_options import AugmentOptions
from napari_unet.data.sampling import IGNORED
from napari_unet.geometry.region import Region
from napari_unet.network.unet_config import UNetConfig
from napari_unet.tasks.segmentation.forest_distillation import (
    FULL_WEIGHT_PIXELS,
    MAX_WINDOWS,
    MIN_STEPS_BETWEEN_FITS,
    MIN_WEIGHT,
    WINDOWS_PER_STEP,
    ForestTeacher,
    soft_label_weight,
)
from napari_unet.tasks.segmentation.losses import (
    divergence_from_soft_labels,
    masked_cross_entropy,
)
from napari_unet.tasks.segmentation.options import SegmentOptions
from napari_unet.tasks.segmentation.task import SegmentationTask
from napari_unet.training.events import Stepped
from napari_unet.training.task import SoftLabels
from tests.tasks.segmentation.annotated import open_annotated

SIGMAS = ((1.0, 1.0), (2.0, 2.0))
TINY = UNetConfig(encoder=((4,), (4,)), bottom=(4,), decoder=((4,), (4,)), filters=SIGMAS)


@pytest.fixture
def image() -> NDArray[np.float32]:
    """Dark on the left, bright on the right."""
    image = np.random.default_rng(0).normal(0, 0.2, (128, 128)).astype(np.float32)
    image[:, 64:] += 3
    return image


@pytest.fixture
def store() -> AnnotationStore:
    store = AnnotationStore((128, 128), 2)
    stroke(store, 20, 3)
    stroke(store, 100, 7)
    return store


def stroke(store: AnnotationStore, column: int, value: int) -> None:
    store.write(Region((4, column), (124, column + 3)), np.full((120, 3), value))


def learner(
    image: NDArray[np.float32], store: AnnotationStore, **fields: object
) -> SegmentationTask:
    given = {"network": TINY, "patch": (64, 64), "steps": 1, **fields}
    options = SegmentOptions.model_validate(given)
    return SegmentationTask.of([open_annotated(image, store, 2, options)], options)


@pytest.mark.parametrize("augment", [AugmentOptions(), AugmentOptions(elastic=5, jitter=3)])
def test_it_says_what_is_there_however_the_patch_is_turned(image, store, augment) -> None:
    """Bright pixels are of the second class and dark ones of the first, before and after."""
    learning = learner(image, store, augment=augment)
    batch = learning.batch(8)
    assert batch.soft_labels is not None
    assert batch.targets.min() == IGNORED
    assert (batch.targets.flatten()[batch.soft_labels.indices] == IGNORED).all()
    assert len(batch.soft_labels.indices) > 500
    torch.testing.assert_close(
        batch.soft_labels.probabilities.sum(1), torch.ones(len(batch.soft_labels.indices))
    )
    margin = (64 - learning.output_shape[0]) // 2
    seen = batch.inputs[:, 0, margin : 64 - margin, margin : 64 - margin]
    seen = F.avg_pool2d(seen[:, None], 3, 1, 1)[:, 0].flatten()[batch.soft_labels.indices]
    sure = (seen - seen.median()).abs() > 0.3
    bright = seen > (seen.min() + seen.max()) / 2
    said = batch.soft_labels.probabilities[:, 1] > 0.5
    assert (said == bright)[sure].float().mean() > 0.97


def test_painted_pixels_keep_their_labels(image, store) -> None:
    still = AugmentOptions(flip=False, rotate_degrees=0, scale=0, intensity=0, brightness=0)
    with_it, without = (learner(image, store, augment=still, forest=f) for f in (2.0, 0.0))
    one, other = with_it.batch(4), without.batch(4)
    assert other.soft_labels is None
    assert torch.equal(one.targets, other.targets)
    assert torch.equal(one.inputs, other.inputs)


def test_what_is_held_out_is_not_learned_from(image, store) -> None:
    learning = learner(image, store, held_out=0.4)
    split, patch, core = learning.sampler.splits[0], learning.input_shape, learning.output_shape
    windows = learning.sampler.windows(patch, core, 1000, held_out=False)
    voxels = sum(int((window.labels != IGNORED).sum()) for window in windows)
    assert voxels == sum(split.train_count.values()) < store.snapshot().counts[3] * 2


@pytest.mark.parametrize("network", [TINY.model_copy(update={"filters": ()}), "fcn8s"])
def test_without_filters_there_is_none(image, store, network) -> None:
    assert learner(image, store, network=network, patch=(64, 64)).batch(1).soft_labels is None


@pytest.mark.parametrize("channels", [2, 3])
def test_it_teaches_whatever_the_number_of_channels(image, store, channels) -> None:
    """All but the first channel are noise."""
    noise = np.random.default_rng(1).normal(0, 1, (channels - 1, *image.shape))
    several = np.concatenate([image[None], noise]).astype(np.float32)
    learning = learner(several, store, network=None, size="small", channel_axis=0, patch=(96, 96))
    batch = learning.batch(4)
    assert batch.soft_labels is not None
    assert len(batch.soft_labels.indices) > 500


def test_what_it_says_is_no_frequency_that_was_learned_from(image, store) -> None:
    learning = learner(image, store)
    batch = learning.batch(4)
    assert batch.soft_labels is not None
    learning.loss(torch.zeros(4, 2, *learning.output_shape), batch)
    annotated = batch.targets[batch.targets != IGNORED]
    assert learning.state()["seen"] == torch.bincount(annotated, minlength=2).tolist()


def test_one_class_alone_gives_none_and_a_second_one_is_taken_up_after_a_rest(image) -> None:
    store = AnnotationStore((128, 128), 2)
    stroke(store, 20, 3)
    learning = learner(image, store, open_ended=True, steps=None)
    assert learning.batch(1).soft_labels is None
    stroke(store, 100, 7)
    learning.sync_annotations()
    for _ in range(MIN_STEPS_BETWEEN_FITS - 1):
        assert learning.batch(1).soft_labels is None
    soft_labels = learning.batch(1).soft_labels
    assert soft_labels is not None
    assert soft_labels.probabilities.shape[1] == 2


def test_where_all_is_painted_there_is_nothing_to_say(image) -> None:
    labels = np.where(np.arange(128) < 64, 1, 2) * np.ones((128, 1), int)
    learning = learner(image, labels, held_out=0)
    assert learning.batch(2).soft_labels is None


def test_it_counts_less_where_much_is_painted(image, store) -> None:
    learning = learner(image, store, forest=3.0)
    batch = learning.batch(2)
    outputs = torch.randn(2, 2, *learning.output_shape)
    painted = masked_cross_entropy(outputs, batch.targets)
    hinted = divergence_from_soft_labels(outputs, batch.soft_labels)
    torch.testing.assert_close(learning.loss(outputs, batch), painted + 3 * hinted)
    stroke_everywhere = np.ones((60, 128), int) * 3
    store.write(Region((0, 0), (60, 128)), stroke_everywhere)
    learning.sync_annotations()
    share = FULL_WEIGHT_PIXELS / sum(learning.counts)
    assert share < 0.5
    torch.testing.assert_close(learning.loss(outputs, batch), painted + 3 * share * hinted)


def test_where_much_is_painted_it_is_not_even_asked(image) -> None:
    labels = np.where(np.arange(128) < 64, 1, 2) * np.ones((128, 1), int)
    labels[::4] = 0
    assert learner(image, labels, forest=1.0).batch(2).soft_labels is not None
    assert learner(image, labels, forest=0.2).batch(2).soft_labels is None
    assert soft_label_weight(2.0, FULL_WEIGHT_PIXELS * 100) == 0
    assert soft_label_weight(2.0, FULL_WEIGHT_PIXELS * 20) >= MIN_WEIGHT > 0


def test_the_divergence_from_hints_is_that_of_their_voxels() -> None:
    logits = torch.randn(2, 3, 4, 5)
    where = torch.tensor([0, 7, 39])
    places = [(0, 0, 0), (0, 1, 2), (1, 3, 4)]
    said = torch.softmax(torch.stack([logits[b, :, y, x] for b, y, x in places]), 1)
    assert divergence_from_soft_labels(logits, SoftLabels(where, said)).item() == pytest.approx(
        0, abs=1e-6
    )
    sure = torch.eye(3)
    expected = -sum(said[i, i].log() for i in range(3)) / 3
    torch.testing.assert_close(
        divergence_from_soft_labels(logits, SoftLabels(where, sure)), expected
    )


def test_the_same_seed_gives_the_same_model_and_weights_of_classes_reach_it(image, store) -> None:
    how = {"network": TINY, "patch": (64, 64), "steps": 3, "threads": 1, "held_out": 0}
    first, second, none = (
        fit(image, store, ndim=2, seed=4, forest=forest, **how) for forest in (2.0, 2.0, 0.0)
    )
    assert first.digest == second.digest != none.digest
    plain, weighed = (
        learner(image, store, class_weights=w, seed=1).batch(4).soft_labels for w in ({}, {7: 50.0})
    )
    assert weighed.probabilities[:, 1].mean() > plain.probabilities[:, 1].mean()


@pytest.fixture
def many() -> NDArray[np.uint8]:
    """Strokes in so many places that more than two steps gather their pixels."""
    labels = np.zeros((128, 128), np.uint8)
    labels[::4, 4:60], labels[::4, 70:124] = 3, 7
    return labels


FINE = {"network": TINY, "patch": (40, 40), "batch_size": 2, "threads": 1, "forest": 2.0}


def test_the_first_steps_do_not_wait_for_the_forest(image, many, monkeypatch) -> None:
    learning = learner(image, many, **FINE)
    filtered, last = [], ForestTeacher._annotated_pixels_of

    def counted(self: ForestTeacher, sample: object) -> object:
        filtered.append(sample)
        return last(self, sample)

    monkeypatch.setattr(ForestTeacher, "_annotated_pixels_of", counted)
    windows = len(list(learning.sampler.windows(*shapes(learning), MAX_WINDOWS, held_out=False)))
    assert windows > 2 * WINDOWS_PER_STEP
    for step in range(windows // WINDOWS_PER_STEP):
        assert learning.batch(1).soft_labels is None
        assert len(filtered) == (step + 1) * WINDOWS_PER_STEP
    assert learning.batch(1).soft_labels is not None
    learning.batch(1)
    assert len(filtered) == windows


def shapes(learning: SegmentationTask) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return learning.input_shape, learning.output_shape


@pytest.mark.parametrize("at", [1, 2, 4])
def test_a_training_goes_on_with_the_forest_as_far_as_it_was(tmp_path, image, many, at) -> None:
    """While its pixels are gathered, and when it has been in use already."""
    path, control = tmp_path / "c.safetensors", Control()
    whole = fit(image, many, steps=6, **FINE)
    for event in train(image, many, steps=6, checkpoint=str(path), control=control, **FINE):
        if isinstance(event, Stepped) and event.step == at:
            control.stop()
    *_, again = resume(path, image, many)
    assert again.model.digest == whole.digest

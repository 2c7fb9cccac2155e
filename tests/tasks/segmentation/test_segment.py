"""Segmentation from what is painted: what is refused, drawn, warned of, learned and reported."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from napari_unet.api import fit, train
from napari_unet.control import Control
from napari_unet.data.augment_options import AugmentOptions
from napari_unet.data.sampling import IGNORED
from napari_unet.errors import InputError
from napari_unet.network.unet_config import UNetConfig
from napari_unet.tasks.evaluate import evaluate
from napari_unet.tasks.network_choice import INPUT_VOXELS
from napari_unet.tasks.plan import choose_ndim
from napari_unet.tasks.segmentation.options import SegmentOptions
from napari_unet.tasks.segmentation.task import SegmentationTask
from napari_unet.training.events import (
    Finished,
    Preparing,
    Started,
    Stepped,
    Validated,
    Warned,
)
from tests.tasks.segmentation.annotated import open_annotated

TINY = UNetConfig(encoder=((6,),), bottom=(8,), decoder=((6,),))
TINY3D = UNetConfig(ndim=3, encoder=((3,),), bottom=(4,), decoder=((3,),))
FAST = {"network": TINY, "batch_size": 2, "patch": (40, 40), "steps": 2}


def halves(shape=(96, 96), noise=0.3):
    """Dark on the left, bright on the right; a stroke of 3 and one of 7."""
    image = np.random.default_rng(0).normal(0, noise, shape).astype(np.float32)
    labels = np.zeros(shape, np.uint8)
    middle = shape[-1] // 2
    image[..., middle:] += 1
    labels[..., 8:-8, 8 : middle - 8] = 3
    labels[..., 8:-8, middle + 8 : -8] = 7
    return image, labels


def learner(image, labels, ndim=2, **fields):
    options = SegmentOptions(**{"network": TINY, "steps": 1, "patch": (40,) * ndim, **fields})
    return SegmentationTask.of([open_annotated(image, labels, ndim, options)], options)


IMAGE, LABELS = halves()
ONE_CLASS = np.where(LABELS == 3, 3, 0)


@pytest.mark.parametrize(
    ("image", "labels", "options", "message"),
    [
        (IMAGE, LABELS[:50], {}, r"differ in shape \(got image \(96, 96\), labels \(50, 96\)"),
        (IMAGE, np.zeros_like(LABELS), {}, "Nothing is painted. Paint a few strokes"),
        (IMAGE, ONE_CLASS, {}, r"Only one class is painted \(got label 3\).*or let 0 mean backgr"),
        (IMAGE, np.zeros_like(LABELS), {"zero": "background"}, r"Only one class .*\(got label 0\)"),
        (IMAGE, LABELS / 2, {}, "Labels have to be whole numbers"),
        (IMAGE, -LABELS.astype(int), {}, "Labels have to be 0 or greater"),
        (np.full_like(IMAGE, 4), LABELS, {}, "constant"),
        (np.full_like(IMAGE, np.nan), LABELS, {}, "no finite pixel"),
        (IMAGE, LABELS, {"ndim": 3, "network": None}, "3D network needs 3 spatial axes"),
        (IMAGE, LABELS, {"ndim": 3}, "got a 2D network, expected a 3D one|3 spatial axes"),
        (IMAGE, LABELS, {"ndim": 4}, "2 or 3 spatial dimensions"),
        (IMAGE, LABELS, {"patch": (40,)}, "patch needs one size per spatial axis"),
        (IMAGE, LABELS, {"spacing": (1.0,)}, r"not voxel sizes .*expected 2 positive numbers"),
        (IMAGE, LABELS, {"spacing": (0.0, 1.0)}, "not voxel sizes"),
        (IMAGE, LABELS, {"size": "huge"}, "Option size"),
        (IMAGE, LABELS, {"colour": "red"}, "Option colour: extra inputs .*expected one of second"),
        (IMAGE, LABELS, {"augment": {"flip": True, "shear": 3}}, "Option augment.shear"),
        (IMAGE, LABELS, {"task": "dream"}, "no such task"),
        (IMAGE, LABELS, {"channel_axis": 5}, "no such channel axis"),
        (
            IMAGE,
            LABELS,
            {"network": UNetConfig(input_skip=True, out_channels=1)},
            r"do not fit the image .*expected 1 channels in, 2 out",
        ),
    ],
)
def test_what_cannot_be_learned_from_is_refused(image, labels, options, message):
    with pytest.raises(InputError, match=message):
        list(train(image, labels, **{**FAST, **options}))


def test_a_network_for_other_dimensions_is_refused():
    image, labels = halves((9, 40, 40))
    with pytest.raises(InputError, match="got a 2D network, expected a 3D one"):
        list(train(image, labels, **FAST, ndim=3))


@pytest.mark.parametrize(
    ("shape", "planes", "options", "expected"),
    [
        ((64, 64), [...], {}, 2),
        ((7, 64, 64), [0, 1, 2, 3], {}, 2),
        ((8, 64, 64), [0, 4], {}, 2),
        ((8, 64, 64), [0, 4, 5], {}, 3),
        ((2, 8, 64, 64), [(0, 0), (0, 3), (1, 7)], {}, 3),
        ((8, 64, 64), [0], {"zero": "background"}, 3),
        ((8, 64, 64), [0, 4, 5], {"network": TINY}, 2),
        ((8, 64, 64), [0], {"network": TINY3D}, 3),
    ],
)
def test_dimensions_follow_the_paint(shape, planes, options, expected):
    labels = np.zeros(shape, np.uint8)
    for plane in planes:
        labels[plane][3, 3] = 1
    assert choose_ndim(SegmentOptions(**options), labels=[labels]) == expected


def test_a_batch_is_what_the_network_and_the_loss_want():
    toy = learner(*halves())
    batch = toy.batch(3)
    assert batch.inputs.shape == (3, 1, *toy.input_shape)
    assert batch.targets.shape == (3, *toy.output_shape)
    assert (batch.inputs.dtype, batch.targets.dtype) == (torch.float32, torch.int64)
    assert toy.config.output_for(toy.input_shape) == toy.output_shape
    assert set(batch.targets.unique().tolist()) <= {IGNORED, 0, 1}
    outputs = toy.network(batch.inputs)
    assert outputs.shape == (3, 2, *toy.output_shape)
    assert toy.loss(outputs, batch).item() > 0


def test_targets_are_the_classes_at_the_pixels_they_were_painted_on():
    """Without augmentation: 3 becomes 0 where it is dark, 7 becomes 1 where it is bright."""
    toy = learner(*halves(noise=0.01), augment=AugmentOptions.off(), held_out=0)
    assert (toy.values, toy.class_names) == ((3, 7), ("class 3", "class 7"))
    batch = toy.batch(6)
    cut = (toy.input_shape[0] - toy.output_shape[0]) // 2
    pixels = batch.inputs[:, 0, cut:-cut, cut:-cut]
    for index, sign in ((0, -1), (1, 1)):
        seen = batch.targets == index
        assert seen.any()
        assert (pixels[seen] * sign > 0).all()


def test_classes_have_names_and_colours():
    toy = learner(
        *halves(), zero="background", class_names={3: "membrane"}, class_colors={7: (1, 0, 0, 1)}
    )
    assert toy.class_names == ("background", "membrane", "class 7")
    assert [c.color for c in toy._class_infos()] == [None, None, (1, 0, 0, 1)]
    # 0 is a class now, and every pixel is painted.
    assert sum(toy.counts) == 96 * 96
    assert toy.config.out_channels == 3
    assert (toy.batch(4).targets == 0).any()


@pytest.mark.parametrize("shape", [(60, 60), (700, 90), (4000, 4000)])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_a_patch_is_allowed_and_no_larger_than_the_image_needs(shape, padding):
    image, labels = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    image[:30], labels[:20, :20], labels[30:50, 30:50] = 9, 1, 2
    toy = learner(image, labels, network=None, patch=None, padding=padding)
    axes = toy.config.passing  # with padded convolutions an image needs no context to pass
    assert all(g.is_allowed(n) for g, n in zip(axes, toy.input_shape, strict=True))
    assert all(n <= g.input_for(m) for g, n, m in zip(axes, toy.input_shape, shape, strict=True))
    smallest = np.prod([g.smallest_input for g in axes])
    assert np.prod(toy.input_shape) <= max(INPUT_VOXELS[2], smallest)
    assert toy.network(torch.zeros(2, 1, *toy.input_shape)).shape[2:] == toy.output_shape


@pytest.mark.parametrize("shape", [(20, 20), (3, 9)])
def test_images_below_the_smallest_input_are_mirrored(shape):
    image, labels = np.random.default_rng(0).random(shape), np.zeros(shape, int)
    labels[0, :4], labels[-1, :4] = 1, 2
    config = UNetConfig.sized("small")
    assert all(n < g.smallest_input for n, g in zip(shape, config.geometry, strict=True))
    model = fit(image, labels, steps=1, batch_size=2, network=config)
    assert model.config.out_channels == 2


def test_what_the_user_should_know_is_said_first():
    image, labels = halves()
    image[0, 0], image[5, 5] = np.nan, np.inf
    labels[labels == 7] = 0
    labels[40, 60:70] = 7
    events = list(train(image, labels, **FAST))
    warned = [e.message for e in events if isinstance(e, Warned)]
    assert warned[:2] == [
        "0.02% of the pixels are not finite (NaN or infinite); they are ignored.",
        "Few pixels are painted of class 7: 10. More strokes will help.",
    ]
    assert [type(e) for e in events[:4]] == [Preparing, Started, Warned, Warned]


@pytest.mark.parametrize("frames", [0, 3])
def test_pixels_without_a_value_do_not_count_as_painted(frames):
    image, labels = halves()
    image[labels == 7] = np.nan
    image[40, 60:64] = 1
    if frames:
        image, labels = np.stack([image] * frames), np.stack([labels * 0] * (frames - 1) + [labels])
    warned = list(learner(image, labels).warnings())
    lost = int((labels == 7).sum()) - 4
    assert warned[1] == (
        f"Few pixels are painted of class 7: 4 ({lost} more are NaN or infinite, and are ignored). "
        "More strokes will help."
    )
    assert not any("class 3" in text for text in warned)


def test_only_so_many_painted_pixels_are_read_to_see_whether_they_have_values(monkeypatch):
    image, labels = halves()
    image[labels == 7] = np.nan
    monkeypatch.setattr("napari_unet.tasks.segmentation.data.CHECKED_PIXELS", 100)
    assert not any("class 7" in text for text in learner(image, labels).warnings())


def test_where_nothing_is_held_out_there_is_no_validation_and_that_is_said():
    events = list(train(*halves(), **FAST, held_out=0))
    assert any(
        "(held out: 0), so there is no score" in e.message for e in events if isinstance(e, Warned)
    )
    assert not any(isinstance(e, Validated) for e in events)


def test_the_score_rests_on_the_pixels_that_are_held_out():
    image, labels = halves((200, 200))
    toy = learner(image, labels)
    result = toy.validate(toy.network.eval(), torch.device("cpu"), 5)
    assert (result.step, result.metric) == (5, "IoU")
    assert 0 < result.pixels == toy.sampler.val_count.sum()
    assert result.loss > 0
    assert all(0 <= score <= 1 for score in result.scores)


def test_a_perfect_network_scores_one():
    class Perfect(torch.nn.Module):
        def forward(self, x):
            cut = (x.shape[-1] - toy.output_shape[-1]) // 2
            bright = x[:, :, cut:-cut, cut:-cut]
            return torch.cat([-bright, bright], 1)

    image, labels = halves((200, 200), noise=0.01)
    toy = learner(image, labels)
    assert toy.validate(Perfect(), torch.device("cpu"), 1).scores == (1.0, 1.0)


def test_it_learns_which_side_is_which():
    image, labels = halves()
    model = fit(image, labels, **{**FAST, "steps": 60, "learning_rate": 0.02, "batch_size": 4})
    assert [c.value for c in model.classes] == [3, 7]
    validation = model.training["validation"]
    assert min(score for score in validation["IoU"] if score is not None) > 0.9


@pytest.mark.parametrize("ndim", [2, 3])
def test_one_seed_gives_one_model_bit_by_bit(ndim):
    shape, patch = ((96, 96), (40, 40)) if ndim == 2 else ((12, 40, 40), (16, 24, 24))
    image, labels = halves(shape)
    network = (TINY if ndim == 2 else TINY3D).model_copy(update={"dropout": (0.1, 0.1)})
    how = {"network": network, "ndim": ndim, "steps": 3, "batch_size": 2, "patch": patch}
    digests = [fit(image, labels, seed=seed, **how).digest for seed in (5, 5, 6)]
    assert digests[0] == digests[1] != digests[2]


def test_the_global_random_state_is_left_alone():
    before = torch.get_rng_state()
    fit(*halves(), **FAST)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_model_says_how_it_was_made():
    image, labels = halves()
    model = fit(image, labels, **FAST, seed=4, spacing=(2.0, 3.0))
    facts = model.training
    assert (facts["steps"], facts["seed"], model.spacing) == (2, 4, (2.0, 3.0))
    assert facts["painted"] == {"class 3": int((labels == 3).sum()),
                                "class 7": int((labels == 7).sum())}  # fmt: skip
    assert facts["options"]["patch"] == [40, 40]
    assert "network" not in facts["options"]
    assert facts["versions"]["torch"] == torch.__version__
    assert json.loads(json.dumps(model.header()))["training"]["strokes"] == facts["strokes"]
    labels[0, 0] = 7
    assert fit(image, labels, **FAST).training["strokes"] != facts["strokes"]


@pytest.mark.parametrize(
    ("shape", "labels_shape", "options", "channels"),
    [
        ((2, 96, 96), (96, 96), {}, 2),
        ((96, 96, 3), (96, 96), {"rgb": True}, 3),
        ((96, 2, 96), (96, 96), {"channel_axis": 1}, 2),
        ((4, 2, 96, 96), (4, 96, 96), {"axes": ("t", "c", "y", "x")}, 2),
        ((4, 96, 96), (4, 96, 96), {}, 1),
    ],
)
def test_channels_and_loops(shape, labels_shape, options, channels):
    image = np.random.default_rng(0).integers(0, 999, shape).astype(">u2")
    _, labels = halves(labels_shape)
    model = fit(image, labels, **FAST, ndim=2, **options)
    assert model.config.in_channels == channels
    assert len(model.normalisation.offset) == channels


@pytest.mark.parametrize("loss", ["ce", "dice", "ce+dice"])
@pytest.mark.parametrize("normalise", ["mean_sd", "percentile", "none"])
def test_every_loss_and_normalisation_trains(loss, normalise):
    events = list(train(*halves(), **FAST, loss=loss, normalise=normalise))
    assert [e.step for e in events if isinstance(e, Stepped)] == [1, 2]
    assert isinstance(events[-1], Finished)
    assert events[-1].model.normalisation.kind == normalise


def test_the_control_reaches_the_loop():
    control = Control()
    events = train(*halves(), **{**FAST, "steps": 1000}, control=control)
    for event in events:
        if isinstance(event, Stepped):
            control.stop()
    assert (event.reason, event.step) == ("stopped", 1)
    assert event.model.config.out_channels == 2


def test_without_a_budget_it_is_a_minute():
    budget = {name: value for name, value in FAST.items() if name != "steps"}
    started = next(e for e in train(*halves(), **budget) if isinstance(e, Started))
    assert (started.seconds, started.steps) == (60, None)


@pytest.mark.parametrize("name", SegmentOptions.model_fields)
def test_every_option_is_explained(name):
    description = SegmentOptions.model_fields[name].description
    assert description
    assert description.endswith(".")


def objects(side=96, step=12):
    """A bright square every few pixels, each with a number of its own."""
    ids = np.zeros((side, side), np.uint16)
    for number, corner in enumerate(np.ndindex(side // step, side // step), start=1):
        y, x = (step * np.array(corner)).tolist()
        ids[y + 2 : y + 9, x + 2 : x + 9] = number
    image = np.random.default_rng(0).normal(0, 0.3, ids.shape).astype(np.float32)
    return image + (ids > 0), ids


def test_numbered_objects_become_one_class_and_background():
    image, ids = objects()
    model = fit(image, ids, **FAST, zero="background", merge_labels=True)
    assert [(c.value, str(c)) for c in model.classes] == [(0, "background"), (1, "object")]
    assert model.training["options"]["merge_labels"] is True
    assert evaluate(model, image, ids).pixels == ids.size


def test_many_classes_are_named_as_what_they_probably_are():
    image, ids = objects()
    said = [e.message for e in train(image, ids, **FAST) if isinstance(e, Warned)]
    assert any("64 labels become as many classes" in message for message in said)

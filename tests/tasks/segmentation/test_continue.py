"""Going on from a model: what it knew it still knows, and it learns more."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_unet import fit, load_model, predict, train
from napari_unet.data.annotations import AnnotationStore
from napari_unet.errors import InputError, ModelFileError
from napari_unet.geometry.region import Region
from napari_unet.model import TrainedModel, weights_of
from napari_unet.network.unet_config import UNetConfig
from napari_unet.tasks.options import CONTINUED_RATE
from napari_unet.tasks.segmentation.data import open_all_annotated
from napari_unet.tasks.segmentation.options import SegmentOptions
from napari_unet.tasks.segmentation.task import CALIBRATION, SegmentationTask, continued_network
from napari_unet.training.events import Finished, Preparing, Resolved, Started, Stepped, Warned

TINY = UNetConfig(
    encoder=((8,),), bottom=(8,), decoder=((8,),), stem=(2, 2), up="nearest", filters=()
)
HOW = {"batch_size": 2, "patch": (48, 48), "threads": 1}
CPU = torch.device("cpu")


def bands() -> np.ndarray:
    """Three bands, one above the other, with noise; the uppermost is the largest."""
    values = np.repeat([0.0, 3.0, 6.0], (100, 30, 30))[:, None]
    return values + np.random.default_rng(0).normal(0, 0.3, size=(160, 100))


def strokes(*values: int) -> np.ndarray:
    labels = np.zeros((160, 100), np.uint8)
    for value, row in zip((1, 2, 7), (50, 110, 140), strict=True):
        labels[row : row + 6, 10:90] = value if value in values else 0
    return labels


@pytest.fixture(scope="module")
def model() -> TrainedModel:
    return fit(
        bands(), strokes(1, 2), steps=80, network=TINY, learning_rate=2e-2, averaging=0.9,
        class_names={1: "dark", 2: "grey"}, class_colors={1: (1, 0, 0, 1)}, **HOW,
    )  # fmt: skip


def learner(model, labels, **options) -> SegmentationTask:
    parsed = SegmentOptions.parse({"steps": 1, **HOW, **options})
    return SegmentationTask.of(open_all_annotated([bands()], [labels], 2, parsed), parsed, model)


def random_input(model):
    torch.manual_seed(0)
    return torch.randn(1, 1, *model.config.input_for((32, 32)))


def test_before_the_first_step_it_says_what_the_model_said(model):
    assert model.training[CALIBRATION][0] != pytest.approx(model.training[CALIBRATION][1], rel=0.05)
    learning = learner(model, strokes(1, 2, 7))
    network = learning.network.eval()
    learning.calibrate(network, CPU)
    x = random_input(model)
    with torch.no_grad():
        assert torch.allclose(network(x)[:, :2], model.network()(x), atol=1e-5)
        assert network(x).shape[1] == 3
    alike = learner(model, strokes(1, 2))
    network = alike.network.eval()
    alike.calibrate(network, CPU)
    again = alike.build_model(weights_of(network), {})
    assert np.allclose(
        predict(again, bands(), output="probabilities"),
        predict(model, bands(), output="probabilities"),
        atol=1e-5,
    )


def test_the_calibration_is_taken_back_and_done_once(model):
    factors = torch.tensor(model.training[CALIBRATION])
    x = random_input(model)
    with torch.no_grad():
        bare = continued_network(model, 2).eval()(x)
        shift = (model.network()(x) - bare).mean((0, 2, 3))
    assert torch.allclose(shift, factors.log(), atol=1e-4)
    # Gone on from again and again, without learning anything, it is calibrated once.
    bias = continued_network(model, 2).head.bias.detach()
    for _ in range(3):
        model = fit(bands(), strokes(1, 2), start=model, steps=2, learning_rate=1e-9, **HOW)
    shift = torch.tensor(model.weights["head.bias"]) - bias
    now = torch.tensor(model.training[CALIBRATION]).log()
    assert torch.allclose(shift, now.repeat_interleave(TINY.block_volume), atol=1e-4)


def test_network_normalisation_and_classes_come_from_the_model(model):
    brighter = bands() * 5 + 100
    events = list(
        train(brighter, strokes(2, 7), start=model, steps=2, size="large",
              class_names={2: "other", 7: "new"}, **HOW)
    )  # fmt: skip
    went_on = events[-1].model
    assert went_on.normalisation == model.normalisation
    assert went_on.config == model.config.model_copy(update={"out_channels": 3})
    assert [(c.value, c.name) for c in went_on.classes] == [(1, "dark"), (2, "grey"), (7, "new")]
    assert went_on.classes[0].color == (1, 0, 0, 1)
    assert went_on.training["continued_from"] == model.digest
    assert "continued_from" not in model.training
    assert went_on.training["painted"] == {"dark": 0, "grey": 480, "new": 480}
    assert any("There are no strokes of dark" in e.message for e in events if isinstance(e, Warned))


def test_a_class_that_is_not_learned_from_keeps_its_factor(model):
    went_on = fit(bands(), strokes(2, 7), start=model, steps=2, **HOW)
    before, after = model.training[CALIBRATION], went_on.training[CALIBRATION]
    assert after[0] == pytest.approx(before[0])
    assert len(after) == 3


def accuracy(model, rows) -> float:
    truth = np.repeat([1, 2, 7], (100, 30, 30))[:, None]
    return float((predict(model, bands()) == truth)[rows].mean())


def test_it_learns_a_new_class_and_keeps_the_old_ones(model):
    went_on = fit(bands(), strokes(1, 2, 7), start=model, steps=60, seed=1, **HOW)
    for rows in (slice(0, 90), slice(105, 125), slice(138, 160)):
        assert accuracy(went_on, rows) > 0.9


def test_what_was_learned_is_not_destroyed(model):
    """Where a fresh network at full rate would begin anew, the first steps do no harm."""
    known = slice(0, 130)
    before = accuracy(model, known)
    assert before > 0.9
    for steps in (1, 5, 15):
        went_on = fit(bands(), strokes(1, 2), start=model, steps=steps, seed=3, **HOW)
        assert accuracy(went_on, known) > before - 0.03


def test_the_rate_is_lower_unless_it_is_given(model):
    def rates(**options):
        events = train(bands(), strokes(1, 2), steps=12, network=None, **options, **HOW)
        return max(e.learning_rate for e in events if isinstance(e, Stepped))

    peak = SegmentOptions().learning_rate
    assert rates(start=model) == pytest.approx(peak * CONTINUED_RATE, rel=0.2)
    assert rates(start=model, learning_rate=peak) == pytest.approx(peak, rel=0.2)
    assert rates(start=model, learning_rate=1e-2) == pytest.approx(1e-2, rel=0.2)


def test_a_path_will_do(model, tmp_path):
    path = model.save(tmp_path / "model")
    went_on = fit(bands(), strokes(1, 2), start=path, steps=1, **HOW)
    assert went_on.training["continued_from"] == load_model(path).digest
    again = load_model(went_on.save(tmp_path / "on"))
    assert again.training[CALIBRATION] == went_on.training[CALIBRATION]
    with pytest.raises(ModelFileError, match="no such model file"):
        fit(bands(), strokes(1, 2), start=str(tmp_path / "none"), steps=1)


def test_one_class_is_enough_where_the_model_knows_more(model):
    store = AnnotationStore((160, 100), 2)
    events = train(bands(), store, start=model, steps=2, **HOW)
    assert next(events).message.startswith("Waiting: paint at least one stroke")
    store.write(Region((110, 10), (116, 90)), np.full((6, 80), 2))
    assert isinstance(next(e for e in events if not isinstance(e, Preparing | Resolved)), Started)
    assert isinstance(list(events)[-1], Finished)
    assert fit(bands(), strokes(2), start=model, steps=1, **HOW).config.out_channels == 2


def test_a_model_from_before_calibrations_were_noted_will_do(model):
    facts = {k: v for k, v in model.training.items() if k != CALIBRATION}
    old = TrainedModel(model.config, model.weights, model.normalisation, "segment",
                       model.classes, model.spacing, facts)  # fmt: skip
    x = random_input(model)
    with torch.no_grad():
        assert torch.allclose(continued_network(old, 2).eval()(x), model.network()(x), atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((160, 100, 2), {}, "got a model of 1 channels, expected one of 2"),
        ((9, 160, 100), {"ndim": 3}, "got a 2D model, expected a 3D one"),
        ((160, 100), {"network": TINY}, "uses the network of that model"),
    ],
)
def test_what_differs_is_named_before_anything_runs(model, shape, options, message):
    labels = np.zeros(shape if len(shape) == 2 or shape[0] == 9 else shape[:2], np.uint8)
    labels[..., 3:9, 3:50], labels[..., 20:30, 3:50] = 1, 2
    with pytest.raises(InputError, match=message):
        fit(np.random.default_rng(0).normal(size=shape), labels, start=model, steps=1, **options)


def test_a_model_of_another_task_is_refused(model):
    other = TrainedModel(model.config, model.weights, model.normalisation, "denoise")
    with pytest.raises(InputError, match="cannot be continued as a segmentation"):
        fit(bands(), strokes(1, 2), start=other, steps=1)

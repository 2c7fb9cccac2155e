"""Losses: what is not painted does not count, and what is counts as the books say."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from napari_unet.data.sampling import IGNORED
from napari_unet.tasks.segmentation.losses import (
    inverse_frequencies,
    masked_cross_entropy,
    masked_dice,
    masked_focal,
    masked_tversky,
    segmentation_loss,
)
from napari_unet.tasks.segmentation.options import Loss

NAMES = get_args(Loss)


@st.composite
def problems(draw):
    """Logits (B, classes, *spatial) and targets (B, *spatial), some of them unpainted."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    batch, classes = draw(st.integers(1, 3)), draw(st.integers(2, 4))
    shape = (batch, *draw(st.lists(st.integers(1, 5), min_size=2, max_size=3)))
    logits = 3 * torch.randn(batch, classes, *shape[1:], generator=generator, dtype=torch.float64)
    targets = torch.randint(IGNORED, classes, shape, generator=generator)
    return logits.requires_grad_(), targets


@given(problems(), st.sampled_from(NAMES))
def test_unpainted_voxels_have_a_gradient_of_exactly_zero(problem, name):
    logits, targets = problem
    segmentation_loss(name, logits, targets).backward()
    slopes = logits.grad.movedim(1, -1)
    assert torch.count_nonzero(slopes[targets == IGNORED]) == 0
    assert torch.isfinite(slopes).all()
    if name == "ce" and (targets != IGNORED).any():
        assert (slopes[targets != IGNORED] != 0).all()


@given(problems(), st.sampled_from(NAMES))
def test_nor_does_what_the_network_says_there_change_the_loss(problem, name):
    logits, targets = problem
    other = torch.where((targets == IGNORED).unsqueeze(1), 9 * torch.rand_like(logits), logits)
    assert torch.equal(
        segmentation_loss(name, logits, targets), segmentation_loss(name, other, targets)
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_without_paint_weighs_nothing(name):
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    loss = segmentation_loss(name, logits, torch.full((2, 4, 4), IGNORED))
    loss.backward()
    assert loss.item() == 0
    assert torch.count_nonzero(logits.grad) == 0


@given(problems())
def test_cross_entropy_is_that_of_torch(problem):
    logits, targets = problem
    if (targets != IGNORED).any():
        expected = F.cross_entropy(logits, targets, ignore_index=IGNORED)
        assert masked_cross_entropy(logits, targets).item() == pytest.approx(expected.item())


def test_cross_entropy_by_hand():
    logits = torch.tensor([[1.0, 2.0, 0.0], [0.0, 0.0, 5.0]]).reshape(1, 2, 3, 1)
    targets = torch.tensor([0, 1, IGNORED]).reshape(1, 3, 1)
    by_hand = (np.log(1 + np.exp(-1)) + np.log(1 + np.exp(2))) / 2
    assert masked_cross_entropy(logits, targets).item() == pytest.approx(by_hand)


def test_dice_by_hand():
    # An undecided network: one half everywhere.
    targets = torch.tensor([0, 0, 1, IGNORED]).reshape(1, 4, 1)
    loss = masked_dice(torch.zeros(1, 2, 4, 1), targets)
    first, second = 2 * 1 / (1.5 + 2), 2 * 0.5 / (1.5 + 1)
    assert loss.item() == pytest.approx(1 - (first + second) / 2, abs=1e-5)


def test_dice_is_over_the_whole_batch():
    # One voxel per picture: picture by picture the absent class would spoil the mean.
    targets = torch.tensor([0, 0, 1]).reshape(3, 1, 1)
    whole = masked_dice(torch.zeros(3, 2, 1, 1), targets)
    flat = masked_dice(torch.zeros(1, 2, 3, 1), targets.reshape(1, 3, 1))
    assert torch.equal(whole, flat)


def test_dice_leaves_out_classes_that_are_not_painted():
    logits = torch.tensor([[5.0, -5.0], [-5.0, 5.0], [0.0, 0.0]]).reshape(1, 3, 2, 1)
    targets = torch.tensor([0, 1]).reshape(1, 2, 1)
    guess = torch.softmax(logits, 1)[0, :, :, 0]
    scores = [2 * guess[c, c] / (guess[c].sum() + 1) for c in (0, 1)]
    expected = 1 - sum(scores).item() / 2
    assert masked_dice(logits, targets).item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("sign", "expected"), [(1, 0), (-1, 1)])
def test_dice_from_best_to_worst(sign, expected):
    targets = torch.tensor([[0, 1], [1, 0]]).unsqueeze(0)
    logits = sign * 50.0 * (2 * F.one_hot(targets, 2).movedim(-1, 1) - 1)
    assert masked_dice(logits, targets).item() == pytest.approx(expected, abs=1e-4)


@given(problems())
def test_the_sum_is_the_sum(problem):
    parts = masked_cross_entropy(*problem) + masked_dice(*problem)
    assert segmentation_loss("ce+dice", *problem).item() == pytest.approx(parts.item())


@given(problems())
def test_focal_loss_without_focus_is_cross_entropy(problem):
    logits, targets = problem
    focal = masked_focal(logits, targets, gamma=0.0)
    assert torch.allclose(focal, masked_cross_entropy(logits, targets))


def test_focal_loss_is_what_the_paper_says():
    logits = torch.tensor([[2.0, 0.5, -1.0]]).T[None]
    logits = torch.cat([logits, torch.zeros_like(logits)], 1).reshape(1, 2, 3, 1)
    targets = torch.tensor([0, 1, IGNORED]).reshape(1, 3, 1)
    p = torch.sigmoid(torch.tensor([2.0, -0.5]))
    expected = (-((1 - p) ** 2) * p.log()).mean()
    assert torch.allclose(masked_focal(logits, targets, gamma=2.0), expected)


@given(problems())
def test_tversky_with_equal_parts_is_dice(problem):
    logits, targets = problem
    assert torch.allclose(masked_tversky(logits, targets, alpha=0.5), masked_dice(logits, targets))


def test_tversky_weighs_what_is_missed_against_what_is_wrongly_found():
    sure = 20.0 * torch.nn.functional.one_hot(torch.tensor([0, 0, 1, 1]), 2).T[None, :, :, None]
    missed = torch.tensor([0, 1, 1, 1]).reshape(1, 4, 1)  # one voxel of class 1 is taken for 0
    # Class 0: 1 hit, 1 wrongly found; class 1: 2 hits, 1 missed.
    for alpha in (0.2, 0.8):
        expected = 1 - (1 / (1 + alpha) + 2 / (2 + 1 - alpha)) / 2
        found = masked_tversky(sure, missed, alpha=alpha)
        assert found.item() == pytest.approx(expected, abs=1e-4)


@given(problems(), st.sampled_from(NAMES))
def test_a_class_that_weighs_nothing_pulls_at_nothing(problem, name):
    logits, targets = problem
    weights = torch.ones(logits.shape[1], dtype=logits.dtype)
    weights[0] = 0
    segmentation_loss("ce", logits, targets, weights).backward()
    slopes = logits.grad.movedim(1, -1)
    assert torch.count_nonzero(slopes[targets == 0]) == 0
    assert torch.isfinite(segmentation_loss(name, logits, targets, weights))


@given(problems())
def test_equal_weights_change_nothing(problem):
    logits, targets = problem
    weights = torch.full((logits.shape[1],), 3.0, dtype=logits.dtype)
    for name in NAMES:
        expected = segmentation_loss(name, logits, targets)
        assert torch.allclose(segmentation_loss(name, logits, targets, weights), expected)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=6))
def test_rare_classes_weigh_more_but_not_without_bounds(counts):
    weights = inverse_frequencies(counts)
    assert sum(weights) == pytest.approx(len(counts))
    assert max(weights) <= 20 * min(weights) * (1 + 1e-9)
    present = [(n, w) for n, w in zip(counts, weights, strict=True) if n]
    assert all(a[1] >= b[1] for a in present for b in present if a[0] <= b[0])

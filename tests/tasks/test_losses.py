"""Losses: what is not painted does not count, and what is counts as the books say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from napari_unet.tasks.losses import (
    IGNORED,
    masked_cross_entropy,
    masked_dice,
    segmentation_loss,
)

NAMES = ("ce", "dice", "ce+dice")


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

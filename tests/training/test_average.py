"""The average follows the weights, and reaches back as far as it says."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from napari_unet.training.optimiser import EARLY_HORIZON_SHARE, ExponentialMovingAverage


def weight_network(value: float) -> nn.Linear:
    network = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        network.weight.fill_(value)
    return network


@settings(deadline=None, max_examples=20)
@given(st.integers(10, 80) | st.integers(300, 500))
def test_it_reaches_back_over_a_share_of_the_steps(steps):
    """A weight that counts steps lags behind by what the average reaches back."""
    network = weight_network(0).double()
    average = ExponentialMovingAverage(network, 0.9999)
    for step in range(1, steps + 1):
        network.weight.data.fill_(step)
        average.update(network)
    lag = steps - average.network.weight.item()
    # An average over n / k steps of a straight line lags by n / (k + 1).
    assert lag == pytest.approx(steps / (1 + (4 if steps <= 80 else 8)), rel=0.05)


def test_it_reaches_back_no_further_than_it_may():
    network = weight_network(0).double()
    average = ExponentialMovingAverage(network, 0.9)
    for step in range(400):
        network.weight.data.fill_(step)
        average.update(network)
    assert 399 - average.network.weight.item() == pytest.approx(9, abs=0.01)


def test_it_is_a_copy_that_does_not_learn():
    network = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(0.5)).train()
    average = ExponentialMovingAverage(network, 0.5)
    assert not average.network.training
    assert not any(p.requires_grad for p in average.network.parameters())
    before = average.network[0].weight.clone()
    network[0].weight.data += 1
    assert torch.equal(average.network[0].weight, before)


def test_statistics_are_averaged_and_counters_copied():
    network = nn.BatchNorm1d(2)
    average = ExponentialMovingAverage(network, 0.5)
    network.running_mean += 4
    network.num_batches_tracked += 7
    average.update(network)
    keep = EARLY_HORIZON_SHARE / (EARLY_HORIZON_SHARE + 1)
    assert torch.allclose(average.network.running_mean, torch.full((2,), 4 * (1 - keep)))
    assert average.network.num_batches_tracked == 7

"""Frequencies of classes from the answers of a network that was taught others."""

from __future__ import annotations

import pytest
import torch

from napari_unet.network.build import build_network
from napari_unet.network.unet_config import UNetConfig
from napari_unet.tasks.segmentation.calibration import MAX_FACTOR, frequency_factors, shift_head


@pytest.mark.parametrize("truth", [(0.9, 0.1), (0.5, 0.5), (0.2, 0.8)])
def test_answers_that_are_right_but_for_the_frequencies_get_better(truth):
    """Two classes, normal and 2 apart: the best answers for equal frequencies are known."""
    generator = torch.Generator().manual_seed(0)
    second = torch.rand(50_000, generator=generator) < truth[1]
    x = torch.randn(50_000, generator=generator, dtype=torch.float64) + torch.where(second, 1, -1)
    answers = torch.softmax(torch.stack([-x, x], 1), 1)
    factors = frequency_factors(answers, torch.tensor([0.5, 0.5], dtype=torch.float64))
    corrected = (answers * factors).argmax(1)
    right = (corrected == second.long()).double().mean()
    before = (answers.argmax(1) == second.long()).double().mean()
    assert right >= before + (0.03 if max(truth) > 0.8 else -0.005)
    assert (factors[1] > factors[0]) == (truth[1] > 0.501) or truth == (0.5, 0.5)


def test_a_network_that_knows_nothing_changes_nothing():
    trained = torch.tensor([0.2, 0.8])
    factors = frequency_factors(trained.expand(100, 2), trained)
    assert factors.tolist() == pytest.approx([1, 1])


def test_no_class_is_made_more_than_four_times_as_likely_or_unlikely():
    answers = torch.tensor([[1.0, 0.0]] * 10)
    factors = frequency_factors(answers, torch.tensor([0.1, 0.9]))
    assert factors.tolist() == pytest.approx([MAX_FACTOR, 1 / MAX_FACTOR])


@pytest.mark.parametrize("stem", [(1, 1), (2, 2)])
def test_the_head_makes_each_class_so_many_times_more_likely(stem):
    config = UNetConfig(out_channels=3, encoder=(4,), bottom=(4,), decoder=(4,), stem=stem)
    network = build_network(config).eval()
    x = torch.randn(1, 1, *config.input_for((4, 4)))
    factors = torch.tensor([1.0, 2.5, 0.5])
    with torch.no_grad():
        before = network(x)
        shift_head(network, factors)
        after = network(x)
    shifts = factors.log().view(1, 3, 1, 1)
    assert torch.allclose(after - before, shifts.expand_as(after), atol=1e-5)


def test_a_network_without_biases_stays_as_it_is():
    network = build_network(UNetConfig(encoder=(4,), bottom=(4,), decoder=(4,), biases=False))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    shift_head(network, torch.tensor([2.0, 0.5]))
    assert all(torch.equal(before[name], v) for name, v in network.state_dict().items())

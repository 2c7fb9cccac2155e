"""What decays, and what does not."""

from __future__ import annotations

import pytest
import torch

from napari_unet.network.build import build_network
from napari_unet.network.unet_config import UNetConfig
from napari_unet.training.optimiser import FILTERS_BOOST, build_optimiser, set_learning_rate
from napari_unet.training.options import TrainingOptions


def test_every_parameter_is_in_it_once():
    network = build_network(UNetConfig.sized("small", 2))
    groups = build_optimiser(network, TrainingOptions()).param_groups
    held = [id(p) for group in groups for p in group["params"]]
    assert sorted(held) == sorted(map(id, network.parameters()))


def test_without_a_gradient_only_weights_shrink():
    network = build_network(UNetConfig(encoder=((4,),), bottom=(4,), decoder=((4,),)))
    options = TrainingOptions(learning_rate=0.5, weight_decay=0.1)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    build_optimiser(network, options).step()
    for name, parameter in network.named_parameters():
        factor = 0.95 if parameter.ndim >= 2 else 1.0
        assert torch.allclose(parameter, factor * before[name]), name


def test_its_rate_is_that_of_the_options():
    network = torch.nn.Linear(2, 2)
    optimiser = build_optimiser(network, TrainingOptions(learning_rate=0.02))
    assert [group["lr"] for group in optimiser.param_groups] == [0.02, 0.02]
    # The first step of Adam is one rate, whatever the gradient.
    bias = network.bias.detach().clone()
    network(torch.ones(1, 2)).sum().backward()
    optimiser.step()
    assert (bias - network.bias).tolist() == pytest.approx([0.02, 0.02], rel=1e-4)


def test_the_classifier_on_fixed_filters_learns_faster_at_first():
    network = build_network(UNetConfig.sized("small", 2))
    optimiser = build_optimiser(network, TrainingOptions())
    shallow = set(map(id, network.filters.parameters()))
    assert shallow
    for step, lead in ((0, 1 + FILTERS_BOOST), (10_000, 1.0)):
        set_learning_rate(optimiser, 0.01, step)
        for group in optimiser.param_groups:
            fast = [id(p) in shallow for p in group["params"]]
            assert all(fast) or not any(fast)
            expected = 0.01 * lead if all(fast) else 0.01
            assert group["lr"] == pytest.approx(expected, rel=0.03)

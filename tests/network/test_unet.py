"""The network does what its configuration says: sizes, fields, pieces, initial weights."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from napari_unet.network.blocks import (
    ConvBlock,
    Interpolate,
    centre_crop,
    depth_to_space,
    space_to_depth,
)
from napari_unet.network.build import build_network
from napari_unet.network.unet_config import UNetConfig
from tests.geometry.strategies import configs


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def output_shape(config: UNetConfig, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Send an input of that spatial shape through the network without computing anything."""
    network = build_network(config).eval().to("meta")
    return tuple(network(torch.empty(1, config.in_channels, *shape, device="meta")).shape)


# Torch decomposes norms of tensors without data, slowly, and they change no size.
PLAIN = {"norm": "none", "activation": "relu"}


@settings(max_examples=50)
@given(configs(padding="valid", **PLAIN), st.data())
def test_valid_sizes_are_those_of_torch(config, data):
    shape = tuple(
        g.smallest_input + g.stride * data.draw(st.integers(0, 3)) for g in config.geometry
    )
    assert output_shape(config, shape) == (1, config.out_channels, *config.output_for(shape))


@settings(max_examples=30)
@given(configs(padding="same", **PLAIN), st.data())
def test_padded_networks_keep_the_size(config, data):
    shape = tuple(g.stride * data.draw(st.integers(1, 4)) for g in config.geometry)
    assert output_shape(config, shape) == (1, config.out_channels, *shape)


def test_published_sizes():
    assert output_shape(UNetConfig.preset("ronneberger2015"), (572, 572)) == (1, 2, 388, 388)
    assert output_shape(UNetConfig.preset("cicek2016"), (132, 132, 116)) == (1, 3, 44, 44, 28)
    assert output_shape(UNetConfig.preset("neurons3d"), (92, 100, 220)) == (1, 2, 4, 12, 132)
    assert output_shape(UNetConfig.preset("ndnet_unetv3"), (398, 94, 94)) == (1, 1, 354, 50, 50)


@st.composite
def lines(draw):
    """Networks that do something along the first axis only, for the whole truth about it."""
    ndim = draw(st.sampled_from((2, 3)))
    rest = (1,) * (ndim - 1)
    depth = draw(st.integers(0, 2))
    sizes = st.sampled_from((1, 3, 5))
    factors = st.sampled_from((1, 2, 2, 3))
    return draw(
        configs(
            ndim=ndim,
            max_depth=0,
            in_channels=1,
            encoder=tuple((1,) * draw(st.integers(1, 2)) for _ in range(depth)),
            bottom=(1,) * draw(st.integers(1, 3)),
            decoder=tuple((1,) * draw(st.integers(1, 2)) for _ in range(depth)),
            kernels=tuple((draw(sizes), *rest) for _ in range(depth + 1)),
            poolings=tuple((draw(factors), *rest) for _ in range(depth)),
            head_kernel=(draw(st.sampled_from((1, 3))), *rest),
            stem=(draw(st.sampled_from((1, 1, 2))), *rest),
            norm="none",
            activation="relu",
        )
    )


def dependence(config: UNetConfig, length: int) -> torch.Tensor:
    """Tell which output voxel (columns) sees which input voxel (rows), along the first axis.

    With positive weights and no biases an output voxel is above 0 exactly where it sees the one
    input voxel that is.
    """
    network = build_network(config).double().eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.zero_() if name.endswith("bias") else parameter.uniform_(0.5, 1)
        side = config.geometry[1].smallest_input
        points = torch.eye(length, dtype=torch.float64).reshape(length, 1, length, 1)
        points = points.expand(-1, -1, -1, side)
        if config.ndim == 3:
            points = points.unsqueeze(-1).expand(*points.shape, side)
        return network(points).sum(1).flatten(2).sum(2) > 0


@settings(max_examples=60)
@given(lines())
def test_the_receptive_field_is_true_and_the_halo_is_enough_and_no_more(config):
    axis = config.geometry[0]
    length = axis.input_for(axis.stride)
    sees = dependence(config, length)
    rows = torch.arange(length).unsqueeze(1)
    first = torch.where(sees, rows, length).amin(0)
    last = torch.where(sees, rows, -1).amax(0)
    width, margin = last - first + 1, axis.context // 2
    # An interpolation by 3 hits some voxels exactly, and then sees a neighbour by rounding only.
    exact = config.up != "linear" or all(f[0] in (1, 2) for f in config.poolings)
    if config.padding == "valid":
        assert len(width) == length - axis.context
    else:
        reach = torch.maximum(torch.arange(length) - first, last - torch.arange(length))
        assert reach.max() <= margin
        # Away from the padding, where nothing is cut off, it is all of it.
        width, reach = (x[margin : length - margin] for x in (width, reach))
        assert reach.max() == margin or not exact
    assert width.max() <= config.receptive_field[0]
    assert width.max() == config.receptive_field[0] or not exact


def test_the_layers_are_those_of_the_u_net():
    """The same in plain calls: this order of concatenation is what saved weights rely on."""
    net = build_network(UNetConfig(encoder=((3, 4),), bottom=(5,), decoder=((6,),), norm="none"))
    w = {name: p.detach() for name, p in net.named_parameters()}

    def conv(x, name):
        return F.relu(F.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"]))

    x = torch.randn(2, 1, 20, 22)
    skip = conv(conv(x, "encoder.0.layers.0"), "encoder.0.layers.2")
    up = conv(F.max_pool2d(skip, 2), "bottom.layers.0")
    up = F.conv_transpose2d(up, w["ups.0.weight"], w["ups.0.bias"], stride=2)
    joined = torch.cat((skip[:, :, 2:-2, 2:-2], up), 1)
    expected = F.conv2d(conv(joined, "decoder.0.layers.0"), w["head.weight"], w["head.bias"])
    assert torch.allclose(net(x), expected, atol=1e-6)


def test_a_stem_is_the_network_between_two_shuffles():
    blocks = {"encoder": ((4,),), "bottom": (5,), "decoder": ((4,),)}
    with_stem = build_network(UNetConfig(in_channels=2, out_channels=3, stem=(1, 2), **blocks))
    inner = build_network(UNetConfig(in_channels=4, out_channels=6, **blocks))
    inner.load_state_dict(with_stem.state_dict())
    x = torch.randn(2, 2, 12, 24)
    expected = depth_to_space(inner(space_to_depth(x, (1, 2))), (1, 2))
    assert torch.equal(with_stem(x), expected)


def test_an_input_skip_adds_the_centre_of_the_input():
    net = build_network(UNetConfig(out_channels=1, encoder=(4,), decoder=(4,), input_skip=True))
    nn.init.zeros_(net.head.weight)
    nn.init.zeros_(net.head.bias)
    x = torch.randn(2, 1, 30, 30)
    assert torch.equal(net(x), x[:, :, 6:-6, 6:-6])


@pytest.mark.parametrize("channels", [(3, 3), (3, 5)])
def test_a_residual_block_adds_its_input(channels):
    block = ConvBlock(
        2, 3, channels, (3, 3), padded=False, norm="none", activation="relu", residual=True
    )
    for layer in block.layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.zeros_(layer.weight)
    x = torch.randn(2, 3, 9, 9)
    assert (x < 0).any()
    added = x if channels[-1] == 3 else block.shortcut(x)
    assert torch.equal(block(x), F.relu(added[:, :, 2:-2, 2:-2]))


def test_up_convolutions_halve_or_keep_the_channels():
    for up_channels, expected in (("halve", (16, 8)), ("keep", (32, 16))):
        net = build_network(UNetConfig(encoder=((8,), (8,)), bottom=(32,), decoder=((16,), (8,)),
                                       up_channels=up_channels))  # fmt: skip
        assert tuple(up.out_channels for up in net.ups) == expected


@pytest.mark.parametrize("up", ["nearest", "linear"])
def test_upsampling_without_parameters_has_none(up):
    assert list(build_network(UNetConfig(up=up)).ups.parameters()) == []


def test_a_batch_norm_takes_the_place_of_the_bias():
    for norm, expected in (("batch", 1), ("none", 0)):
        net = build_network(UNetConfig(encoder=((2, 3),), bottom=(3,), decoder=((2,),), norm=norm))
        convolutions = [m for b in (*net.encoder, net.bottom, *net.decoder) for m in b.layers
                        if isinstance(m, nn.Conv2d)]  # fmt: skip
        norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
        assert len(norms) == expected * len(convolutions) == expected * 4
        assert all((c.bias is None) == (norm == "batch") for c in convolutions)


def test_dropout_is_set_level_by_level():
    config = UNetConfig(
        encoder=((4,),) * 3, bottom=(4,), decoder=((4,),) * 3, dropout=(0, 0.1, 0.3, 0.5)
    )
    net = build_network(config)

    def rate(block):
        return block.dropout.p if isinstance(block.dropout, nn.Dropout) else 0

    assert [rate(b) for b in net.encoder] == [0, 0.1, 0.3]
    assert rate(net.bottom) == 0.5
    assert [rate(b) for b in net.decoder] == [0.3, 0.1, 0]


def test_dropout_acts_in_training_alone():
    config = UNetConfig(encoder=(4,), bottom=(4,), decoder=(4,), dropout=(0, 0.5), norm="none")
    net, x = build_network(config), torch.randn(1, 1, 30, 30)
    assert not torch.equal(net(x), net(x))
    assert torch.equal(net.eval()(x), net(x))


@pytest.mark.parametrize("ndim", [2, 3])
def test_convolutions_begin_he_normal(ndim):
    block = ConvBlock(ndim, 32, (48, 64), (3,) * ndim, padded=True, norm="none", activation="relu")
    for layer in block.layers[::2]:
        fan_in = layer.in_channels * 3**ndim
        values = layer.weight.detach()
        assert values.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.03)
        assert abs(values.mean().item()) < 0.03 * values.std().item()
        # Normal, not uniform: the tails are there (68 % and 95 % within one and two).
        z = (values / values.std()).abs()
        assert (z < 1).float().mean().item() == pytest.approx(0.683, abs=0.01)
        assert (z < 2).float().mean().item() == pytest.approx(0.954, abs=0.01)
        assert torch.count_nonzero(layer.bias) == 0


def test_signals_keep_their_size_through_many_fresh_layers():
    block = ConvBlock(2, 64, (64,) * 8, (3, 3), padded=True, norm="none", activation="relu")
    x = torch.randn(1, 64, 24, 24)
    with torch.no_grad():
        ratio = block(x)[..., 8:-8, 8:-8].square().mean() / x.square().mean()
    assert 0.3 < ratio < 3


def test_one_seed_builds_one_network():
    networks = []
    for seed in (7, 7, 8):
        torch.manual_seed(seed)
        networks.append(build_network(UNetConfig.sized("small")).state_dict())
    first, second, other = networks
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["encoder.0.layers.0.weight"], other["encoder.0.layers.0.weight"])


SIDES = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), min_size=2, max_size=3)


@given(SIDES, st.integers(1, 2), st.integers(1, 3))
def test_blocks_of_voxels_go_into_channels_and_come_back(sides, batch, channels):
    block, coarse = zip(*sides, strict=True)
    x = torch.rand(batch, channels, *(f * n for f, n in sides))
    deep = space_to_depth(x, block)
    size = torch.Size((batch, channels * torch.tensor(block).prod().item(), *coarse))
    assert deep.shape == size
    assert torch.equal(depth_to_space(deep, block), x)
    # The first channel holds the first voxel of each block.
    corner = x[(slice(None), 0, *(slice(None, None, f) for f in block))]
    assert torch.equal(deep[:, 0], corner)


def test_shuffling_is_that_of_torch():
    x = torch.rand(2, 3, 8, 12)
    assert torch.equal(space_to_depth(x, (2, 2)), F.pixel_unshuffle(x, 2))
    deep = torch.rand(2, 12, 4, 6)
    assert torch.equal(depth_to_space(deep, (2, 2)), F.pixel_shuffle(deep, 2))


def test_the_centre_is_cut_out_alike_on_both_sides():
    x = torch.arange(10.0).reshape(1, 1, 10, 1).expand(1, 1, 10, 4)
    assert centre_crop(x, (4, 2))[0, 0, :, 0].tolist() == [3, 4, 5, 6]
    assert centre_crop(x, (10, 4)).shape == x.shape


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_valid_interpolation_invents_nothing(factor):
    """What is left of a part is what the whole shows there, and a line stays a line."""
    up = Interpolate((factor, 1), linear=True, valid=True)
    x = torch.rand(1, 1, 12, 3, dtype=torch.float64)
    part = up(x[:, :, 2:10])
    cut = factor // 2
    whole = up(x)[:, :, 2 * factor : 10 * factor - 2 * cut]
    assert torch.allclose(part, whole, atol=1e-14)
    line = torch.arange(12.0, dtype=torch.float64).reshape(1, 1, 12, 1)
    steps = up(line)[0, 0, :, 0].diff()
    assert torch.allclose(steps, torch.full_like(steps, 1 / factor))


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_fresh_network_with_a_stem_shows_no_grid(ndim):
    stem = (2,) * (ndim - 1) + (3,)
    config = UNetConfig(ndim=ndim, encoder=(4,), bottom=(4,), decoder=(4,), stem=stem)
    net = build_network(config).eval()
    blocks = space_to_depth(net(torch.randn(1, 1, *config.input_for((6,) * ndim))), stem)
    each = blocks.unflatten(1, (2, -1))
    assert torch.equal(each, each[:, :, :1].expand_as(each))
    assert each[0, 0, 0].unique().numel() > 1

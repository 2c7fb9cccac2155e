"""The table of shapes and parameters agrees with publications and with torch."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from napari_unet.errors import InputError
from napari_unet.network.architecture import parameter_count, shape_table
from napari_unet.network.blocks import ConvBlock, Interpolate
from napari_unet.network.build import build_network
from napari_unet.network.layers import LayerRow, format_table
from napari_unet.network.unet import UNet
from napari_unet.network.unet_config import UNetConfig


def parameters_of(layers: list[LayerRow], *beginnings: str) -> int:
    return sum(layer.parameters for layer in layers if layer.name.startswith(beginnings))


def layer_named(layers: list[LayerRow], name: str) -> LayerRow:
    (found,) = [layer for layer in layers if layer.name == name]
    return found


def test_neurons3d_block_by_block():
    layers = shape_table(UNetConfig.preset("neurons3d"), (220, 220, 220))
    blocks = [
        ("encoder 1",),
        ("encoder 2",),
        ("encoder 3",),
        ("bottom", "decoder 3 up"),
        ("decoder 3 conv", "decoder 2 up"),
        ("decoder 2 conv", "decoder 1 up"),
        ("decoder 1 conv", "head"),
    ]
    numbers = [parameters_of(layers, *block) for block in blocks]
    assert numbers == [3_696, 20_784, 83_040, 463_168, 475_328, 118_880, 27_714]
    assert sum(numbers) == sum(layer.parameters for layer in layers) == 1_192_610
    assert layers[-1].shape == (132, 132, 132)


def test_ronneberger2015():
    config = UNetConfig.preset("ronneberger2015")
    layers = shape_table(config, (572, 572))
    assert parameter_count(config) == 31_030_658
    assert layer_named(layers, "bottom conv 2") == LayerRow(
        "bottom conv 2", (28, 28), 1024, 9_438_208
    )
    assert layer_named(layers, "decoder 4 concat").channels == 1024
    assert layers[-1] == LayerRow("head", (388, 388), 2, 130)


def test_cicek2016():
    layers = shape_table(UNetConfig.preset("cicek2016"), (132, 132, 116))
    assert layers[-1].shape == (44, 44, 28)
    assert layer_named(layers, "decoder 3 concat").channels == 256 + 512


def test_ndnet_unetv3():
    config = UNetConfig.preset("ndnet_unetv3")
    layers = shape_table(config, (398, 94, 94))
    on_the_way = {
        "encoder 1 conv 1": (396, 92, 92),
        "encoder 1 pool": (196, 44, 44),
        "encoder 2 pool": (96, 20, 20),
        "bottom conv 2": (92, 16, 16),
        "decoder 2 conv 2": (180, 28, 28),
        "decoder 1 conv 2": (356, 52, 52),
        "head": (354, 50, 50),
    }
    assert {name: layer_named(layers, name).shape for name in on_the_way} == on_the_way
    assert parameter_count(config) == 2_407_969


def test_a_size_that_does_not_fit_is_answered_with_those_that_do():
    with pytest.raises(InputError, match=r"got 570 pixels.*expected 556 or 572"):
        shape_table(UNetConfig.preset("ronneberger2015"), (572, 570))


def test_each_axis_needs_a_size():
    with pytest.raises(InputError, match="expected 2 sizes"):
        shape_table(UNetConfig(), (64, 64, 64))


def test_padded_nets_keep_the_size():
    config = UNetConfig(padding="same", kernels=((3, 3), (5, 1), (3, 3)), up="linear")
    size = config.geometry[0].largest_input(200), config.geometry[1].largest_input(120)
    layers = shape_table(config, size)
    assert layers[-1].shape == layers[0].shape == size
    assert all(
        layer.shape == size
        for layer in layers
        if layer.name.startswith(("encoder 1 conv", "decoder 1"))
    )


def test_the_text_is_aligned_and_holds_the_total():
    lines = format_table(shape_table(UNetConfig.preset("ndnet_unetv3"), (398, 94, 94))).split("\n")
    assert len({len(line) for line in lines}) == 1
    assert " ".join(lines[2].split()) == "encoder 1 conv 1 396 x 92 x 92 32 896"
    assert lines[-1].split() == ["total", "2,407,969"]


def test_the_table_needs_no_torch():
    code = (
        "import sys; from napari_unet import UNetConfig\n"
        "from napari_unet.network.architecture import parameter_count\n"
        "parameter_count(UNetConfig()); assert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


UPS = st.sampled_from(["transposed", "nearest", "linear"])


@st.composite
def configs(draw: st.DrawFn) -> UNetConfig:
    """Draw small networks of every kind."""
    ndim = draw(st.sampled_from([2, 3]))
    depth = draw(st.integers(1, 2))
    per_axis = st.tuples(*[st.sampled_from([1, 2, 3])] * ndim)
    kernel = st.tuples(*[st.sampled_from([1, 3, 5])] * ndim)
    block = st.lists(st.integers(1, 6), min_size=1, max_size=3).map(tuple)
    levels = st.tuples(*[block] * depth)
    channels = draw(st.integers(1, 3))
    input_skip = draw(st.booleans())
    padding, up = draw(st.sampled_from(["valid", "same"])), draw(UPS)
    same, overlaps = padding == "same", up == "transposed" and draw(st.booleans())
    return UNetConfig(
        ndim=ndim,
        in_channels=channels,
        out_channels=channels if input_skip else draw(st.integers(1, 4)),
        encoder=draw(levels),
        bottom=tuple(2 * c for c in draw(block)),
        decoder=tuple(tuple(2 * c for c in b) for b in draw(levels)),
        poolings=draw(st.tuples(*[per_axis] * depth)),
        kernels=draw(st.tuples(*[kernel] * (depth + 1))),
        head_kernel=draw(kernel),
        stem=draw(st.tuples(*[st.sampled_from([1, 2])] * ndim)),
        padding=padding,
        down=draw(st.sampled_from(["max", "average", *["strided"] * same])),
        biases=draw(st.booleans()),
        up_kernel=(3, 5, 3)[:ndim] if same and overlaps else (),
        norm=draw(st.sampled_from(["batch", "none"])),
        up=up,
        up_channels=draw(st.sampled_from(["keep", "halve"])),
        residual=draw(st.booleans()),
        input_skip=input_skip,
        bottom_multiple=draw(st.sampled_from([1, 2])),
    )


def watch(network: UNet) -> list[tuple[tuple[int, ...], int]]:
    """Let every layer that the table lists note (spatial shape, channels) when it has run."""
    seen: list[tuple[tuple[int, ...], int]] = []

    def note(x: torch.Tensor) -> None:
        seen.append((tuple(x.shape[2:]), x.shape[1]))

    pools = (nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool2d, nn.AvgPool3d)
    layers = (nn.Conv2d, nn.Conv3d, *pools)
    ups = (nn.ConvTranspose2d, nn.ConvTranspose3d, Interpolate)
    shortcuts = [m.shortcut for m in network.modules() if isinstance(m, ConvBlock)]
    for module in network.modules():
        if isinstance(module, (*layers, *ups)) and module not in shortcuts:
            module.register_forward_hook(lambda _module, _inputs, out: note(out))
    for block in network.decoder:
        block.register_forward_pre_hook(lambda _module, inputs: note(inputs[0]))
    return seen


@given(configs(), st.data())
@settings(max_examples=40)
def test_the_table_says_what_torch_does(config, data):
    steps = data.draw(st.tuples(*[st.integers(0, 2)] * config.ndim))
    sizes = [g.smallest_input + n * g.stride for g, n in zip(config.geometry, steps, strict=True)]
    with torch.device("meta"):
        network = build_network(config).eval()
        seen = watch(network)
        out = network(torch.empty(1, config.in_channels, *sizes))
    layers = shape_table(config, sizes)
    silent = ("input", "space to depth", "depth to space", "input skip")
    listed = [
        layer
        for layer in layers
        if layer.name not in silent and not layer.name.endswith("residual")
    ]
    assert [(layer.shape, layer.channels) for layer in listed] == seen
    assert (layers[-1].shape, layers[-1].channels) == (tuple(out.shape[2:]), out.shape[1])
    assert parameter_count(config) == sum(p.numel() for p in network.parameters())

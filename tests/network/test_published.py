"""What is published about the architectures, literally."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_unet.network.architecture import parameter_count, shape_table
from napari_unet.network.blocks import Interpolate
from napari_unet.network.build import build_network
from napari_unet.network.registry import preset


def rows_of(name: str, shape: tuple[int, ...], **changes):
    return {row.name: row for row in shape_table(preset(name, **changes), shape)}


def test_sinogram2019():
    config = preset("sinogram2019")
    network = build_network(config)
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    into = [(c.in_channels, c.out_channels, c.stride[0]) for c in convolutions]
    down = [(5, 64, 1), *[(64, 64, 1)] * 2, (64, 128, 1), *[(128, 128, 1)] * 2]
    strided = [(64, 64, 2), (128, 128, 2)]
    bottom = [(128, 256, 1), *[(256, 256, 1)] * 7]
    up = [(256, 128, 1), *[(128, 128, 1)] * 2, (128, 64, 1), *[(64, 64, 1)] * 3, (64, 1, 1)]
    assert sorted(into) == sorted([*down, *strided, *bottom, *up])
    assert all(c.kernel_size == (3, 3) for c in convolutions)
    ups = [m for m in network.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert [u.kernel_size for u in ups] == [(4, 4)] * 2
    # Batch norm's shift is the only thing that is added anywhere.
    assert all(m.bias is None for m in [*convolutions, *ups])
    slopes = {m.negative_slope for m in network.modules() if isinstance(m, nn.LeakyReLU)}
    assert slopes == {0.2}
    with torch.no_grad():
        network.head.weight.zero_()
        # softplus with beta 5, at 0: log(2) / 5.
        x = network.eval()(torch.rand(1, 5, 16, 16))
    assert x.unique().tolist() == pytest.approx([0.6931471806 / 5])


def test_sinogram2019_with_three_halvings_takes_50_as_64():
    three = {
        "encoder": ((64,) * 3, (128,) * 3, (256,) * 3),
        "bottom": (256,) * 5,
        "decoder": ((256,) * 3, (128,) * 3, (64,) * 4),
    }
    (axis, _) = preset("sinogram2019", **three).passing
    assert axis.allowed_inputs(65) == [16, 32, 48, 64]
    assert axis.input_for(50) == 64
    assert (64 - 50) // 2 == 7


def test_enlarging_by_area_is_enlarging_by_the_nearest():
    """So the third choice of that system, "area", needs no option of its own."""
    x = torch.rand(1, 2, 5, 6)
    nearest = Interpolate((2, 2), linear=False, valid=False)(x)
    assert torch.equal(nn.functional.interpolate(x, scale_factor=2, mode="area"), nearest)


def test_semantic2d():
    config = preset("semantic2d")
    assert parameter_count(config) == 8_640_471
    assert sum(p.numel() for p in build_network(config).parameters()) == 8_640_471
    rows = rows_of("semantic2d", (96, 128))
    assert rows["bottom conv 2"].channels == 512
    assert [rows[f"decoder {i} up"].channels for i in (4, 3, 2, 1)] == [256, 128, 64, 32]
    assert rows["decoder 4 up"].parameters == 3 * 3 * 512 * 256 + 256
    assert rows["decoder 1 conv 3"].parameters == 3 * 3 * 32 * 32 + 32
    assert (rows["head"].channels, rows["head"].parameters) == (23, 32 * 23 + 23)


def test_semantic2d_drops_out_in_the_two_deepest_blocks():
    network = build_network(preset("semantic2d"))
    blocks = [*network.encoder, network.bottom, *network.decoder]
    rates = [b.dropout.p if isinstance(b.dropout, nn.Dropout) else 0 for b in blocks]
    assert rates == [0, 0, 0, 0.3, 0.3, 0, 0, 0, 0]


def test_fcdensenet103_channels_along_the_way():
    """Table 2 of Jégou et al. 2017; where it says 578, its own rule gives 160 + 304 + 112."""
    rows = rows_of("fcdensenet103", (96, 96))
    blocks = [(1, 4), (2, 5), (3, 7), (4, 10), (5, 12)]
    found = [
        rows["first conv"].channels,
        *(rows[f"encoder {i} layer {n}"].channels for i, n in blocks),
        rows["bottom layer 15"].channels,
        *(rows[f"decoder {i} layer {n}"].channels for i, n in reversed(blocks)),
    ]
    assert found == [48, 112, 192, 304, 464, 656, 896, 1088, 816, 576, 384, 256]
    assert 160 + 304 + 112 == 576
    assert [rows[f"decoder {i} up"].channels for i in (5, 4, 3, 2, 1)] == [240, 192, 160, 112, 80]


DENSE = {
    # Trainable numbers with 12 classes, and channels that the norms see, all together.
    "fcdensenet56": (1_376_988, 10_584),
    "fcdensenet67": (3_463_532, 19_840),
    "fcdensenet103": (9_322_348, 51_536),
}


@pytest.mark.parametrize("name", DENSE)
def test_fcdensenet_parameters(name):
    """3.5 M and 9.4 M are published, with the norms' means and deviations, which are not trained.

    For FC-DenseNet56 1.5 M are published; its layers as published have 1.4 M.
    """
    trained, seen = DENSE[name]
    config = preset(name, out_channels=12)
    assert parameter_count(config) == trained
    with torch.device("meta"):
        network = build_network(config)
    assert sum(p.numel() for p in network.parameters()) == trained
    norms = [m.num_features for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert sum(norms) == seen
    millions = round((trained + 2 * seen) / 1e6, 1)
    assert millions == {"fcdensenet56": 1.4, "fcdensenet67": 3.5, "fcdensenet103": 9.4}[name]


@pytest.mark.parametrize("name", DENSE)
def test_fcdensenets_have_the_layers_that_they_are_called_after(name):
    assert preset(name).title == f"FC-DenseNet of {name.removeprefix('fcdensenet')} layers, 2D"


VGG = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), *[(256, 256)] * 2,
       (256, 512), *[(512, 512)] * 5]  # fmt: skip


def test_fcn32s_parameters_from_the_list_of_layers():
    convolutions = sum(9 * a * b + b for a, b in VGG)
    wide = 7 * 7 * 512 * 4096 + 4096 + 4096 * 4096 + 4096
    score, head = 4096 * 21 + 21, 64 * 64 * 21 + 21
    total = convolutions + wide + score + head
    assert convolutions == 14_714_688
    assert parameter_count(preset("fcn32s")) == total == 134_432_618
    assert f"{total:.2e}" == "1.34e+08"


def test_finer_fcns_add_what_finer_layers_say():
    coarse = rows_of("fcn32s", (64, 96))
    assert [name for name in coarse if name.startswith(("up", "head"))] == ["head"]
    rows = rows_of("fcn8s", (64, 96))
    assert rows["pool 5"].shape == rows["score"].shape == (2, 3)
    assert rows["up 1 score"].shape == rows["pool 4"].shape == (4, 6)
    assert rows["up 1 score"].parameters == 512 * 21 + 21
    assert rows["up 2 score"].shape == rows["pool 3"].shape == (8, 12)
    assert rows["up 2 score"].parameters == 256 * 21 + 21
    # A kernel is twice its factor, one per class: the last factor is 8.
    assert rows["head"].parameters == 16 * 16 * 21 + 21
    middle = rows_of("fcn16s", (64, 96))
    assert middle["head"].parameters == 32 * 32 * 21 + 21


@pytest.mark.parametrize("name", ["fcn32s", "fcn16s", "fcn8s"])
def test_fcns_see_404_voxels_in_steps_of_32(name):
    shape = preset(name).axis_shape
    first, last = shape._bottom(0, 0)
    assert (last - first + 1, shape.stride) == (404, 32)

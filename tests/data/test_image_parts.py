"""What image tasks are made of: hidden pixels, held-out ones, turns, masks, several planes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.data.flips import IDENTITY, apply_flip, flips_and_rotations, undo_flip
from napari_unet.data.image import ImageView
from napari_unet.data.inputs import known_pixels, missing_view, only_known, read_inputs
from napari_unet.data.masking import MAX_HIDDEN, REACH, choose_hidden, draw_gaps, hide
from napari_unet.data.normalisation import Normalisation, fit_normalisation
from napari_unet.data.source import open_source
from napari_unet.data.split import held_out
from napari_unet.errors import InputError
from napari_unet.geometry.axes import find_layout
from napari_unet.geometry.region import Region


def view(array, ndim=2, **more):
    source = open_source(array)
    channel = more.pop("channel", None)
    return ImageView(source, find_layout(source.shape, ndim, channel_axis=channel), **more)


@settings(deadline=None, max_examples=30)
@given(st.integers(-20, 20), st.integers(-20, 20), st.integers(0, 9), st.integers(1, 5))
def test_whether_a_voxel_is_held_out_does_not_depend_on_the_region(y, x, seed, cell):
    whole = held_out((3,), Region((-30, -30), (30, 30)), 0.3, seed, cell)
    part = held_out((3,), Region((y, x), (y + 7, x + 4)), 0.3, seed, cell)
    assert np.array_equal(part, whole[y + 30 : y + 37, x + 30 : x + 34])


def test_as_many_are_held_out_as_asked_for_and_others_elsewhere():
    region = Region((0, 0, 0), (20, 64, 64))
    one = held_out((0,), region, 0.05, 0)
    assert one.mean() == pytest.approx(0.05, abs=0.004)
    assert one.mean(axis=(0, 1)).max() < 0.1  # no line is left out as a whole
    for other in (held_out((1,), region, 0.05, 0), held_out((0,), region, 0.05, 1)):
        assert (one & other).mean() == pytest.approx(0.05**2, abs=0.002)
    assert not held_out((), region, 0.0, 0).any()
    cells = held_out((0,), region, 0.3, 0, 4).reshape(5, 4, 16, 4, 16, 4)
    assert (cells.all(axis=(1, 3, 5)) | ~cells.any(axis=(1, 3, 5))).all()


@pytest.mark.parametrize("replacement", ["neighbour", "median"])
@pytest.mark.parametrize("shape", [(24, 24), (5, 20, 20)])
def test_hidden_pixels_are_told_by_their_surroundings_alone(replacement, shape):
    random = np.random.default_rng(0)
    pixels = random.normal(size=(2, *shape)).astype(np.float32)
    hidden = random.random(shape) < 0.1
    out = hide(pixels, hidden, np.random.default_rng(1), replacement)
    assert np.array_equal(out[:, ~hidden], pixels[:, ~hidden])
    # Of the hidden pixel itself nothing is left; a neighbour may have been hidden too.
    lonely = np.zeros(shape, bool)
    lonely[(shape[0] // 2, *[n // 2 for n in shape[1:]])] = True
    first, second = (
        hide(p, lonely, np.random.default_rng(2), replacement)
        for p in (pixels, np.where(lonely, pixels + 100, pixels))
    )
    assert np.array_equal(first, second)


def test_a_replacement_comes_from_near_by():
    ramp = np.broadcast_to(np.arange(40.0, dtype=np.float32), (1, 40, 40))
    hidden = np.random.default_rng(0).random((40, 40)) < 0.2
    out = hide(ramp, hidden, np.random.default_rng(1))
    assert np.abs(out - ramp).max() <= REACH
    assert (out != ramp)[0][hidden].mean() > 0.5


@pytest.mark.parametrize("axis", [0, 1])
def test_a_line_is_told_by_other_lines_alone(axis):
    hidden = np.zeros((21, 21), bool)
    hidden[10, 10] = True
    lines = np.zeros((1, 21, 21), np.float32)
    lines[(0, 10) if axis == 1 else (0, slice(None), 10)] = 7  # what all pixels of the line share
    out = hide(lines, hidden, np.random.default_rng(0), line=axis)[0]
    assert out[10, 10] == 0
    assert (out == 7).sum() == 20
    whole = choose_hidden((30, 40), 0.3, np.random.default_rng(0), axis)
    assert (whole == (whole[:, :1] if axis == 1 else whole[:1])).all()
    assert 0.1 < whole.mean() < 0.5


def test_turns_are_undone():
    x = torch.arange(2 * 3 * 4 * 4.0).reshape(2, 3, 4, 4)
    ways = flips_and_rotations()
    assert ways[0] == IDENTITY
    assert len({tuple(apply_flip(x, way).flatten().tolist()) for way in ways}) == 8
    assert all(torch.equal(undo_flip(apply_flip(x, way), way), x) for way in ways)
    assert apply_flip(x, IDENTITY) is x
    assert flips_and_rotations(square=False, mirrored=(False, True)) == (
        IDENTITY,
        (False, False, True),
    )


def test_neighbouring_planes_are_read_as_channels_and_mirrored_at_the_ends():
    stack = np.arange(5)[:, None, None] * np.ones((5, 8, 8))
    seen = view(stack, context_planes=3)
    region = Region((0, 0), (2, 2))
    assert seen.channels == 3
    assert [seen.read((k,), region)[:, 0, 0].tolist() for k in (0, 2, 4)] == [
        [1, 0, 1],
        [1, 2, 3],
        [3, 4, 3],
    ]
    assert seen.read((2,), region)[seen.centre_channels][0, 0, 0] == 2
    two = view(np.stack([stack, stack + 10], 1), context_planes=3, channel=1)
    assert two.read((2,), region)[:, 0, 0].tolist() == [1, 11, 2, 12, 3, 13]
    assert two.read((2,), region)[two.centre_channels][:, 0, 0].tolist() == [2, 12]


def test_planes_that_cannot_be_are_refused():
    with pytest.raises(InputError, match="odd"):
        view(np.zeros((5, 8, 8)), context_planes=2)
    with pytest.raises(InputError, match="single image"):
        view(np.zeros((8, 8)), context_planes=3)
    with pytest.raises(InputError, match="wrap"):
        view(np.zeros((8, 8)), periodic_axes=(True,))


def test_an_axis_that_goes_round_continues_with_its_beginning():
    image = np.arange(6.0)[:, None] * np.ones((6, 4))
    seen = view(image, periodic_axes=(True, False)).read((), Region((-2, -1), (9, 2)))[0]
    assert seen[:, 0].tolist() == [4, 5, 0, 1, 2, 3, 4, 5, 0, 1, 2]
    assert (seen == seen[:, :1]).all()


def test_what_is_missing_is_zero_and_said_to_be():
    image = np.arange(64.0).reshape(8, 8)
    image[0, 0] = np.nan
    mask = np.zeros((8, 8), np.uint8)
    mask[2, 3] = 4
    shown = view(image)
    missing = missing_view(shown, open_source(mask))
    norm = Normalisation("mean_sd", (10.0,), (2.0,))
    whole = Region((0, 0), (8, 8))
    pixels, known = read_inputs(shown, norm, (), whole, missing)
    assert np.argwhere(known == 0).tolist() == [[0, 0], [2, 3]]
    assert (pixels[known == 0] == 0).all()
    assert np.allclose(pixels[known == 1] * 2 + 10, image[known == 1])
    nothing = missing_view(shown, None)
    assert (~known_pixels(image[None], nothing, (), whole)).sum() == 1
    with pytest.raises(InputError, match="differ in shape"):
        missing_view(shown, open_source(mask[:4]))


def test_a_missing_pixel_counts_in_no_statistics():
    random = np.random.default_rng(0)
    image = random.normal(5, 2, size=(2, 3, 32, 32))
    mask = random.random((3, 32, 32)) < 0.2
    spoilt = np.where(mask, 1e6, image)
    shown = view(spoilt, channel=0)
    norm, finite = fit_normalisation(only_known(shown, missing_view(shown, open_source(mask * 1))))
    assert finite == pytest.approx(1 - mask.mean())
    assert norm.offset == pytest.approx((5, 5), abs=0.2)
    assert norm.scale == pytest.approx((2, 2), abs=0.2)


def test_holes_are_like_those_that_are_there():
    mask = np.zeros((4, 64, 64), np.uint8)
    mask[:, :, 20:23] = 1  # a dead detector block
    shown = view(np.zeros((4, 64, 64)))
    found = [
        draw_gaps(missing_view(shown, open_source(mask)), (16, 16), np.random.default_rng(k))
        for k in range(20)
    ]
    for holes in found:
        assert 0 < holes.mean() <= MAX_HIDDEN
        columns = holes[0].all(axis=0)
        assert np.array_equal(holes[0], np.broadcast_to(columns, (16, 16)))
    none = draw_gaps(missing_view(shown, None), (16, 16), np.random.default_rng(0))
    assert none.shape == (1, 16, 16)
    assert none.any()


def test_noise_that_grows_is_stabilised_and_the_mean_comes_back():
    random = np.random.default_rng(0)
    signal = np.linspace(20, 200, 256)[:, None] * np.ones((256, 256))
    noisy = random.poisson(signal / 2) * 2.0 + random.normal(0, 1.5, signal.shape)
    norm, _ = fit_normalisation(view(noisy), "photon", noise=((2.0, 1.5**2),))
    flat = norm.apply(noisy[None])[0]
    spread = [flat[rows].std(axis=1).mean() * norm.scale[0] for rows in (slice(9), slice(-9, None))]
    assert spread == pytest.approx([1, 1], abs=0.08)
    means = norm.undo(flat.mean(axis=1)[None, :, None])[0, :, 0]
    assert means == pytest.approx(signal[:, 0], rel=0.06)
    assert Normalisation.from_dict(norm.to_dict()) == norm
    assert norm.repeat(2).noise == norm.noise * 2
    plain = Normalisation("mean_sd", (3.0,), (2.0,))
    assert plain.undo(plain.apply(noisy[None])) == pytest.approx(noisy[None], rel=1e-5, abs=1e-4)


@pytest.mark.parametrize(
    ("border", "mode"),
    [("mirror", "reflect"), ("edge", "edge"), ("zero", "constant"), ("wrap", "wrap")],
)
@pytest.mark.parametrize("shape", [(9, 7), (2, 9, 7)])
def test_a_picture_goes_on_as_numpy_pads_it(border, mode, shape):
    image = np.random.default_rng(0).integers(1, 99, shape).astype(np.uint8)
    wide = np.pad(image, [(0, 0)] * (len(shape) - 2) + [(4, 5), (3, 6)], mode=mode)
    seen = view(image, border=border)
    for loop in seen.loops():
        found = seen.read_raw(loop, Region((-4, -3), (14, 13)))
        assert found.dtype == image.dtype
        np.testing.assert_array_equal(found[0], wide[loop])
    np.testing.assert_array_equal(image, np.random.default_rng(0).integers(1, 99, shape))


def test_an_axis_that_goes_round_does_so_whatever_the_border():
    image = np.arange(1, 7).reshape(2, 3)
    seen = view(image, periodic_axes=(False, True), border="zero").read(
        (), Region((-1, -1), (3, 4))
    )[0]
    expected = [[0] * 5, [3, 1, 2, 3, 1], [6, 4, 5, 6, 4], [0] * 5]
    np.testing.assert_array_equal(seen, expected)

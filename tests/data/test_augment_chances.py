"""Each change is made as often as is asked, and what is new leaves what was there as it was."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from napari_unet.data.augment import Augmenter, adjust_gamma
from napari_unet.data.augment_options import CHANGES, AugmentOptions

OFF = AugmentOptions.off().model_dump()

#: In these all pixels are alike however they are moved, or all labels alike: so they are compared.
GEOMETRIC = ("flip", "rotate_degrees", "scale", "jitter", "elastic")


def _only(**options: Any) -> AugmentOptions:
    return AugmentOptions(**{**OFF, **options})


def _tried(name: str) -> float:
    extra: Any = AugmentOptions.model_fields[name].json_schema_extra
    return float(extra["try"])


def _batch(read: tuple[int, ...], batch: int = 2) -> tuple[Tensor, Tensor]:
    count = batch * int(torch.tensor(read).prod())
    image = (torch.arange(count) * 37 % 101).float().view(batch, 1, *read) / 50 - 1
    return image, (torch.arange(count) * 13 % 5).view(batch, *read) - 1


BEFORE = [
    (
        {},
        (1.0, 1.0),
        (16, 20),
        [-0.03591, 0.44553, -0.09931, -0.10081, 0.16617, 0.20539],
        [-1, 0, 2, 0, 2, 2, -1, -1, 3, 2, -1, 3],
        461,
    ),
    (
        {},
        (3.0, 1.0, 1.0),
        (6, 12, 12),
        [0.60679, 0.25928, -0.47732, 0.23726, 0.52143, -0.34789],
        [-1, -1, -1, -1, -1, -1, 1, 3, 0, 2, -1, 1],
        1439,
    ),
    (
        {"elastic": 2, "noise": 0.1, "blur": 0.7},
        (1.0, 1.0, 1.0),
        (8, 10, 12),
        [0.70683, 0.56146, 0.21102, 0.15226, 0.06643, 0.16007],
        [-1, -1, 3, -1, 3, 3, 2, 1, -1, -1, -1, 3],
        1762,
    ),
]
"""What seed 7 made of a batch, its second step, when there were neither chances nor shifts."""


@pytest.mark.parametrize(("options", "spacing", "shape", "pixels", "labels", "total"), BEFORE)
def test_a_seed_gives_what_it_gave_before_there_were_chances(
    options: dict[str, float],
    spacing: tuple[float, ...],
    shape: tuple[int, ...],
    pixels: list[float],
    labels: list[int],
    total: int,
) -> None:
    augmenter = Augmenter(AugmentOptions(**options), len(shape), spacing, 7)
    image, painted = _batch(augmenter.read_shape(shape))
    for _ in range(2):
        changed, found = augmenter(image, painted, shape, shape)
    # Other processors round elsewhere, but draw the same numbers.
    seen = changed.flatten()[:: changed.numel() // 6][:6]
    torch.testing.assert_close(seen, torch.tensor(pixels), atol=2e-4, rtol=0)
    assert found.flatten()[:: found.numel() // 12][:12].tolist() == labels
    assert found.sum().item() == pytest.approx(total, abs=4)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), names=st.sets(st.sampled_from(CHANGES), min_size=1))
def test_what_is_never_made_is_not_there_at_all(seed: int, names: set[str]) -> None:
    """With a chance of 0, it is bit for bit as if the change were off, whatever else is on."""
    all_on = {name: _tried(name) for name in CHANGES}
    image, labels = _batch((22, 26))

    def run(options: AugmentOptions) -> tuple[Tensor, Tensor]:
        augmenter = Augmenter(options, 2, (1.0, 1.5), seed)
        return augmenter(image, labels, (18, 20), (10, 12))

    never = run(AugmentOptions(**all_on, chance=dict.fromkeys(names, 0.0)))
    off = run(AugmentOptions(**{**all_on, **dict.fromkeys(names, 0)}))
    assert all(torch.equal(a, b) for a, b in zip(never, off, strict=True))


def test_nothing_ever_made_is_an_exact_cut() -> None:
    image, labels = _batch((12, 14, 16))
    never = AugmentOptions(chance=dict.fromkeys(CHANGES, 0.0))
    augmenter = Augmenter(never, 3, (1.0, 1.0, 1.0))
    assert augmenter.margin((8, 8, 8)) == (0, 0, 0)
    changed, found = augmenter(image, labels, (12, 14, 16), (12, 14, 16))
    assert torch.equal(changed, image)
    assert torch.equal(found, labels)


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_made_as_often_as_asked(name: str) -> None:
    image, labels = _batch((24, 24), 1)
    image, labels = image.repeat(1000, 1, 1, 1), labels.repeat(1000, 1, 1)
    options = _only(**{name: _tried(name)}, chance={name: 0.25})
    changed, found = Augmenter(options, 2, (1.0, 1.0), 3)(image, labels, (24, 24), (24, 24))
    moved = (changed - image).abs().flatten(1).amax(1)
    # The resampling of what stays in place rounds; a change of pixels alone leaves every bit.
    untouched = moved < 1e-3 if name in GEOMETRIC else moved == 0
    share = 0.25 * (0.75 if name == "flip" else 1)  # of mirrored ones a quarter is not, by chance
    assert 1 - untouched.float().mean().item() == pytest.approx(share, abs=0.06)
    assert torch.equal(found[untouched], labels[untouched])


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (4.0, 1.0, 1.0)])
def test_shifts_are_of_the_asked_length_and_take_the_labels_along(
    spacing: tuple[float, ...],
) -> None:
    ndim, shape = len(spacing), (8, 20, 24)[-len(spacing) :]
    augmenter = Augmenter(_only(jitter=2.0), ndim, spacing)
    read = augmenter.read_shape(shape)
    axes = [torch.arange(n) - (n - 1) / 2 for n in read]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"))[None].repeat(200, 1, *[1] * ndim)
    labels = (places * torch.tensor(spacing).view(-1, *[1] * ndim)).sum(1).round().long() + 100
    moved, found = augmenter(places, labels, shape, shape)
    start = [(r - n) // 2 for r, n in zip(read, shape, strict=True)]
    plain = places[(..., *(slice(a, a + n) for a, n in zip(start, shape, strict=True)))]
    shift = (moved - plain).flatten(2)
    for axis, size in enumerate(spacing):
        along = shift[:, axis]
        # The same for a whole picture, in voxels of the finest axis, and to either side.
        assert (along.amax(1) - along.amin(1)).max() < 1e-3
        assert -2 / size - 1e-3 <= along.min() < -1.8 / size
        assert 1.8 / size < along.max() <= 2 / size + 1e-3
    assert (found >= 0).all()
    where = (moved * torch.tensor(spacing).view(-1, *[1] * ndim)).sum(1) + 100
    assert (found - where).abs().max() <= 0.5 * (1 + sum(spacing)) + 1e-3


def test_gamma_bends_the_own_range_of_each_picture() -> None:
    image = torch.linspace(-2, 3, 200).view(2, 1, 10, 10)
    for exponent in (0.5, 1.0, 2.0):
        bent = adjust_gamma(image, torch.full((2,), exponent))
        for before, after in zip(image.flatten(1), bent.flatten(1), strict=True):
            low, high = before[0], before[-1]
            expected = low + (high - low) * ((before - low) / (high - low)) ** exponent
            torch.testing.assert_close(after, expected)
            assert (torch.diff(after) > 0).all()
            torch.testing.assert_close(after[[0, -1]], before[[0, -1]])
    darker = adjust_gamma(image, torch.tensor([2.0, 0.5]))
    assert (darker[0, 0, 4, 4], -darker[1, 0, 4, 4]) < (image[0, 0, 4, 4], -image[1, 0, 4, 4])


def test_gamma_takes_all_channels_together_and_leaves_flat_pictures_alone() -> None:
    image = torch.stack([torch.zeros(4, 4), torch.ones(4, 4), torch.full((4, 4), 0.5)])[None]
    bent = adjust_gamma(image, torch.tensor([2.0]))
    torch.testing.assert_close(bent[0, :, 0, 0], torch.tensor([0.0, 1.0, 0.25]))
    flat = torch.full((2, 1, 4, 4), -7.0)
    assert torch.equal(adjust_gamma(flat, torch.tensor([0.5, 2.0])), flat)


def test_gamma_is_as_strong_as_asked() -> None:
    ramp = torch.linspace(0, 1, 101).view(1, 1, 1, 101).repeat(400, 1, 2, 1)
    labels = torch.zeros(400, 2, 101, dtype=torch.int64)
    out, same = Augmenter(_only(gamma=0.5), 2, (1.0, 1.0))(ramp, labels, (2, 101), (2, 101))
    exponent = torch.log(out[:, 0, 0, 50]) / torch.log(torch.tensor(0.5))
    assert 1 / 1.5 - 1e-3 <= exponent.min() < 0.69
    assert 1.45 < exponent.max() <= 1.5 + 1e-3
    assert torch.equal(same, labels)


def _changed_channels(options: AugmentOptions, channels: int, batch: int = 600) -> Tensor:
    """Return contrast and brightness that each channel got, shape (batch, channels, 2)."""
    ramp = torch.linspace(-1, 1, 16).view(1, 1, 4, 4).repeat(batch, channels, 1, 1)
    labels = torch.zeros(batch, 4, 4, dtype=torch.int64)
    out, same = Augmenter(options, 2, (1.0, 1.0), 5)(ramp, labels, (4, 4), (4, 4))
    assert torch.equal(same, labels)
    flat = out.flatten(2)
    return torch.stack([(flat[..., -1] - flat[..., 0]) / 2, flat.mean(2)], dim=-1)


@pytest.mark.parametrize("share", [0.3, 1.0])
@pytest.mark.parametrize("at", [0, 1], ids=["contrast", "brightness"])
def test_contrast_and_brightness_differ_between_channels_as_often_as_asked(
    share: float, at: int
) -> None:
    options = _only(intensity=0.5, brightness=0.4, per_channel=share)
    found = _changed_channels(options, 3)[..., at]
    differ = (found - found[:, :1]).abs().amax(1) > 1e-4
    assert differ.float().mean().item() == pytest.approx(share, abs=0.06)
    low, high = ((1 / 1.5, 1.5), (-0.4, 0.4))[at]
    # Each channel is changed as strongly as a whole patch would be, and on its own.
    for channel in found.T:
        assert low - 1e-3 <= channel.min() < low + 0.05
        assert high - 0.05 < channel.max() <= high + 1e-3
    apart = torch.corrcoef(found[differ].T)
    assert (apart - torch.eye(3)).abs().max() < 0.25


def test_channels_change_together_in_contrast_and_brightness_or_not_at_all() -> None:
    found = _changed_channels(_only(intensity=0.5, brightness=0.4, per_channel=0.5), 2)
    contrast, brightness = ((found[:, 0] - found[:, 1]).abs() > 1e-3).T
    assert (contrast == brightness).float().mean() > 0.97
    rarely = _only(intensity=0.5, per_channel=1.0, chance={"intensity": 0.25})
    changed = (_changed_channels(rarely, 2)[..., 0] - 1).abs() > 1e-4
    assert torch.equal(changed[:, 0], changed[:, 1])
    assert changed[:, 0].float().mean().item() == pytest.approx(0.25, abs=0.06)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_seed_gives_the_same_bits_where_channels_change_together(channels: int) -> None:
    image, labels = _batch((20, 20), 4)
    image = image.repeat(1, channels, 1, 1)

    def run(options: AugmentOptions) -> Tensor:
        return Augmenter(options, 2, (1.0, 1.0), 7)(image, labels, (16, 16), (8, 8))[0]

    usual = {"noise": 0.2, "gamma": 0.3, "blur": 0.5}
    before = run(AugmentOptions(**usual))
    assert torch.equal(run(AugmentOptions(**usual, per_channel=0.5)), before) == (channels == 1)
    unused = {**usual, "intensity": 0, "brightness": 0}
    assert torch.equal(run(AugmentOptions(**unused, per_channel=1)), run(AugmentOptions(**unused)))

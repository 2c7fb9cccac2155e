"""Augmentation is right in its geometry, told by pictures of their own coordinates."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import max_pool2d

from napari_unet.data.augment import Augmenter, AugmentOptions
from napari_unet.errors import InputError

OFF = AugmentOptions.off().model_dump()

EVERYTHING = AugmentOptions(
    jitter=3, elastic=2, gamma=0.3, noise=0.1, blur=0.7, chance={"noise": 0.5, "flip": 0.9}
)


def _only(**options: Any) -> AugmentOptions:
    return AugmentOptions(**{**OFF, **options})


def _places(read: tuple[int, ...], spacing: tuple[float, ...], batch: int) -> Tensor:
    """Return a picture whose channels are the physical coordinates, 0 at the centre."""
    axes = [(torch.arange(n) - (n - 1) / 2) * s for n, s in zip(read, spacing, strict=True)]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))[None].repeat(
        batch, 1, *[1] * len(read)
    )


def _moved(
    options: AugmentOptions,
    shape: tuple[int, ...],
    spacing: tuple[float, ...],
    batch: int = 6,
    seed: int = 0,
) -> tuple[Tensor, Tensor]:
    """Return where each voxel of the output came from, physical, and its label (0 inside)."""
    augmenter = Augmenter(options, len(shape), spacing, seed)
    read = augmenter.read_shape(shape)
    labels = torch.zeros(batch, *read, dtype=torch.int64)
    return augmenter(_places(read, spacing, batch), labels, shape, shape)


def _steps(places: Tensor) -> Tensor:
    """Return how far one voxel along each output axis moves in space, (batch, out axis, axis)."""
    ndim = places.shape[1]
    middle = places[(..., *(slice(n // 2 - 1, n // 2 + 1) for n in places.shape[2:]))]
    return torch.stack(
        [torch.diff(middle, dim=2 + a).flatten(2)[:, :, 0] for a in range(ndim)], dim=1
    )


@given(
    read=st.lists(st.integers(1, 12), min_size=2, max_size=3),
    channels=st.integers(1, 2),
    data=st.data(),
)
def test_all_off_is_an_exact_cut(read: list[int], channels: int, data: st.DataObject) -> None:
    shape = tuple(data.draw(st.integers(1, n)) for n in read)
    out = tuple(data.draw(st.integers(1, n)) for n in shape)
    image = torch.randn(2, channels, *read)
    labels = torch.randint(-1, 5, (2, *read))
    augmenter = Augmenter(AugmentOptions.off(), len(read), (1.0,) * len(read))
    assert augmenter.margin(shape) == (0,) * len(read)
    cut_image, cut_labels = augmenter(image, labels, shape, out)

    def centre(x: Tensor, size: tuple[int, ...]) -> Tensor:
        first = [(n - m) // 2 for n, m in zip(x.shape[-len(size) :], size, strict=True)]
        return x[(..., *(slice(a, a + m) for a, m in zip(first, size, strict=True)))]

    assert torch.equal(cut_image, centre(image, shape))
    assert torch.equal(cut_labels, centre(centre(labels, shape), out))


@pytest.mark.parametrize(
    ("read", "shape"), [((11, 14), (11, 14)), ((15, 12), (10, 9)), ((6, 7, 9), (5, 6, 8))]
)
def test_flips_are_flips(read: tuple[int, ...], shape: tuple[int, ...]) -> None:
    ndim = len(read)
    image, labels = torch.randn(40, 1, *read), torch.randint(-1, 5, (40, *read))
    plain, plain_labels = Augmenter(_only(), ndim, (1.0,) * ndim)(image, labels, shape, shape)
    augmenter = Augmenter(_only(flip=True), ndim, (1.0,) * ndim)
    flipped, flipped_labels = augmenter(image, labels, shape, shape)
    seen = set()
    for k in range(40):
        fits = [
            axes
            for bits in range(2**ndim)
            if torch.allclose(
                flipped[k],
                plain[k].flip(axes := [a - ndim for a in range(ndim) if bits >> a & 1]),
                atol=1e-4,
            )
            and torch.equal(flipped_labels[k], plain_labels[k].flip(axes))
        ]
        assert len(fits) == 1
        seen.add(tuple(fits[0]))
    assert len(seen) == 2**ndim


@pytest.mark.parametrize(
    "spacing", [(1.0, 1.0), (0.5, 2.0), (5.0, 1.0, 1.0), (1.0, 1.0, 1.2), (0.3, 0.2, 0.4)]
)
def test_rotations_keep_physical_lengths_and_angles(spacing: tuple[float, ...]) -> None:
    shape = (24, 32, 32)[-len(spacing) :]
    places, _ = _moved(_only(rotate_degrees=180), shape, spacing, batch=12)
    steps = _steps(places)
    expected = torch.diag(torch.tensor(spacing) ** 2)
    torch.testing.assert_close(steps @ steps.mT, expected.expand_as(steps), atol=1e-3, rtol=1e-3)
    assert (torch.linalg.det(steps) > 0).all()
    turned = [not torch.allclose(s, torch.diag(torch.tensor(spacing)), atol=1e-2) for s in steps]
    assert sum(turned) > 8


def test_coarse_z_is_not_turned_out_of_the_plane() -> None:
    places, _ = _moved(_only(rotate_degrees=180), (8, 24, 24), (5.0, 1.0, 1.0))
    expected = _places((8, 24, 24), (5.0, 1.0, 1.0), 6)
    torch.testing.assert_close(places[:, 0], expected[:, 0], atol=1e-4, rtol=0)
    places, _ = _moved(_only(rotate_degrees=180), (24, 24, 24), (1.0, 1.0, 1.0))
    assert (_steps(places)[:, 0, 0].abs() < 0.9).any()


def test_the_full_circle_and_no_more_than_asked() -> None:
    for largest in (180.0, 30.0):
        steps = _steps(_moved(_only(rotate_degrees=largest), (24, 24), (1.0, 1.0), batch=200)[0])
        angle = torch.rad2deg(torch.atan2(steps[:, 0, 1], steps[:, 0, 0]))
        assert angle.abs().max() <= largest + 0.1
        assert angle.max() > 0.9 * largest
        assert angle.min() < -0.9 * largest


def test_scaling() -> None:
    places, _ = _moved(_only(scale=0.25), (24, 32), (2.0, 1.0), batch=200)
    zoom = _steps(places).diagonal(dim1=1, dim2=2) / torch.tensor([2.0, 1.0])
    torch.testing.assert_close(zoom[:, 0], zoom[:, 1], atol=1e-3, rtol=0)
    assert 0.8 - 1e-3 <= zoom.min() < 0.83
    assert 1.2 < zoom.max() <= 1.25 + 1e-3


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (3.0, 1.0, 1.0)])
def test_elastic_is_smooth_and_bounded(spacing: tuple[float, ...]) -> None:
    shape = (20, 64, 96)[-len(spacing) :]
    places, labels = _moved(_only(elastic=3.0), shape, spacing)
    shift = places - _places(shape, spacing, 6)
    assert 1 < shift.abs().max() <= 3.001
    # Never folded: going on along an axis of the output goes on in space.
    for axis, size in enumerate(spacing):
        assert (torch.diff(places[:, axis], dim=1 + axis) > 0.3 * size).all()
    assert (labels == 0).float().mean() > 0.99


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (1.0, 2.0), (4.0, 1.0, 1.0), (1.0, 1.0, 1.0)])
def test_the_margin_is_enough(spacing: tuple[float, ...]) -> None:
    options = _only(rotate_degrees=5, scale=0.02, flip=True, elastic=0.25, jitter=0.5)
    shape = (28, 44, 28)[-len(spacing) :]
    for seed in range(3):
        _, labels = _moved(options, shape, spacing, batch=10, seed=seed)
        assert (labels == 0).all()
    margin = Augmenter(options, len(spacing), spacing).margin(shape)
    assert all(0 < m <= 0.25 * n and m % 2 == 0 for m, n in zip(margin, shape, strict=True))
    assert Augmenter(EVERYTHING, 2, (1.0, 1.0)).margin((100, 101)) == (24, 24)


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), read=st.integers(60, 90), less=st.integers(0, 9))
def test_labels_stay_with_the_picture(seed: int, read: int, less: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    # Blobs of four classes, a few voxels wide and more.
    coarse = torch.randint(0, 4, (2, 1, read // 8 + 1, read // 8 + 1), generator=generator)
    image = coarse.float().repeat_interleave(8, 2).repeat_interleave(8, 3)[:, :, :read, :read]
    often = {"flip": 0.7, "rotate_degrees": 0.6, "scale": 0.5, "elastic": 0.5, "jitter": 0.5}
    options = _only(flip=True, rotate_degrees=180, scale=0.3, elastic=3.0, jitter=4.0, chance=often)
    shape, out = (read - 2 * less, read), (40, 41)
    moved, labels = Augmenter(options, 2, (1.0, 1.3), seed)(image, image[:, 0].long(), shape, out)
    first = [(n - m) // 2 for n, m in zip(shape, out, strict=True)]
    moved = moved[:, :, first[0] : first[0] + out[0], first[1] : first[1] + out[1]]
    low, high = -max_pool2d(-moved, 3, 1, 1), max_pool2d(moved, 3, 1, 1)
    # Where the picture is one class within a voxel, the label must be that class.
    sure = ((high - low) < 1e-3)[:, 0] & (labels >= 0)
    assert sure.float().mean() > 0.3
    assert torch.equal(labels[sure], moved[:, 0][sure].round().long())


def test_what_comes_from_outside_has_no_label_but_a_mirrored_picture() -> None:
    places = _places((40, 40), (1.0, 1.0), 20)
    labels = torch.zeros(20, 40, 40, dtype=torch.int64)
    options = _only(rotate_degrees=180)
    moved, found = Augmenter(options, 2, (1.0, 1.0))(places, labels, (40, 40), (40, 40))
    assert set(found.unique().tolist()) == {-1, 0}
    assert (found[:, 18:22, 18:22] == 0).all()
    assert moved.abs().max() <= 19.5


def test_contrast_brightness_and_noise() -> None:
    image, labels = torch.randn(300, 1, 16, 16), torch.zeros(300, 16, 16, dtype=torch.int64)

    def changed(**options: float) -> Tensor:
        augmenter = Augmenter(_only(**options), 2, (1.0, 1.0))
        out, same = augmenter(image, labels, (16, 16), (16, 16))
        assert torch.equal(same, labels)
        return out

    ratio = (changed(intensity=0.25) / image).flatten(1)
    torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio))
    assert ratio.min() == pytest.approx(0.8, abs=0.02)
    assert ratio.max() == pytest.approx(1.25, abs=0.02)
    shift = (changed(brightness=0.5) - image).flatten(1)
    torch.testing.assert_close(shift, shift[:, :1].expand_as(shift), atol=1e-5, rtol=0)
    assert shift.abs().max() == pytest.approx(0.5, abs=0.02)
    noise = (changed(noise=0.5) - image).flatten(1)
    assert noise.mean() == pytest.approx(0, abs=0.01)
    assert 0.4 < noise.std(dim=1).max() < 0.6
    assert noise.std(dim=1).min() < 0.05


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (1.0, 1.0, 1.0), (4.0, 1.0, 1.0)])
def test_blur_is_a_gaussian_of_the_asked_width(spacing: tuple[float, ...]) -> None:
    ndim = len(spacing)
    shape = (17,) * ndim
    image = torch.zeros(60, 1, *shape)
    image[(..., *(8,) * ndim)] = 1
    out, _ = Augmenter(_only(blur=1.5), ndim, spacing)(image, image[:, 0].long(), shape, shape)
    torch.testing.assert_close(out.flatten(1).sum(1), torch.ones(60))
    for axis, size in enumerate(spacing):
        others = [a for a in range(1, ndim + 2) if a != axis + 2]
        profile = out.sum(dim=others)
        torch.testing.assert_close(profile, profile.flip(1))
        sd = (profile * (torch.arange(17) - 8.0) ** 2).sum(1).sqrt()
        assert 0.55 * 1.5 / size < sd.max() <= 1.5 / size
    flat = torch.full((3, 2, *shape), 7.0)
    kept, _ = Augmenter(_only(blur=1.5), ndim, spacing)(flat, flat[:, 0].long(), shape, shape)
    torch.testing.assert_close(kept, flat)


def test_the_seed_and_the_step_decide() -> None:
    image, labels = torch.randn(4, 1, 40, 40), torch.randint(-1, 3, (4, 40, 40))

    def run(augmenter: Augmenter) -> Tensor:
        return augmenter(image, labels, (32, 32), (20, 20))[0]

    one, other = (Augmenter(EVERYTHING, 2, (1.0, 1.0), 7) for _ in range(2))
    batches = [run(one) for _ in range(3)]
    assert all(torch.equal(a, run(other)) for a in batches)
    assert not torch.equal(batches[0], batches[1])
    resumed = Augmenter(EVERYTHING, 2, (1.0, 1.0), 7)
    resumed.step = 2
    assert torch.equal(run(resumed), batches[2])
    assert not torch.equal(run(Augmenter(EVERYTHING, 2, (1.0, 1.0), 8)), batches[0])
    # Pictures of one batch are not changed alike.
    same = image[:1].repeat(4, 1, 1, 1)
    out = one(same, labels, (32, 32), (20, 20))[0]
    assert not torch.allclose(out[0], out[1])


def test_inputs_are_left_alone() -> None:
    image, labels = torch.randn(2, 1, 20, 20), torch.randint(-1, 3, (2, 20, 20))
    before = image.clone(), labels.clone()
    Augmenter(EVERYTHING, 2, (1.0, 1.0))(image, labels, (20, 20), (20, 20))
    assert torch.equal(image, before[0])
    assert torch.equal(labels, before[1])


def test_voxel_sizes_are_checked() -> None:
    with pytest.raises(InputError, match="voxel sizes"):
        Augmenter(EVERYTHING, 2, (1.0, 0.0))
    with pytest.raises(InputError, match="voxel sizes"):
        Augmenter(EVERYTHING, 3, (1.0, 1.0))


def test_only_augment_imports_torch() -> None:
    code = (
        "import sys, napari_unet.data.sampling, napari_unet.data.augment_options;"
        "sys.exit(bool({'torch', 'dask', 'zarr', 'tifffile'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

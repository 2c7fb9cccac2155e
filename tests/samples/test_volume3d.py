from __future__ import annotations

import numpy as np
import pytest
from skimage.filters import gaussian
from skimage.measure import label, regionprops

from napari_unet.samples import sample
from napari_unet.samples.volume3d import MEMBRANE, NUCLEUS, PAINTED_SLICES, REST, _grow_cells, build


@pytest.fixture(scope="module")
def volume():
    return sample("volume3d")


def test_shape_and_pixel_size(volume):
    assert volume.image.shape == (24, 160, 160)
    assert volume.image.dtype == np.uint16
    assert volume.scale == (2.0, 0.5, 0.5)
    assert volume.units == ("micrometer",) * 3
    assert volume.axis_labels == ("z", "y", "x")


def test_only_three_slices_are_painted_each_with_every_class(volume):
    assert tuple(np.flatnonzero(volume.strokes.any((1, 2)))) == PAINTED_SLICES
    assert (volume.strokes.shape[0] - 1) // 2 in PAINTED_SLICES  # where a viewer opens it
    for z in PAINTED_SLICES:
        assert set(np.unique(volume.strokes[z])) == {0, MEMBRANE, NUCLEUS, REST}


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_membranes_leave_no_gap_between_two_cells(axis):
    anatomy = _grow_cells(np.random.default_rng(1))
    cell, membrane = (np.moveaxis(a, axis, 0) for a in (anatomy.cell, anatomy.membrane))
    face = (cell[1:] != cell[:-1]) & (anatomy.alive[cell[1:]] | anatomy.alive[cell[:-1]])
    assert face.sum() > 10_000
    assert not (face & ~membrane[1:] & ~membrane[:-1]).any()


def test_a_nucleus_is_a_compact_body_in_its_own_cell(volume):
    cells = label(volume.truth != MEMBRANE, connectivity=1)
    nuclei = [n for n in regionprops(label(volume.truth == NUCLEUS)) if n.image.shape[0] > 2]
    assert len(nuclei) > 40
    assert all(len(np.unique(cells[tuple(n.coords.T)])) == 1 for n in nuclei)
    assert np.median([n.solidity for n in nuclei]) > 0.85


def test_classes_differ_in_brightness_but_no_threshold_tells_them_apart(volume):
    counts, classes = volume.image.ravel(), volume.truth.ravel()
    medians = {value: np.median(counts[classes == value]) for value in (1, 2, 3)}
    assert medians[MEMBRANE] > 1.2 * medians[NUCLEUS] > 1.5 * medians[REST]
    histogram = np.stack([np.bincount(counts[classes == v], minlength=65536) for v in (1, 2, 3)])
    best = 1 + histogram.argmax(0)[counts]  # the best that any rule on a voxel's value can do
    overlap = [
        ((best == v) & (classes == v)).sum() / ((best == v) | (classes == v)).sum()
        for v in (1, 2, 3)
    ]
    assert np.mean(overlap) < 0.6


def test_the_camera_adds_noise_of_both_kinds(volume):
    """In medium, the noise is more than its photons; in bright parts it grows with the light."""
    image = volume.image.astype(np.float64)
    smooth = gaussian(image, (0, 4, 4))
    noise = image - gaussian(image, (0, 1, 1))
    dark, bright = smooth < 150, smooth > 500
    assert noise[dark].std() > 10
    assert noise[bright].std() > 2 * noise[dark].std()


def test_light_fades_with_depth(volume):
    light = [np.median(volume.image[z][volume.truth[z] == MEMBRANE]) for z in range(24)]
    assert np.mean(light[:6]) > 1.2 * np.mean(light[-6:])


def test_another_seed_makes_another_volume(volume):
    other = build(seed=8)
    assert (other.truth != volume.truth).mean() > 0.1
    assert (other.strokes == other.truth)[other.strokes > 0].all()

"""Strokes, finished masks and numbered objects are told apart by a look at a part of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_unet.data.label_kind import WINDOW_SIDE, WINDOWS, survey_labels
from napari_unet.samples import sample


def cells(side=256, number=36, seed=0):
    """Round cells on a grid, some of which touch, each with a number of its own."""
    rng = np.random.default_rng(seed)
    per_side = int(number**0.5)
    step = side // per_side
    y, x = np.indices((side, side))
    ids = np.zeros((side, side), np.uint16)
    for k, corner in enumerate(np.ndindex(per_side, per_side), start=1):
        cy, cx = (np.array(corner) + 0.5) * step + rng.normal(0, 2, 2)
        ids[(y - cy) ** 2 + (x - cx) ** 2 < rng.uniform(0.3, 0.52) ** 2 * step**2] = k
    return ids


def scribbles(classes, side=256, per_class=3, seed=0):
    """Wobbly lines, three pixels wide."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((side, side), np.uint8)
    for value in range(1, classes + 1):
        line = np.zeros((side, side), bool)
        for _ in range(per_class):
            walk = rng.uniform(40, side - 40, 2) + np.cumsum(rng.normal(0, 1, (80, 2)), 0)
            line[tuple(np.clip(walk, 0, side - 1).astype(int).T)] = True
        labels[ndimage.binary_dilation(line, np.ones((3, 3)))] = value
    return labels


IDS = cells()
MASK = IDS > 0
MEMBRANE = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=(256, 256)), 6)
HALVES = np.where(np.arange(256) < 128, 1, 2) * np.ones((256, 1), int)


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (np.zeros((64, 64), int), "strokes"),
        (IDS, "objects"),
        (ndimage.grey_dilation(IDS, 25), "objects"),
        (IDS * (IDS < 6), "objects"),
        (np.stack([IDS] * 9), "objects"),
        (MASK, "mask"),
        (MASK.astype(np.uint8) * 255, "mask"),
        (np.abs(MEMBRANE) < 0.02, "mask"),
        (MASK * (1 + IDS % 2), "mask"),
        (np.where(MEMBRANE > 0, HALVES, 0), "mask"),
        (HALVES, "strokes"),
        (scribbles(1), "strokes"),
        (scribbles(2), "strokes"),
        (scribbles(3, per_class=1), "strokes"),
        (scribbles(6, per_class=4), "strokes"),
        (sample("cells2d").strokes, "strokes"),
        (sample("volume3d").strokes, "strokes"),
    ],
)
def test_what_labels_probably_are(labels, kind):
    assert survey_labels(labels).kind == kind


def test_what_was_seen_is_counted():
    found = survey_labels(IDS)
    assert found.values == 36
    assert found.labelled == pytest.approx((IDS > 0).mean())


class Huge:
    """Labels of a petabyte, which tell what is read of them."""

    shape = (10**5, 10**5, 10**5)

    def __init__(self):
        self.read = 0

    def __getitem__(self, key):
        sides = [part.stop - part.start for part in key]
        self.read += int(np.prod(sides))
        return np.kron(IDS, np.ones((3, 3), IDS.dtype)).reshape(sides)


def test_of_huge_labels_a_part_is_read():
    labels = Huge()
    assert survey_labels(labels).kind == "objects"
    assert labels.read <= WINDOWS * WINDOW_SIDE**2

from __future__ import annotations

import numpy as np
import pytest
from skimage.color import rgb2lab

from napari_unet.samples import sample
from napari_unet.samples.cells2d import GLAND, LUMEN, STROMA


@pytest.fixture(scope="module")
def tissue():
    return sample("cells2d")


# Read off the picture by eye, away from the strokes.
SEEN = {
    GLAND: [(110, 107), (190, 10), (190, 132), (165, 448), (380, 315), (378, 370), (400, 80)],
    STROMA: [(272, 245), (190, 272), (392, 180), (30, 484), (310, 445), (480, 385), (207, 62)],
    LUMEN: [(340, 10), (170, 358), (430, 455), (415, 103), (20, 149), (10, 280)],
}


@pytest.mark.parametrize("value", SEEN)
def test_the_reference_agrees_with_the_eye(tissue, value):
    found = [tissue.truth[point] for point in SEEN[value]]
    assert found == [value] * len(found)
    assert not any(tissue.strokes[point] for point in SEEN[value])


def test_glands_are_brown_and_lumens_bright(tissue):
    lightness, _, yellow = np.moveaxis(rgb2lab(tissue.image), -1, 0)
    gland, stroma, lumen = (tissue.truth == value for value in (GLAND, STROMA, LUMEN))
    assert yellow[gland].mean() > yellow[stroma].mean() + 15
    assert np.median(lightness[lumen]) > np.median(lightness[stroma]) > np.median(lightness[gland])


def test_colour_alone_does_not_tell_the_parts_of_the_tissue(tissue):
    """A nucleus in a gland is as blue as one in the stroma: a net has to look around."""
    colours = tissue.image.reshape(-1, 3) // 16 @ np.array([1, 16, 256])
    classes = tissue.truth.ravel()
    counts = np.zeros((4096, 4))
    np.add.at(counts, (colours, classes), 1)
    best = counts.argmax(1)[colours]  # the best that any rule on a pixel's colour can do
    stroma = (best == STROMA) & (classes == STROMA), (best == STROMA) | (classes == STROMA)
    assert stroma[0].sum() / stroma[1].sum() < 0.9

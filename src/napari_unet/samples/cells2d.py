"""A stained slice of colon tissue from scikit-image, with strokes and a reference segmentation.

The image is ``skimage.data.immunohistochemistry``, whose file is part of every installation of
scikit-image: nothing is downloaded. All coordinates below were read from the image by eye; they are
``(y, x)`` in pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage import data
from skimage.color import rgb2hed
from skimage.draw import polygon2mask
from skimage.filters import gaussian, threshold_otsu
from skimage.measure import label
from skimage.morphology import disk, opening

from napari_unet.samples.sample import Sample
from napari_unet.samples.scribbles import Point, paint

GLAND = 1
STROMA = 2
LUMEN = 3

_STROKE_WIDTH = 5.0
"""Width of the strokes, in pixels."""

_STROKES: dict[int, list[list[Point]]] = {
    GLAND: [
        [(84, 28), (92, 40), (104, 48), (118, 52), (130, 60)],  # many long nuclei
        [(196, 128), (206, 146), (214, 166), (216, 184), (212, 200)],
        [(58, 196), (66, 212), (80, 226), (98, 238)],
        [(64, 336), (72, 356), (74, 378), (70, 400), (62, 420)],
        [(226, 336), (236, 352), (240, 370), (246, 388)],
        [(346, 66), (352, 88), (350, 112), (354, 136)],
        [(452, 62), (460, 84), (456, 108), (466, 128), (470, 142)],
        [(352, 262), (364, 282), (370, 306), (362, 330), (368, 352)],
        [(440, 290), (452, 314), (458, 336), (450, 360)],
    ],
    STROMA: [
        [(262, 170), (272, 190), (284, 204), (298, 212)],
        [(236, 112), (250, 126), (262, 130), (276, 140)],
        [(350, 186), (370, 190), (390, 196), (412, 192), (430, 204)],
        [(280, 236), (290, 262), (284, 290), (294, 318)],
        [(40, 446), (62, 458), (86, 470), (108, 476), (130, 492)],
        [(190, 282), (206, 284), (224, 278)],
        [(316, 428), (326, 438), (338, 443), (352, 442), (364, 436)],
        [(430, 488), (452, 500), (476, 496)],
    ],
    LUMEN: [
        [(318, 10), (340, 26), (364, 30), (386, 18)],
        [(424, 14), (446, 12), (468, 20), (490, 14)],
        [(76, 312), (96, 322), (116, 332), (136, 344), (156, 356)],
        [(408, 450), (424, 446), (440, 448)],
        [(4, 66), (6, 76)],
    ],
}
"""Strokes by label value; each is a list of points."""

_VESSEL: list[Point] = [
    (393, 450), (400, 464), (430, 467), (450, 471), (463, 476), (474, 462), (486, 444),
    (490, 428), (478, 418), (455, 422), (430, 428), (412, 434),
]  # fmt: skip
"""Outline of a vessel, drawn by eye, because a threshold on the stain misses it."""

_THIN_LUMEN: list[list[Point]] = [
    [(0, 277), (10, 280), (22, 286), (40, 295), (60, 304)],
    [(36, 152), (50, 164), (58, 168), (70, 164), (86, 172), (98, 176), (111, 175)],
]
"""Lines along lumina that are too thin for the threshold, drawn by eye."""

_THIN_STROMA: list[list[Point]] = [
    [(136, 2), (160, 14), (172, 26), (186, 42), (196, 50), (207, 62), (216, 76), (220, 84)],
    [(143, 275), (158, 277), (176, 277)],
]
"""Lines along stroma that is too thin for the threshold, drawn by eye."""


def build() -> Sample:
    """Return the sample "cells2d"."""
    image = data.immunohistochemistry()
    return Sample(
        name="cells2d",
        image=image,
        strokes=_paint_strokes((image.shape[0], image.shape[1])),
        truth=reference(image),
        scale=(1.0, 1.0),
        units=("pixel", "pixel"),
        axis_labels=("y", "x"),
        class_names={GLAND: "gland", STROMA: "stroma", LUMEN: "lumen"},
        description=(
            "Glands of the human colon: FHL2 in brown (DAB), nuclei in blue (hematoxylin). Nuclei "
            "look the same in glands and stroma, and differ only in their surroundings. Source: "
            "skimage.data.immunohistochemistry, from the Center for Microscopy and Molecular "
            "Imaging (CMMI), no known copyright restrictions; its pixel size is not published. "
            "Strokes placed by eye. The truth is a reference, not an expert's annotation: "
            "Otsu's threshold on the smoothed brown stain after colour deconvolution (Ruifrok and "
            "Johnston 2001), tissue parts told apart by connection, thin gaps and one vessel "
            "added by eye."
        ),
    )


def _paint_strokes(shape: tuple[int, int]) -> NDArray[np.uint8]:
    strokes = np.zeros(shape, dtype=np.uint8)
    for value, lines in _STROKES.items():
        strokes[paint(shape, lines, _STROKE_WIDTH)] = value
    return strokes


def reference(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Segment the image with a classical method, as an independent reference.

    Parameters
    ----------
    image : ndarray of uint8
        The image, axes ``(y, x, channel)``.

    Returns
    -------
    ndarray of uint8
        Label value of every pixel, axes ``(y, x)``.

    Notes
    -----
    The brown stain comes from the colour deconvolution of Ruifrok and Johnston, Anal. Quant.
    Cytol. Histol. 23, 291 (2001), the threshold from Otsu, IEEE Trans. SMC 9, 62 (1979).
    """
    shape = (image.shape[0], image.shape[1])
    gland = _stained(image)
    # Regions between glands are stroma if they are connected with a stroke of stroma.
    between = label(~gland, connectivity=1)
    stroma = np.isin(between, np.unique(between[paint(shape, _STROKES[STROMA], 1) & ~gland]))
    classes = np.where(gland, GLAND, np.where(stroma, STROMA, LUMEN)).astype(np.uint8)
    classes[polygon2mask(shape, _VESSEL)] = LUMEN
    classes[paint(shape, _THIN_LUMEN, 6.0)] = LUMEN
    classes[paint(shape, _THIN_STROMA, 4.0)] = STROMA
    return classes


def _stained(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return the mask of the parts stained brown, with the nuclei in them, axes ``(y, x)``."""
    brown = gaussian(rgb2hed(image)[..., 2], sigma=2.5)
    gland = _without_small_parts(brown > 0.8 * threshold_otsu(brown), least=1500)
    gland = ~_without_small_parts(~gland, least=300)
    # Nuclei at the rim of a gland leave narrow bays; an opening of the background closes them.
    return np.asarray(opening(gland, disk(3)) | ~opening(~gland, disk(6)))


def _without_small_parts(mask: NDArray[np.bool_], least: int) -> NDArray[np.bool_]:
    """Return a mask without its connected parts of fewer than `least` pixels."""
    part = label(mask, connectivity=1)
    return np.asarray((np.bincount(part.ravel()) >= least)[part] & mask)

"""A synthetic light-sheet volume of a cell aggregate, with the true class of every voxel.

Cells are the Voronoi cells of scattered seeds in smoothly deformed space, so that their membranes
are curved. Seeds outside an ellipsoid are medium, so the aggregate has an uneven outline. The image
is this anatomy, stained unevenly, blurred by an anisotropic Gaussian point spread function, shaded,
and recorded by a camera with photon (Poisson) and read-out (Gaussian) noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.filters import gaussian
from skimage.transform import resize

from napari_unet.samples.sample import Sample
from napari_unet.samples.scribbles import paint_slices

Floats = NDArray[np.float32]

SHAPE = (24, 160, 160)
"""Shape of the volume, (z, y, x), in voxels."""

SCALE = (2.0, 0.5, 0.5)
"""Size of a voxel, in micrometres."""

MEMBRANE = 1
NUCLEUS = 2
REST = 3

PAINTED_SLICES = (4, 11, 18)
"""Slices with strokes; napari opens a volume at its middle slice."""

_MEDIUM = 4
"""Class of the medium in this module; for the user it is part of the rest."""

_SPACING = 12.0
"""Least distance between the seeds of two cells, in micrometres."""

_REACH = 18.0
"""Greatest distance of a voxel from its two nearest seeds, in micrometres."""

_HALF_MEMBRANE = np.array([0.9, 0.55, 0.55])
"""Half of the thickness of membranes, in micrometres; along z about half a slice avoids gaps."""


@dataclass(frozen=True)
class _Anatomy:
    """The cells before they are imaged; arrays with axes ``(z, y, x)``.

    `cell` is the index of the seed of each voxel, `alive` tells which seeds are cells, and
    `membrane` and `nucleus` are masks.
    """

    cell: NDArray[np.intp]
    alive: NDArray[np.bool_]
    membrane: NDArray[np.bool_]
    nucleus: NDArray[np.bool_]

    @property
    def regions(self) -> NDArray[np.uint8]:
        """Class of every voxel, with the medium as a class of its own."""
        regions = np.where(self.alive[self.cell], REST, _MEDIUM).astype(np.uint8)
        regions[self.nucleus] = NUCLEUS
        regions[self.membrane] = MEMBRANE
        return regions


def build(seed: int = 7) -> Sample:
    """Return the sample "volume3d"; the same `seed` gives the same sample."""
    rng = np.random.default_rng(seed)
    anatomy = _grow_cells(rng)
    regions = anatomy.regions
    return Sample(
        name="volume3d",
        image=_record(anatomy, rng),
        strokes=paint_slices(regions, PAINTED_SLICES, rng).clip(max=REST),
        truth=regions.clip(max=REST),
        scale=SCALE,
        units=("micrometer",) * 3,
        axis_labels=("z", "y", "x"),
        class_names={MEMBRANE: "membrane", NUCLEUS: "nucleus", REST: "rest"},
        description=(
            "A synthetic aggregate of cells as a light-sheet microscope would show it: membranes "
            "and nuclei in one channel, slices four times as far apart as pixels, uneven light, "
            "blur and noise. Made by napari-unet from a fixed seed, so the truth is exact. "
            f"Strokes by a simulated painter on the slices {', '.join(map(str, PAINTED_SLICES))}."
        ),
    )


def _grow_cells(rng: np.random.Generator) -> _Anatomy:
    """Grow the aggregate: Voronoi cells, a membrane along each face, a nucleus in each cell."""
    positions = _deformed_coordinates(rng)
    seeds = _scatter_seeds(rng)
    alive = _inside_aggregate(seeds)
    cell, neighbour, nearest, second = _two_nearest(positions, seeds)
    across = seeds[neighbour] - seeds[cell]
    apart = np.linalg.norm(across, axis=-1)
    to_face = (second - nearest) / (2 * apart)
    half = np.abs(across) @ _HALF_MEMBRANE / apart
    tissue = alive[cell]
    nucleus = tissue & (to_face > half + 0.5) & (_nuclear_radius(positions, seeds, cell, rng) < 1)
    membrane = (to_face < half) & (tissue | alive[neighbour])
    _close_gaps(membrane, cell, alive)
    return _Anatomy(cell, alive, membrane, nucleus)


def _close_gaps(
    membrane: NDArray[np.bool_], cell: NDArray[np.intp], alive: NDArray[np.bool_]
) -> None:
    """Add membrane in place where an oblique one lies between two slices."""
    above = cell[:-1]
    below = cell[1:]
    face = (above != below) & (alive[above] | alive[below])
    membrane[1:] |= face & ~membrane[:-1]


def _smooth_noise(rng: np.random.Generator, grain: float) -> Floats:
    """Return noise of about unit variance that is correlated over `grain` micrometres."""
    coarse = [max(4, round(n * size / grain)) for n, size in zip(SHAPE, SCALE, strict=True)]
    noise = rng.standard_normal(coarse).astype(np.float32)
    return np.asarray(1.5 * resize(noise, SHAPE, order=1, mode="reflect", anti_aliasing=False))


def _deformed_coordinates(rng: np.random.Generator) -> Floats:
    """Return the positions of voxels in deformed space, in micrometres, ``(3, z, y, x)``."""
    straight = (np.arange(n) * step for n, step in zip(SHAPE, SCALE, strict=True))
    grid = np.meshgrid(*straight, indexing="ij", sparse=True)
    return np.stack([line + _smooth_noise(rng, 9.0) for line in grid]).astype(np.float32)


def _scatter_seeds(rng: np.random.Generator) -> Floats:
    """Draw seeds of at least the spacing of cells (dart throwing), in micrometres, ``(n, 3)``."""
    extent = np.multiply(SHAPE, SCALE)
    darts = rng.uniform(-_SPACING, extent + _SPACING, (6000, 3)).astype(np.float32)
    seeds = darts[:1]
    for dart in darts[1:]:
        if ((seeds - dart) ** 2).sum(1).min() > _SPACING**2:
            seeds = np.vstack([seeds, dart])
    return seeds


def _inside_aggregate(seeds: Floats) -> NDArray[np.bool_]:
    """Return which seeds are cells: those in an ellipsoid, but not in the hollow within it."""
    extent = np.multiply(SHAPE, SCALE)
    outer = ((seeds - extent * (0.5, 0.56, 0.46)) / (extent * (0.8, 0.5, 0.52))) ** 2
    hollow = ((seeds - extent * (0.5, 0.62, 0.4)) / (12.0, 11.0, 13.0)) ** 2
    return np.asarray((outer.sum(1) < 1) & (hollow.sum(1) > 1))


def _two_nearest(
    positions: Floats, seeds: Floats
) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats, Floats]:
    """Return the two nearest seeds of each voxel, and the squared distances to them."""
    index = np.zeros((2, *SHAPE), dtype=np.intp)
    distance = np.full((2, *SHAPE), np.inf, dtype=np.float32)
    for number, seed in enumerate(seeds):
        box = _box_around(seed)
        squared = _squared_distance(positions[:, *box], seed)
        first, second = index[:, *box]
        near, far = distance[:, *box]
        closer = squared < near
        between = ~closer & (squared < far)
        second[...] = np.where(closer, first, np.where(between, number, second))
        far[...] = np.where(closer, near, np.where(between, squared, far))
        first[closer] = number
        near[closer] = squared[closer]
    return index[0], index[1], distance[0], distance[1]


def _squared_distance(positions: Floats, seed: Floats) -> Floats:
    """Return the squared distance from `seed`, ``(3,)``, to each of `positions`, ``(3, ...)``."""
    z, y, x = (position - s for position, s in zip(positions, seed, strict=True))
    return np.asarray(z * z + y * y + x * x)


def _box_around(seed: Floats) -> tuple[slice, ...]:
    """Return the box of the voxels for which `seed` may be one of the two nearest."""
    low = np.floor((seed - _REACH) / SCALE).astype(int).clip(0)
    high = np.ceil((seed + _REACH) / SCALE).astype(int).clip(0)
    return tuple(slice(a, b) for a, b in zip(low, high, strict=True))


def _nuclear_radius(
    positions: Floats, seeds: Floats, cell: NDArray[np.intp], rng: np.random.Generator
) -> Floats:
    """Return the distance of voxels from the centre of their cell, 1 at the nuclear surface."""
    radii = rng.uniform(3.8, 5.6, (len(seeds), 3)).astype(np.float32)
    centres = seeds + rng.normal(0, 0.6, seeds.shape).astype(np.float32)
    offset = (np.moveaxis(positions, 0, -1) - centres[cell]) / radii[cell]
    return np.asarray(np.linalg.norm(offset, axis=-1))


def _record(anatomy: _Anatomy, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Return the image of the camera, in counts."""
    photons = _stain(anatomy, rng)
    photons = gaussian(photons, sigma=(0.5, 0.9, 0.9), mode="nearest") * _illumination(rng)
    counts = 100 + 12 * rng.poisson(photons) + rng.normal(0, 10, SHAPE)
    return np.asarray(counts.round().clip(0, 65535), dtype=np.uint16)


def _stain(anatomy: _Anatomy, rng: np.random.Generator) -> Floats:
    """Return the light that each voxel emits, in photons, before the blur."""
    cells = len(anatomy.alive)
    cytoplasm = np.where(anatomy.alive, rng.uniform(9, 17, cells), 4)[anatomy.cell]
    chromatin = rng.lognormal(np.log(40), 0.25, cells)[anatomy.cell]
    light = cytoplasm * (1 + 0.15 * _smooth_noise(rng, 2.5))
    texture = 1 + 0.28 * _smooth_noise(rng, 2.0)
    light = np.where(anatomy.nucleus, chromatin * texture.clip(0.3), light)
    patchy = (90 * (1 + 0.25 * _smooth_noise(rng, 5.0))).clip(18)
    light = np.where(anatomy.membrane, patchy, light)
    vesicles = (rng.random(SHAPE) < 0.002) & ~anatomy.membrane & ~anatomy.nucleus
    return np.asarray(light + 170 * (vesicles & anatomy.alive[anatomy.cell]), dtype=np.float32)


def _illumination(rng: np.random.Generator) -> Floats:
    """Return the share of light that arrives: less in depth and off the waist of the sheet."""
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij", sparse=True)
    sheet = np.exp(-0.25 * z - 0.45 * (x - 0.2) ** 2 - 0.2 * y**2)
    return np.asarray(sheet * (1 + 0.08 * _smooth_noise(rng, 30.0)), dtype=np.float32)

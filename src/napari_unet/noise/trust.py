"""Whether a denoised picture can be trusted, told without the clean one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import binary_dilation, find_objects, label

from napari_unet.errors import InputError
from napari_unet.noise.filters import Plane, as_plane
from napari_unet.noise.poisson_gauss import NoiseModel, fit_noise
from napari_unet.noise.report import LEAST_LINES, Kind, Place, TrustReport, judged
from napari_unet.noise.residual import (
    LineNoise,
    autocorrelation,
    left_over,
    line_noise,
    mark,
    standardise,
    structure_correlation,
    variance_ratio,
)
from napari_unet.noise.structure import noise_autocorrelation, share_of_high_pass

_MOST_PLACES = 5
_TOGETHER = 4  # pixels around a mark within which another one belongs to the same place
_CERTAIN = 5.0  # standard errors


def examine(
    noisy: ArrayLike | Sequence[ArrayLike],
    denoised: ArrayLike | Sequence[ArrayLike],
    noise: NoiseModel | None = None,
) -> TrustReport:
    """Compare a denoised picture with the noisy one it was made from.

    What was taken out has to look like the noise and like nothing else. Where its local mean is
    not 0, within what noise allows for, the denoised picture is wrong there. What it cannot tell:
    whether structure below the noise was made up or lost.

    Parameters
    ----------
    noisy, denoised : array_like or sequence of array_like
        One picture (y, x), or several of one shape: (plane, y, x), or a list of planes.
    noise : NoiseModel, optional
        If not known, it is fitted to `noisy`, with regard to its autocorrelation.

    Returns
    -------
    report : TrustReport

    Raises
    ------
    InputError
        If the shapes differ, or one is no picture of at least 16 by 16 finite values.
    """
    before, after = _planes(noisy), _planes(denoised)
    if [p.shape for p in before] != [p.shape for p in after]:
        raise InputError(
            "The denoised picture has another shape than the noisy one",
            got=[p.shape for p in after],
            expected=[p.shape for p in before],
        )
    white = noise or fit_noise(before)
    own = noise_autocorrelation(before, noise=white)
    noise = noise or _widened(white, share_of_high_pass(own))
    residuals = [standardise(n, d, noise) for n, d in zip(before, after, strict=True)]
    tests = sum(p.size for p in before)
    marks = [mark(r, d, noise, tests) for r, d in zip(residuals, after, strict=True)]
    unsupported = np.stack([m.unsupported for m in marks])
    sigma = float(np.sqrt(np.mean([noise.variance(d).mean() for d in after])))
    rows = _certain([line_noise(d) for d in after], sigma)
    columns = _certain([line_noise(d.T) for d in after], sigma)
    height, width = after[0].shape
    report = TrustReport(
        sigma_before=sigma,
        sigma_after=sigma * float(np.sqrt(np.mean([left_over(d, noise) for d in after]))),
        residual_variance=float(
            np.mean([variance_ratio(r, d, noise) for r, d in zip(residuals, after, strict=True)])
        ),
        residual_autocorrelation=np.mean([autocorrelation(r) for r in residuals], axis=0),
        noise_autocorrelation=own,
        signal_correlation=float(
            np.mean([structure_correlation(r, d) for r, d in zip(residuals, after, strict=True)])
        ),
        unsupported=unsupported if _is_stack(noisy) else unsupported[0],
        unsupported_share=float((unsupported > 0).mean()),
        lost_share=float(np.mean([m.lost.mean() for m in marks])),
        row_noise=_amplitude(rows),
        column_noise=_amplitude(columns),
        places=(
            *_marked(unsupported),
            *_shifted(rows, width, "row"),
            *_shifted(columns, height, "column"),
        ),
    )
    return judged(report)


def _is_stack(pictures: ArrayLike | Sequence[ArrayLike]) -> bool:
    return isinstance(pictures, Sequence) or np.ndim(pictures) == 3


def _planes(pictures: Any) -> list[Plane]:
    planes = [as_plane(p, least=16) for p in (pictures if _is_stack(pictures) else [pictures])]
    if not planes or len({p.shape for p in planes}) > 1:
        raise InputError(
            "Only pictures of one shape can be examined together",
            got=[p.shape for p in planes],
            expected="one or more, all alike",
        )
    return planes


def _widened(noise: NoiseModel, share: float) -> NoiseModel:
    """Make up for the part of correlated noise that a high-pass does not see."""
    return replace(noise, gain=noise.gain / share, offset_variance=noise.offset_variance / share)


def _certain(lines: list[LineNoise], sigma: float) -> list[LineNoise]:
    """Keep the shifts that are no accident and large enough to matter; the others become 0."""
    none = LineNoise(0.0, 0.0, np.zeros(0))
    least = LEAST_LINES * sigma
    return [n if n.significance > _CERTAIN and n.amplitude > least else none for n in lines]


def _amplitude(lines: list[LineNoise]) -> float:
    return float(np.sqrt(np.mean([n.amplitude**2 for n in lines])))


def _marked(unsupported: NDArray[np.float32]) -> list[Place]:
    places = list(_boxes(unsupported))
    return sorted(places, key=lambda p: -p.strength)[:_MOST_PLACES]


def _boxes(unsupported: NDArray[np.float32]) -> Iterator[Place]:
    near = np.ones((1, 2 * _TOGETHER + 1, 2 * _TOGETHER + 1), dtype=np.bool_)
    alone_in_plane = np.zeros((3, 3, 3), dtype=np.bool_)
    alone_in_plane[1] = True
    groups, _ = label(binary_dilation(unsupported > 0, near), alone_in_plane)
    groups[unsupported == 0] = 0
    for group, box in enumerate(find_objects(groups), start=1):
        plane, y, x = box
        strength = float(unsupported[box][groups[box] == group].max())
        yield Place("unsupported", plane.start, (y.start, x.start, y.stop, x.stop), strength)


def _shifted(lines: list[LineNoise], length: int, kind: Kind) -> list[Place]:
    places = []
    for plane, found in enumerate(lines):
        for at in map(int, np.argsort(-np.abs(found.offsets))[:_MOST_PLACES]):
            box = (at, 0, at + 1, length) if kind == "row" else (0, at, length, at + 1)
            places.append(Place(kind, plane, box, float(abs(found.offsets[at]))))
    return sorted(places, key=lambda p: -p.strength)[:_MOST_PLACES]

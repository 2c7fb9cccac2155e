"""Report on a denoised image: statistics of the residual, and a verdict in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import binary_dilation, find_objects, label

from napari_unet.errors import InputError
from napari_unet.noise.filters import Plane, as_plane
from napari_unet.noise.poisson_gauss import NoiseModel, fit_noise
from napari_unet.noise.residual import (
    LineNoise,
    autocorrelation,
    left_over,
    line_noise,
    residual_marks,
    standardise,
    structure_correlation,
    variance_ratio,
)
from napari_unet.noise.structure import noise_autocorrelation, share_of_high_pass

Kind = Literal["unsupported", "row", "column"]
Level = Literal["good", "caution", "bad"]
Finding = tuple[Level, str]

LEAST_LINES = 0.1
"""Least offset of whole lines that is reported, as a share of the noise."""


@dataclass(frozen=True, slots=True)
class SuspectPlace:
    """A place where the denoised image is suspicious.

    Parameters
    ----------
    kind : "unsupported", "row" or "column"
        Structure that the data does not support, or a line with an offset.
    plane : int
        Index of the plane.
    box : tuple of four int
        Start y, start x, stop y, stop x, in pixels; the stop is exclusive.
    strength : float
        The greater, the more certain.
    """

    kind: Kind
    plane: int
    box: tuple[int, int, int, int]
    strength: float


@dataclass(frozen=True, slots=True, eq=False)
class ResidualReport:
    """Statistics of a denoised image and its residual (noisy minus denoised image).

    Parameters
    ----------
    sigma_before, sigma_after : float
        Estimated noise, in grey values (root of the mean variance), of the noisy image, and that
        from pixel to pixel which is left in the smooth parts of the denoised one.
    residual_variance : float
        Variance of the residual over that of the noise. 1 is right; more means that structure was
        lost (or the noise model is wrong), less that noise is left.
    residual_autocorrelation, noise_autocorrelation : ndarray, (2, 3)
        Along y and along x, at distances of 1, 2 and 3 pixels.
    signal_correlation : float
        Between the residual and the details of the denoised image, from -1 to 1.
    unsupported : ndarray of float32
        Shape (y, x) or (plane, y, x). Above 1 where the denoised image shows structure that the
        data contradicts, as a multiple of the threshold; 0 elsewhere.
    unsupported_share, lost_share : float
        Share of the pixels with such structure, and of those where structure was lost.
    row_noise, column_noise : float
        Standard deviation of the offsets of whole lines that are left in the denoised image, in
        grey values; 0 if there are none of significance.
    places : tuple of SuspectPlace
        At most five of each kind, the strongest first.
    level : "good", "caution" or "bad"
        That of the worst finding.
    verdict : tuple of str
        A sentence per finding, the most important first.
    """

    sigma_before: float
    sigma_after: float
    residual_variance: float
    residual_autocorrelation: NDArray[np.float64]
    noise_autocorrelation: NDArray[np.float64]
    signal_correlation: float
    unsupported: NDArray[np.float32]
    unsupported_share: float
    lost_share: float
    row_noise: float
    column_noise: float
    places: tuple[SuspectPlace, ...]
    level: Level = "good"
    verdict: tuple[str, ...] = ()


_SEVERITY: tuple[Level, ...] = ("good", "caution", "bad")
"""Levels in increasing severity."""


def with_verdict(report: ResidualReport) -> ResidualReport:
    """Derive level and verdict from the statistics of a report.

    Parameters
    ----------
    report : ResidualReport
        Its level and verdict are not used.

    Returns
    -------
    report : ResidualReport
        With the level of the worst finding, and a sentence for each.
    """
    findings = sorted(_findings(report), key=lambda f: -_SEVERITY.index(f[0]))
    if not findings:
        share = report.sigma_after / report.sigma_before
        sentence = f"What was removed looks like noise; {share:.0%} of the noise is left."
        return replace(report, level="good", verdict=(sentence,))
    return replace(report, level=findings[0][0], verdict=tuple(f[1] for f in findings))


def _findings(report: ResidualReport) -> Iterator[Finding]:
    yield from _unsupported_structure(report)
    yield from _lost_structure(report)
    yield from _line_offsets(report, "row", report.row_noise)
    yield from _line_offsets(report, "column", report.column_noise)
    yield from _noise_left(report)


def _unsupported_structure(report: ResidualReport) -> Iterator[Finding]:
    if report.unsupported_share > 0:
        bad = report.unsupported_share > 0.002 or float(report.unsupported.max()) > 1.5
        sentence = (
            f"The noisy data contradicts structure in {report.unsupported_share:.2%} of the "
            f"denoised image: {_where(report, 'unsupported')}."
        )
        yield "bad" if bad else "caution", sentence


def _lost_structure(report: ResidualReport) -> Iterator[Finding]:
    smoother = report.residual_autocorrelation - report.noise_autocorrelation
    if report.lost_share > 0.001:
        sentence = (
            f"Structure was removed with the noise in {report.lost_share:.1%} of the image: "
            "it is too smooth there."
        )
        bad = report.lost_share > 0.01 or report.residual_variance > 1.5
        yield "bad" if bad else "caution", sentence
    elif report.residual_variance > 1.3:
        sentence = (
            f"{report.residual_variance:.2f} times the variance of the noise was removed: "
            "structure was removed, too, or the noise model is wrong."
        )
        yield "caution", sentence
    elif smoother.max() > 0.1:
        yield "caution", "What was removed is smoother than the noise: it holds faint structure."


def _line_offsets(report: ResidualReport, kind: Kind, amplitude: float) -> Iterator[Finding]:
    share = amplitude / report.sigma_before
    if share > LEAST_LINES:
        sentence = (
            f"Whole {kind}s are offset by about {amplitude:.3g} grey values in the denoised "
            f"image ({share:.0%} of the noise): {_where(report, kind)}."
        )
        yield "bad" if share > 0.5 else "caution", sentence


def _noise_left(report: ResidualReport) -> Iterator[Finding]:
    share = report.sigma_after / report.sigma_before
    if share > 0.5:
        yield "caution", f"{share:.0%} of the noise is left."
    elif report.residual_variance < 0.5:
        sentence = (
            f"Only {report.residual_variance:.0%} of the variance of the noise was removed: "
            "some of the noise is left, and may look like structure."
        )
        yield "caution", sentence


def _where(report: ResidualReport, kind: Kind) -> str:
    places = [place for place in report.places if place.kind == kind]
    stack = report.unsupported.ndim > 2
    return ", ".join(
        (f"plane {p.plane}, " if stack else "")
        + f"y {p.box[0]} to {p.box[2]}, x {p.box[1]} to {p.box[3]}"
        for p in places
    )


_MOST_PLACES = 5
"""Greatest number of places of one kind in a report."""

_MERGE_DISTANCE = 4
"""Distance between marks, in pixels, below which they belong to the same place."""

_SIGNIFICANT = 5.0
"""Significance of line offsets, in standard errors, from which on they are reported."""


def analyse_residual(
    noisy: ArrayLike | Sequence[ArrayLike],
    denoised: ArrayLike | Sequence[ArrayLike],
    noise: NoiseModel | None = None,
) -> ResidualReport:
    """Compare a denoised image with the noisy image that it was made from.

    The residual should be indistinguishable from the noise. Where its local mean differs from 0
    by more than noise explains, the denoised image is wrong. Errors in structure that is weaker
    than the noise cannot be detected.

    Parameters
    ----------
    noisy, denoised : array_like or sequence of array_like
        One plane (y, x), or several of one shape: (plane, y, x), or a list of planes.
    noise : NoiseModel, optional
        Of the noisy image. By default it is fitted to `noisy`, and corrected for its
        autocorrelation.

    Returns
    -------
    report : ResidualReport

    Raises
    ------
    InputError
        If the shapes differ, or a plane has fewer than 16 by 16 pixels or is not finite.
    """
    before = _planes(noisy)
    after = _planes(denoised)
    if [p.shape for p in before] != [p.shape for p in after]:
        raise InputError(
            "The denoised image and the noisy image differ in shape",
            got=[p.shape for p in after],
            expected=[p.shape for p in before],
        )
    fitted = noise or fit_noise(before)
    correlation = noise_autocorrelation(before, noise=fitted)
    model = noise or fitted.corrected(share_of_high_pass(correlation))
    residuals = [standardise(n, d, model) for n, d in zip(before, after, strict=True)]
    pairs = list(zip(residuals, after, strict=True))
    tests = sum(p.size for p in before)
    marks = [residual_marks(r, d, model, tests) for r, d in pairs]
    unsupported = np.stack([m.unsupported for m in marks])
    sigma = _root_mean([model.variance(d).mean() for d in after])
    rows = _significant([line_noise(d) for d in after], sigma)
    columns = _significant([line_noise(d.T) for d in after], sigma)
    report = ResidualReport(
        sigma_before=sigma,
        sigma_after=sigma * _root_mean([left_over(d, model) for d in after]),
        residual_variance=float(np.mean([variance_ratio(r, d, model) for r, d in pairs])),
        residual_autocorrelation=np.mean([autocorrelation(r) for r in residuals], axis=0),
        noise_autocorrelation=correlation,
        signal_correlation=float(np.mean([structure_correlation(r, d) for r, d in pairs])),
        unsupported=unsupported if _is_stack(noisy) else unsupported[0],
        unsupported_share=float((unsupported > 0).mean()),
        lost_share=float(np.mean([m.lost.mean() for m in marks])),
        row_noise=_root_mean([n.amplitude**2 for n in rows]),
        column_noise=_root_mean([n.amplitude**2 for n in columns]),
        places=_places(unsupported, rows, columns),
    )
    return with_verdict(report)


def _root_mean(squares: Sequence[Any]) -> float:
    return float(np.sqrt(np.mean(squares)))


def _places(
    unsupported: NDArray[np.float32], rows: list[LineNoise], columns: list[LineNoise]
) -> tuple[SuspectPlace, ...]:
    """Return the places of all kinds; `unsupported` has axes (plane, y, x)."""
    height, width = unsupported.shape[1:]
    return (
        *_unsupported_places(unsupported),
        *_line_places(rows, width, "row"),
        *_line_places(columns, height, "column"),
    )


def _is_stack(images: ArrayLike | Sequence[ArrayLike]) -> bool:
    return isinstance(images, Sequence) or np.ndim(images) == 3


def _planes(images: Any) -> list[Plane]:
    """Return the planes (y, x) of an image or a stack, checked and in double precision."""
    planes = [as_plane(p, least=16) for p in (images if _is_stack(images) else [images])]
    if not planes or len({p.shape for p in planes}) > 1:
        raise InputError(
            "Only images of one shape can be analysed together",
            got=[p.shape for p in planes],
            expected="one or more, all of one shape",
        )
    return planes


def _significant(lines: list[LineNoise], sigma: float) -> list[LineNoise]:
    """Set offsets to 0 that are by chance, or too small to matter."""
    none = LineNoise(0.0, 0.0, np.zeros(0))
    least = LEAST_LINES * sigma
    return [n if n.significance > _SIGNIFICANT and n.amplitude > least else none for n in lines]


def _unsupported_places(unsupported: NDArray[np.float32]) -> list[SuspectPlace]:
    """Return the strongest places of a map with axes (plane, y, x)."""
    return sorted(_connected_places(unsupported), key=lambda p: -p.strength)[:_MOST_PLACES]


def _connected_places(unsupported: NDArray[np.float32]) -> Iterator[SuspectPlace]:
    """Yield a place for each group of marks that lie near to one another in one plane."""
    near = np.ones((1, 2 * _MERGE_DISTANCE + 1, 2 * _MERGE_DISTANCE + 1), dtype=np.bool_)
    within_plane = np.zeros((3, 3, 3), dtype=np.bool_)
    within_plane[1] = True
    groups, _ = label(binary_dilation(unsupported > 0, near), within_plane)
    groups[unsupported == 0] = 0
    for group, box in enumerate(find_objects(groups), start=1):
        plane, y, x = box
        strength = float(unsupported[box][groups[box] == group].max())
        yield SuspectPlace("unsupported", plane.start, (y.start, x.start, y.stop, x.stop), strength)


def _line_places(lines: list[LineNoise], length: int, kind: Kind) -> list[SuspectPlace]:
    """Return the lines with the largest offsets; `length` is that of a line in pixels."""
    places = []
    for plane, noise in enumerate(lines):
        for line in map(int, np.argsort(-np.abs(noise.offsets))[:_MOST_PLACES]):
            box = (line, 0, line + 1, length) if kind == "row" else (0, line, length, line + 1)
            places.append(SuspectPlace(kind, plane, box, float(abs(noise.offsets[line]))))
    return sorted(places, key=lambda p: -p.strength)[:_MOST_PLACES]

"""What is told of a denoised picture, and in which words."""

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
"""Shifts of whole lines are told of from this share of the noise on."""


@dataclass(frozen=True, slots=True)
class SuspectPlace:
    """Where something is suspicious.

    Parameters
    ----------
    kind : "unsupported", "row" or "column"
        Structure without support by the data, or a shifted line.
    plane : int
        Index of the picture.
    box : tuple of four int
        y and x of the first pixel, y and x one behind the last.
    strength : float
        The greater, the surer.
    """

    kind: Kind
    plane: int
    box: tuple[int, int, int, int]
    strength: float


@dataclass(frozen=True, slots=True, eq=False)
class ResidualReport:
    """What a denoised picture and its residual tell.

    Parameters
    ----------
    sigma_before, sigma_after : float
        Estimated noise, in grey values (root of the mean variance); after: the part of it that is
        left from pixel to pixel where the picture is smooth.
    residual_variance : float
        Of what was taken out, over the variance that the noise has; 1 is right, more is structure
        lost (or a wrong noise model), less is noise left.
    residual_autocorrelation, noise_autocorrelation : ndarray, (2, 3)
        Along y and x at distances 1, 2, 3: of what was taken out, and of the noise itself.
    signal_correlation : float
        Between what was taken out and the detail of the denoised picture.
    unsupported : ndarray of float32
        Shape of the pictures, (y, x) or (plane, y, x). Above 1 where the denoised picture shows
        structure that the data speaks against: multiples of the threshold; 0 elsewhere.
    unsupported_share, lost_share : float
        Share of pixels with such structure, and of those where structure was lost.
    row_noise, column_noise : float
        Standard deviation of the shifts of whole lines left in the denoised picture, in grey
        values; 0 where none are certain.
    places : tuple of Place
        At most five of each kind, the surest first.
    level : "good", "caution" or "bad"
    verdict : tuple of str
        In plain words, the most important first.
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


def with_verdict(report: ResidualReport) -> ResidualReport:
    """Add level and verdict to the numbers.

    Parameters
    ----------
    report : TrustReport
        Its level and verdict do not matter.

    Returns
    -------
    report : TrustReport
        With the level of the worst finding, and a sentence for each.
    """
    findings = sorted(_findings(report), key=lambda f: -_SEVERITY.index(f[0]))
    if not findings:
        share = report.sigma_after / report.sigma_before
        sentence = f"What was taken out looks like noise; {share:.0%} of it is left."
        return replace(report, level="good", verdict=(sentence,))
    return replace(report, level=findings[0][0], verdict=tuple(f[1] for f in findings))


def _findings(report: ResidualReport) -> Iterator[Finding]:
    yield from _made_up(report)
    yield from _lost(report)
    yield from _lines(report, "row", report.row_noise)
    yield from _lines(report, "column", report.column_noise)
    yield from _left(report)


def _made_up(report: ResidualReport) -> Iterator[Finding]:
    if report.unsupported_share > 0:
        bad = report.unsupported_share > 0.002 or float(report.unsupported.max()) > 1.5
        sentence = (
            f"The noisy data speaks against structure in {report.unsupported_share:.2%} of the "
            f"denoised picture: {_where(report, 'unsupported')}."
        )
        yield "bad" if bad else "caution", sentence


def _lost(report: ResidualReport) -> Iterator[Finding]:
    smoother = report.residual_autocorrelation - report.noise_autocorrelation
    if report.lost_share > 0.001:
        sentence = (
            f"Structure was taken out with the noise in {report.lost_share:.1%} of the picture: "
            "it is too smooth there."
        )
        bad = report.lost_share > 0.01 or report.residual_variance > 1.5
        yield "bad" if bad else "caution", sentence
    elif report.residual_variance > 1.3:
        sentence = (
            f"{report.residual_variance:.2f} times the variance of the noise was taken out: "
            "structure went with it, or the noise is not what it is taken for."
        )
        yield "caution", sentence
    elif smoother.max() > 0.1:
        yield "caution", "What was taken out is smoother than the noise: faint structure is in it."


def _lines(report: ResidualReport, kind: Kind, amplitude: float) -> Iterator[Finding]:
    share = amplitude / report.sigma_before
    if share > LEAST_LINES:
        sentence = (
            f"Whole {kind}s are shifted by about {amplitude:.3g} grey values in the denoised "
            f"picture ({share:.0%} of the noise): {_where(report, kind)}."
        )
        yield "bad" if share > 0.5 else "caution", sentence


def _left(report: ResidualReport) -> Iterator[Finding]:
    share = report.sigma_after / report.sigma_before
    if share > 0.5:
        yield "caution", f"{share:.0%} of the noise is still there."
    elif report.residual_variance < 0.5:
        sentence = (
            f"Only {report.residual_variance:.0%} of the noise's variance was taken out: some of "
            "the noise is still there, maybe as structure."
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
_TOGETHER = 4  # pixels around a mark within which another one belongs to the same place
_CERTAIN = 5.0  # standard errors


def analyse_residual(
    noisy: ArrayLike | Sequence[ArrayLike],
    denoised: ArrayLike | Sequence[ArrayLike],
    noise: NoiseModel | None = None,
) -> ResidualReport:
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
    marks = [residual_marks(r, d, noise, tests) for r, d in zip(residuals, after, strict=True)]
    unsupported = np.stack([m.unsupported for m in marks])
    sigma = float(np.sqrt(np.mean([noise.variance(d).mean() for d in after])))
    rows = _certain([line_noise(d) for d in after], sigma)
    columns = _certain([line_noise(d.T) for d in after], sigma)
    height, width = after[0].shape
    report = ResidualReport(
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
    return with_verdict(report)


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


def _marked(unsupported: NDArray[np.float32]) -> list[SuspectPlace]:
    places = list(_boxes(unsupported))
    return sorted(places, key=lambda p: -p.strength)[:_MOST_PLACES]


def _boxes(unsupported: NDArray[np.float32]) -> Iterator[SuspectPlace]:
    near = np.ones((1, 2 * _TOGETHER + 1, 2 * _TOGETHER + 1), dtype=np.bool_)
    alone_in_plane = np.zeros((3, 3, 3), dtype=np.bool_)
    alone_in_plane[1] = True
    groups, _ = label(binary_dilation(unsupported > 0, near), alone_in_plane)
    groups[unsupported == 0] = 0
    for group, box in enumerate(find_objects(groups), start=1):
        plane, y, x = box
        strength = float(unsupported[box][groups[box] == group].max())
        yield SuspectPlace("unsupported", plane.start, (y.start, x.start, y.stop, x.stop), strength)


def _shifted(lines: list[LineNoise], length: int, kind: Kind) -> list[SuspectPlace]:
    places = []
    for plane, found in enumerate(lines):
        for at in map(int, np.argsort(-np.abs(found.offsets))[:_MOST_PLACES]):
            box = (at, 0, at + 1, length) if kind == "row" else (0, at, length, at + 1)
            places.append(SuspectPlace(kind, plane, box, float(abs(found.offsets[at]))))
    return sorted(places, key=lambda p: -p.strength)[:_MOST_PLACES]

"""What is told of a denoised picture, and in which words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["unsupported", "row", "column"]
Level = Literal["good", "caution", "bad"]
Finding = tuple[Level, str]

LEAST_LINES = 0.1
"""Shifts of whole lines are told of from this share of the noise on."""


@dataclass(frozen=True, slots=True)
class Place:
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
class TrustReport:
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
    places: tuple[Place, ...]
    level: Level = "good"
    verdict: tuple[str, ...] = ()


_SEVERITY: tuple[Level, ...] = ("good", "caution", "bad")


def judged(report: TrustReport) -> TrustReport:
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


def _findings(report: TrustReport) -> Iterator[Finding]:
    yield from _made_up(report)
    yield from _lost(report)
    yield from _lines(report, "row", report.row_noise)
    yield from _lines(report, "column", report.column_noise)
    yield from _left(report)


def _made_up(report: TrustReport) -> Iterator[Finding]:
    if report.unsupported_share > 0:
        bad = report.unsupported_share > 0.002 or float(report.unsupported.max()) > 1.5
        sentence = (
            f"The noisy data speaks against structure in {report.unsupported_share:.2%} of the "
            f"denoised picture: {_where(report, 'unsupported')}."
        )
        yield "bad" if bad else "caution", sentence


def _lost(report: TrustReport) -> Iterator[Finding]:
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


def _lines(report: TrustReport, kind: Kind, amplitude: float) -> Iterator[Finding]:
    share = amplitude / report.sigma_before
    if share > LEAST_LINES:
        sentence = (
            f"Whole {kind}s are shifted by about {amplitude:.3g} grey values in the denoised "
            f"picture ({share:.0%} of the noise): {_where(report, kind)}."
        )
        yield "bad" if share > 0.5 else "caution", sentence


def _left(report: TrustReport) -> Iterator[Finding]:
    share = report.sigma_after / report.sigma_before
    if share > 0.5:
        yield "caution", f"{share:.0%} of the noise is still there."
    elif report.residual_variance < 0.5:
        sentence = (
            f"Only {report.residual_variance:.0%} of the noise's variance was taken out: some of "
            "the noise is still there, maybe as structure."
        )
        yield "caution", sentence


def _where(report: TrustReport, kind: Kind) -> str:
    places = [place for place in report.places if place.kind == kind]
    stack = report.unsupported.ndim > 2
    return ", ".join(
        (f"plane {p.plane}, " if stack else "")
        + f"y {p.box[0]} to {p.box[2]}, x {p.box[1]} to {p.box[3]}"
        for p in places
    )

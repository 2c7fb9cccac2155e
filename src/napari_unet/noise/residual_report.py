"""Report on a denoised image: statistics of the residual, and a verdict in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
Fact = Literal[
    "Noise", "Residual", "Autocorrelation", "Correlation", "Lost", "Unsupported", "Lines"
]

LEAST_LINES = 0.1
"""Least offset of whole lines that is reported, as a share of the noise."""

BAD_LINES = 0.5
"""Offset of whole lines that is bad, as a share of the noise."""

MOST_NOISE_LEFT = 0.5
"""Standard deviation of the noise that may be left, as a share of what there was."""

RESIDUAL_RANGE = (0.5, 1.3)
"""Variance of the residual, as a multiple of that of the noise, between which it is good."""

BAD_RESIDUAL = 1.5
"""Variance of the residual above which it is bad, where structure was lost as well."""

WORST_RESIDUAL = 3.0
"""Variance of the residual above which it is bad in any case."""

MOST_SMOOTHER = 0.1
"""Autocorrelation of the residual above that of the noise which is good."""

MOST_CORRELATION = 0.2
"""Correlation of the residual with the details of the result, of either sign, that is good. True
images and good classical denoisers stay below 0.13, a slight blur (0.7 pixels) is above 0.36."""

MOST_LOST = (0.001, 0.01)
"""Share of the image with lost structure above which the result is doubtful, or bad."""

BAD_UNSUPPORTED = (0.002, 1.5)
"""Share of the image, or strength, of unsupported structure above which the result is bad."""

LIMITS: dict[Fact, str] = {
    "Noise": f"Up to {MOST_NOISE_LEFT:.0%} left is good.",
    "Residual": f"{RESIDUAL_RANGE[0]} to {RESIDUAL_RANGE[1]} is good, more than {WORST_RESIDUAL} "
    "is bad.",
    "Autocorrelation": f"Up to {MOST_SMOOTHER} more than the noise is good.",
    "Correlation": f"-{MOST_CORRELATION} to {MOST_CORRELATION} is good.",
    "Lost": f"Up to {MOST_LOST[0]:.1%} is good, more than {MOST_LOST[1]:.0%} is bad.",
    "Unsupported": f"Only 0 is good; more than {BAD_UNSUPPORTED[0]:.1%}, or a strong one, is bad.",
    "Lines": f"Up to {LEAST_LINES:.0%} of the noise is good, more than {BAD_LINES:.0%} is bad.",
}
"""In words, by which limits each number is judged; for the user."""


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


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be.

    Parameters
    ----------
    fact : str
        The number that shows it.
    level : "caution" or "bad"
        How bad it is.
    subject : str
        What it is about. Two numbers may show the same.
    sentence : str
        What was found, for the user.
    """

    fact: Fact
    level: Level
    subject: str
    sentence: str


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

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is not as it should be, the worst first; one rule for words and colours."""
        return tuple(sorted(_findings(self), key=lambda f: -_SEVERITY.index(f.level)))

    @property
    def level(self) -> Level:
        """That of the worst finding, "good" where there is none."""
        return next((finding.level for finding in self.findings), "good")

    @property
    def verdict(self) -> tuple[str, ...]:
        """A sentence for each subject of the findings, the worst first."""
        sentences: dict[str, str] = {}
        for finding in self.findings:
            sentences.setdefault(finding.subject, finding.sentence)
        if sentences:
            return tuple(sentences.values())
        share = self.sigma_after / self.sigma_before
        return (f"What was removed looks like noise; {share:.0%} of the noise is left.",)

    def level_of(self, fact: Fact) -> Level:
        """Return the level of the worst finding that a number shows, "good" without any."""
        return next((f.level for f in self.findings if f.fact == fact), "good")

    def explain(self, fact: Fact) -> str:
        """Return by which limits a number is judged, and what was found."""
        found = [f.sentence for f in self.findings if f.fact == fact]
        return " ".join([LIMITS[fact], *(found or ["It is good here."])])


_SEVERITY: tuple[Level, ...] = ("good", "caution", "bad")
"""Levels in increasing severity."""


def _findings(report: ResidualReport) -> Iterator[Finding]:
    yield from _unsupported_structure(report)
    yield from _lost_structure(report)
    yield from _line_offsets(report, "row", report.row_noise)
    yield from _line_offsets(report, "column", report.column_noise)
    yield from _noise_left(report)
    yield from _correlation(report)


def _unsupported_structure(report: ResidualReport) -> Iterator[Finding]:
    share, strength = report.unsupported_share, float(report.unsupported.max(initial=0))
    if share > 0:
        bad = share > BAD_UNSUPPORTED[0] or strength > BAD_UNSUPPORTED[1]
        sentence = (
            f"The noisy data contradicts structure in {share:.2%} of the "
            f"denoised image: {_where(report, 'unsupported')}."
        )
        yield Finding("Unsupported", "bad" if bad else "caution", "unsupported", sentence)


def _lost_structure(report: ResidualReport) -> Iterator[Finding]:
    lost = report.lost_share > MOST_LOST[0]
    if lost:
        sentence = (
            f"Structure was removed with the noise in {report.lost_share:.1%} of the image: "
            "it is too smooth there."
        )
        bad = report.lost_share > MOST_LOST[1] or report.residual_variance > BAD_RESIDUAL
        yield Finding("Lost", "bad" if bad else "caution", "removed", sentence)
    if report.residual_variance > RESIDUAL_RANGE[1]:
        sentence = (
            f"{report.residual_variance:.2f} times the variance of the noise was removed: "
            "structure was removed, too, or the noise model is wrong."
        )
        least = BAD_RESIDUAL if lost else WORST_RESIDUAL
        bad = report.residual_variance > least
        yield Finding("Residual", "bad" if bad else "caution", "removed", sentence)
    smoother = report.residual_autocorrelation - report.noise_autocorrelation
    if smoother.max() > MOST_SMOOTHER:
        sentence = "What was removed is smoother than the noise: it holds faint structure."
        yield Finding("Autocorrelation", "caution", "removed", sentence)


def _correlation(report: ResidualReport) -> Iterator[Finding]:
    correlation = report.signal_correlation
    said = f"(correlation {correlation:.2f})"
    if correlation > MOST_CORRELATION and report.residual_variance < RESIDUAL_RANGE[0]:
        sentence = f"What was removed resembles the result {said}: it still holds noise."
        yield Finding("Correlation", "caution", "left", sentence)
    elif correlation > MOST_CORRELATION:
        sentence = (
            f"What was removed resembles the details of the result {said}: they are weaker than "
            "they should be."
        )
        yield Finding("Correlation", "caution", "removed", sentence)
    elif correlation < -MOST_CORRELATION:
        sentence = f"The result shows more detail than the data {said}: some of it may not be real."
        yield Finding("Correlation", "caution", "added", sentence)


def _line_offsets(report: ResidualReport, kind: Kind, amplitude: float) -> Iterator[Finding]:
    share = amplitude / report.sigma_before
    if share > LEAST_LINES:
        sentence = (
            f"Whole {kind}s are offset by about {amplitude:.3g} grey values in the denoised "
            f"image ({share:.0%} of the noise): {_where(report, kind)}."
        )
        yield Finding("Lines", "bad" if share > BAD_LINES else "caution", f"{kind}s", sentence)


def _noise_left(report: ResidualReport) -> Iterator[Finding]:
    share = report.sigma_after / report.sigma_before
    if share > MOST_NOISE_LEFT:
        yield Finding("Noise", "caution", "left", f"{share:.0%} of the noise is left.")
    if report.residual_variance < RESIDUAL_RANGE[0]:
        sentence = (
            f"Only {report.residual_variance:.0%} of the variance of the noise was removed: "
            "some of the noise is left, and may look like structure."
        )
        yield Finding("Residual", "caution", "left", sentence)


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
    return ResidualReport(
        sigma_before=sigma,
        sigma_after=sigma * _root_mean([left_over(d, model) for d in after]),
        residual_variance=float(np.mean([variance_ratio(r, d, model) for r, d in pairs])),
        residual_autocorrelation=np.mean([autocorrelation(r) for r in residuals], axis=0),
        noise_autocorrelation=correlation,
        signal_correlation=float(np.mean([structure_correlation(r, d, model) for r, d in pairs])),
        unsupported=unsupported if _is_stack(noisy) else unsupported[0],
        unsupported_share=float((unsupported > 0).mean()),
        lost_share=float(np.mean([m.lost.mean() for m in marks])),
        row_noise=_root_mean([n.amplitude**2 for n in rows]),
        column_noise=_root_mean([n.amplitude**2 for n in columns]),
        places=_places(unsupported, rows, columns),
    )


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

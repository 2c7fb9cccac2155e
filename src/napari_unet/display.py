"""How durations, counts and colours are shown, in the panel, on the command line and in reports."""

from __future__ import annotations

from collections.abc import Sequence

RGB8 = tuple[int, int, int]
"""A colour: red, green and blue, each from 0 to 255."""

PALETTE: tuple[RGB8, ...] = (
    (86, 180, 233), (230, 159, 0), (0, 158, 115), (204, 121, 167),
    (213, 94, 0), (0, 114, 178), (240, 228, 66), (128, 128, 128),
)  # fmt: skip
"""Colours that colour-blind people can tell apart (Okabe and Ito), and grey."""

TOO_FEW = "too few to tell"
"""Stands for a score where too few pixels, or those of one class alone, are known."""


def score_text(score: float | None, digits: int = 2) -> str:
    """Return a score as text.

    Parameters
    ----------
    score : float, optional
        None where too few pixels are known.
    digits : int
        How many decimals.

    Examples
    --------
    >>> score_text(0.831), score_text(None)
    ('0.83', 'too few to tell')
    """
    return TOO_FEW if score is None else f"{score:.{digits}f}"


def clock(seconds: float) -> str:
    """Return a duration in hours, minutes and seconds.

    Examples
    --------
    >>> clock(31.4), clock(3723)
    ('0:31', '1:02:03')
    """
    minutes, rest = divmod(round(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def duration(seconds: float) -> str:
    """Return a duration with its unit.

    Examples
    --------
    >>> duration(0.44), duration(59.6), duration(125), duration(3723)
    ('0.4 s', '60 s', '2:05 min', '1:02:03 h')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 100:  # people count so few seconds, not minutes
        return f"{seconds:.0f} s"
    return f"{clock(seconds)} {'h' if round(seconds) >= 3600 else 'min'}"


def count(number: int, noun: str) -> str:
    """Return a number of things.

    Parameters
    ----------
    number : int
        How many.
    noun : str
        In the singular; the plural must end with s.

    Examples
    --------
    >>> count(1, "thread"), count(1240, "pixel")
    ('1 thread', '1,240 pixels')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def voxels(ndim: int) -> str:
    """Return what the smallest parts of an image are called.

    Parameters
    ----------
    ndim : int
        Number of spatial axes.

    Examples
    --------
    >>> voxels(2), voxels(3)
    ('pixels', 'voxels')
    """
    return "voxels" if ndim > 2 else "pixels"


def rgb8(colour: Sequence[float]) -> RGB8:
    """Return a colour whose parts are from 0 to 1 (opacity, if any, is left out) as integers.

    Examples
    --------
    >>> rgb8((1.0, 0.5, 0.0, 1.0))
    (255, 128, 0)
    """
    red, green, blue = (round(255 * min(1.0, max(0.0, part))) for part in colour[:3])
    return red, green, blue


def hex_colour(colour: RGB8) -> str:
    """Return a colour as HTML and Qt write it.

    Examples
    --------
    >>> hex_colour((255, 128, 0))
    '#ff8000'
    """
    return f"#{bytes(colour).hex()}"

"""Scores from confusion tables, as plain numbers, without torch.

A table counts voxels, true classes by rows and predicted ones by columns; counts may be fractions.
Where a class has too few voxels to tell anything, it has no score.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

Table = Sequence[Sequence[float]]
"""A confusion table."""

Scores = tuple[float | None, ...]
"""One score per class; None where too few voxels of the class are known."""

FEWEST_VOXELS = 20
"""Fewest voxels of a class from which it is scored. They lie beside each other in a stroke, so that
fewer are often all right or all wrong by chance."""


def truths(table: Table) -> tuple[float, ...]:
    """Return the number of voxels of each class.

    Examples
    --------
    >>> truths(((8, 2), (1, 9)))
    (10, 10)
    """
    return tuple(sum(row) for row in table)


def iou(table: Table) -> Scores:
    """Return intersection over union per class; None for a class with too few voxels.

    Examples
    --------
    >>> iou(((80, 20), (0, 0)))
    (0.8, None)
    """
    return _each(table, lambda hit, true, predicted: hit / (true + predicted - hit))


def dice(table: Table) -> Scores:
    """Return the Dice coefficient (F1 score) per class; None for a class with too few voxels.

    Examples
    --------
    >>> dice(((80, 40), (0, 40)))
    (0.8, 0.6666666666666666)
    """
    return _each(table, lambda hit, true, predicted: 2 * hit / (true + predicted))


def recall(table: Table) -> Scores:
    """Return the recall per class; None for a class with too few voxels.

    Examples
    --------
    >>> recall(((80, 20), (30, 10)))
    (0.8, 0.25)
    """
    return _each(table, lambda hit, true, _: hit / true)


def accuracy(table: Table) -> float | None:
    """Return the part of all voxels that is predicted correctly; None for too few voxels.

    Also None where all voxels are of one of several classes: what is called that class everywhere
    would be right.

    Examples
    --------
    >>> accuracy(((80, 20), (30, 70))), accuracy(((100, 0), (0, 0)))
    (0.75, None)
    """
    each = truths(table)
    total = sum(each)
    if total < FEWEST_VOXELS or sum(n > 0 for n in each) < min(2, len(each)):
        return None
    return sum(row[k] for k, row in enumerate(table)) / total


def shares(table: Table) -> tuple[Scores, ...]:
    """Return each row divided by its sum; Nones where the row is empty.

    Examples
    --------
    >>> shares(((8, 2), (0, 0)))
    ((0.8, 0.2), (None, None))
    """
    return tuple(
        tuple(n / total if total else None for n in row)
        for row, total in zip(table, truths(table), strict=True)
    )


def mean(scores: Sequence[float | None]) -> float | None:
    """Return the mean of the scores that are not None.

    None where all are, and where only one of several classes has a score: what is called that
    class everywhere would be right.

    Examples
    --------
    >>> mean((0.5, None, 1.0)), mean((None, 1.0)), mean((0.5,))
    (0.75, None, 0.5)
    """
    known = [s for s in scores if s is not None]
    return sum(known) / len(known) if len(known) >= min(2, len(scores)) and known else None


def _each(table: Table, score: Callable[[float, float, float], float]) -> Scores:
    """Score each class by its correct voxels, its voxels and the voxels predicted as it."""
    predicted = [sum(column) for column in zip(*table, strict=True)]
    return tuple(
        score(table[k][k], true, predicted[k]) if true >= FEWEST_VOXELS else None
        for k, true in enumerate(truths(table))
    )

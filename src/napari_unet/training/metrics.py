"""What a table of confusion says. Plain numbers, so that whoever shows them needs no torch.

A table counts voxels, truth by rows and answers by columns; counts may be fractions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

Table = Sequence[Sequence[float]]
Scores = tuple[float | None, ...]


def truths(table: Table) -> tuple[float, ...]:
    """Return the voxels that belong to each class.

    Examples
    --------
    >>> truths(((8, 2), (1, 9)))
    (10, 10)
    """
    return tuple(sum(row) for row in table)


def iou(table: Table) -> Scores:
    """Return intersection over union per class; None for a class that is not in the truth.

    Examples
    --------
    >>> iou(((8, 2), (0, 0)))
    (0.8, None)
    """
    return _each(table, lambda hit, truth, answer: hit / (truth + answer - hit))


def dice(table: Table) -> Scores:
    """Return Dice's coefficient, also called F1, per class; None where iou has None.

    Examples
    --------
    >>> dice(((8, 4), (0, 4)))
    (0.8, 0.6666666666666666)
    """
    return _each(table, lambda hit, truth, answer: 2 * hit / (truth + answer))


def recall(table: Table) -> Scores:
    """Return per class the part of its voxels that is found; None where there are none.

    Examples
    --------
    >>> recall(((8, 2), (3, 1)))
    (0.8, 0.25)
    """
    return _each(table, lambda hit, truth, _: hit / truth)


def accuracy(table: Table) -> float | None:
    """Return the part of all voxels that is right; None for an empty table.

    Examples
    --------
    >>> accuracy(((8, 2), (3, 7)))
    0.75
    """
    total = sum(truths(table))
    return sum(row[k] for k, row in enumerate(table)) / total if total else None


def shares(table: Table) -> tuple[Scores, ...]:
    """Return each row as parts of its sum; Nones where the row is empty.

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
    """Return the mean of the scores there are; None where there are none.

    Examples
    --------
    >>> mean((0.5, None, 1.0))
    0.75
    """
    known = [s for s in scores if s is not None]
    return sum(known) / len(known) if known else None


def _each(table: Table, score: Callable[[float, float, float], float]) -> Scores:
    """Score each class by its hits, its voxels and the answers that name it."""
    answers = [sum(column) for column in zip(*table, strict=True)]
    return tuple(
        score(table[k][k], truth, answers[k]) if truth else None
        for k, truth in enumerate(truths(table))
    )

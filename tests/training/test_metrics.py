"""Scores out of a table of confusion."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.training import metrics

TABLES = st.integers(1, 4).flatmap(
    lambda n: st.lists(st.lists(st.integers(0, 9), min_size=n, max_size=n), min_size=n, max_size=n)
)


@given(TABLES)
def test_iou_is_what_counting_voxels_says(table):
    counts = np.array(table)
    rows, columns = np.indices(counts.shape).reshape(2, -1)
    truth, answer = np.repeat(rows, counts.ravel()), np.repeat(columns, counts.ravel())
    expected = [
        ((truth == k) & (answer == k)).sum() / ((truth == k) | (answer == k)).sum()
        if (truth == k).any()
        else None
        for k in range(len(table))
    ]
    assert metrics.iou(table) == pytest.approx(expected)


@given(TABLES)
def test_scores_agree_with_each_other(table):
    scores = (score(table) for score in (metrics.iou, metrics.dice, metrics.recall))
    for i, d, r in zip(*scores, strict=True):
        assert (i is None) == (d is None) == (r is None)
        if i is not None:
            assert d == pytest.approx(2 * i / (1 + i))
            assert 0 <= i <= d <= 1
            assert i <= r <= 1


@given(TABLES)
def test_rows_add_up(table):
    for row, total in zip(metrics.shares(table), metrics.truths(table), strict=True):
        assert sum(row) == pytest.approx(1) if total else row == (None,) * len(row)
    accuracy, total = metrics.accuracy(table), sum(map(sum, table))
    hits = sum(row[k] for k, row in enumerate(table))
    assert accuracy == (hits / total if total else None)


def test_a_table_by_hand():
    table = ((6, 2, 0), (1, 9, 0), (0, 0, 0))
    assert metrics.iou(table) == pytest.approx((6 / 9, 9 / 12, None))
    assert metrics.dice(table) == pytest.approx((12 / 15, 18 / 21, None))
    assert metrics.recall(table) == pytest.approx((6 / 8, 9 / 10, None))
    assert metrics.mean(metrics.iou(table)) == pytest.approx((6 / 9 + 9 / 12) / 2)
    assert metrics.mean((None, None)) is None
    assert metrics.iou(()) == ()
    assert metrics.accuracy(()) is None

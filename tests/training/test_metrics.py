"""Scores out of a table of confusion."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.training import metrics
from napari_unet.training.metrics import FEWEST_VOXELS

TABLES = st.integers(1, 4).flatmap(
    lambda n: st.lists(st.lists(st.integers(0, 29), min_size=n, max_size=n), min_size=n, max_size=n)
)


@given(TABLES)
def test_iou_is_what_counting_voxels_says(table):
    counts = np.array(table)
    rows, columns = np.indices(counts.shape).reshape(2, -1)
    truth, answer = np.repeat(rows, counts.ravel()), np.repeat(columns, counts.ravel())
    expected = [
        ((truth == k) & (answer == k)).sum() / ((truth == k) | (answer == k)).sum()
        if (truth == k).sum() >= FEWEST_VOXELS
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
    is_told = total >= FEWEST_VOXELS and (len(table) == 1 or sum(map(any, table)) > 1)
    assert accuracy == (hits / total if is_told else None)


def test_a_table_by_hand():
    table = ((60, 20, 0), (10, 90, 0), (0, 0, FEWEST_VOXELS - 1))
    assert metrics.iou(table) == pytest.approx((6 / 9, 9 / 12, None))
    assert metrics.dice(table) == pytest.approx((12 / 15, 18 / 21, None))
    assert metrics.recall(table) == pytest.approx((6 / 8, 9 / 10, None))
    assert metrics.mean(metrics.iou(table)) == pytest.approx((6 / 9 + 9 / 12) / 2)
    assert metrics.mean((None, None)) is None
    assert metrics.iou(()) == ()
    assert metrics.accuracy(()) is None


def test_one_of_several_classes_tells_nothing_of_the_whole():
    table = ((0, 0), (0, 500))
    assert metrics.iou(table) == (None, 1.0)
    assert metrics.mean(metrics.iou(table)) is None
    assert metrics.accuracy(table) is None
    assert metrics.accuracy(((500,),)) == 1


@pytest.mark.parametrize("table", [((1, 0), (0, 0)), ((0, 0), (0, 1)), ((500, 0), (0, 0))])
def test_one_pixel_or_one_class_is_too_few_to_tell(table):
    assert metrics.mean(metrics.iou(table)) is None
    assert metrics.mean(metrics.dice(table)) is None


def test_a_score_for_the_whole_image_needs_no_second_class():
    assert metrics.mean((0.5,)) == 0.5

"""The learning rate rises once and falls once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.training.schedule import (
    END,
    START,
    STEADY_WARM_UP,
    WARM_UP,
    one_cycle,
    steady,
)

PROGRESS = st.floats(0, 1)


@given(PROGRESS, PROGRESS)
def test_up_to_the_peak_and_down_again(a, b):
    first, second = sorted((a, b))
    rates = [one_cycle(first), one_cycle(second)]
    assert min(END, START) - 1e-9 <= min(rates) <= max(rates) <= 1 + 1e-9
    if second <= WARM_UP:
        assert rates[0] <= rates[1] + 1e-9
    if first >= WARM_UP:
        assert rates[0] >= rates[1] - 1e-9


def test_its_corners():
    assert one_cycle(0) == pytest.approx(START)
    assert one_cycle(WARM_UP) == pytest.approx(1)
    assert one_cycle(WARM_UP - 1e-6) == pytest.approx(1, abs=1e-4)
    assert one_cycle(1) == pytest.approx(END)
    # The last step of a budget of seconds begins in time and may end late.
    assert one_cycle(1.3) == one_cycle(1)


def test_without_an_end_it_rises_and_stays():
    rates = [steady(step) for step in range(2 * STEADY_WARM_UP)]
    assert rates == sorted(rates)
    assert 0 < rates[0] <= 0.1
    assert set(rates[STEADY_WARM_UP:]) == {1.0}
    assert steady(10**6) == 1.0

"""Curves and bars."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qtpy.QtCore import QPointF
from qtpy.QtGui import QColor

from napari_unet.runs.curve import Curve
from napari_unet.training.events import Stepped
from napari_unet.widgets.qt.style import Palette
from napari_unet.widgets.train.plots import LossPlot
from napari_unet.widgets.train.progress import TrainingProgress
from napari_unet.widgets.train.scores import ROW, Score, ScoreBars


@pytest.fixture
def plot(qtbot):
    plot = LossPlot(Palette.of("dark"))
    qtbot.addWidget(plot)
    return plot


@given(st.integers(0, 2000), st.integers(1, 300))
def test_few_points_stand_for_many(size, limit):
    curve = Curve()
    for step in range(size):
        curve.append(step, step % 7)
    x, y = curve.points(limit)
    assert len(x) == len(y) <= max(limit, min(size, limit))
    if size:
        assert x[-1] >= size - 1 - size / limit
        group = -(-size // limit)
        assert y[0] == pytest.approx(np.mean([s % 7 for s in range(min(group, size))]))


def test_few_points_are_drawn_as_they_are():
    curve = Curve()
    for step, loss in ((1, 4.0), (5, 3.0), (9, 1.0)):
        curve.append(step, loss)
    assert [list(v) for v in curve.points()] == [[1, 5, 9], [4, 3, 1]]


def test_the_running_average_is_smoother_and_follows():
    rng, curve = np.random.default_rng(0), Curve()
    for step in range(1000):
        curve.append(step, 1 + rng.normal())
    raw, smooth = curve.points()[1], curve.smooth()[1]
    assert smooth[100:].std() < 0.5 * raw[100:].std()
    assert smooth[-300:].mean() == pytest.approx(raw[-300:].mean(), abs=0.1)
    assert curve.smooth()[1][0] == raw[0]


def test_points_are_drawn_soon_and_not_at_once(plot, qtbot):
    for step in range(50):
        plot.add_step(step, 1 / (step + 1), 6e-3)
    plot.add_validation(49, 0.5)
    assert plot._raw.xData is None or len(plot._raw.xData) == 0
    qtbot.waitUntil(lambda: plot._raw.xData is not None and len(plot._raw.xData) == 50)
    assert list(plot._held_out.yData) == [0.5]


def test_a_hundred_thousand_steps_are_still_fast(plot):
    for step in range(100_000):
        plot.add_step(step, 1.0, 6e-3)
    began = time.process_time()
    plot.repaint_now()
    assert time.process_time() - began < 0.5
    assert max(len(plot._raw.xData), len(plot.rate.curve.xData)) <= 1000


def test_log_scale_can_be_switched(plot):
    plot.add_step(1, 100.0, 6e-3)
    plot.repaint_now()
    plot.log.click()
    assert plot._smooth.getData()[1][0] == pytest.approx(2)
    plot.log.click()
    assert plot._smooth.getData()[1][0] == pytest.approx(100)


def test_axes_and_curves_are_named(plot):
    assert plot.rate.getAxis("bottom").labelText == "step"
    assert plot.rate.getAxis("left").labelText == "rate"
    assert plot._plot.getAxis("left").labelText == "loss"
    assert [label.text for _, label in plot._legend.items] == ["training", "validation"]


def test_the_menu_of_pyqtgraph_stays_away(plot):
    plot.show()
    for part in (plot._plot, plot.rate):
        assert not part.getPlotItem().getMenu().isVisible()


def test_clear_removes_all(plot):
    plot.add_step(1, 1, 6e-3)
    plot.repaint_now()
    assert len(plot._raw.getData()[0]) == 1
    plot.clear()
    assert plot.training.size == plot.rate.series.size == 0
    assert plot._raw.getData()[0] is None
    assert plot.rate.curve.getData()[0] is None
    assert plot.rate.getAxis("left")._tickLevels == [[]]


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_it_wears_the_colours_of_the_theme(plot, theme):
    palette = Palette.of(theme)
    plot.set_palette(palette)
    assert plot._plot.backgroundBrush().color() == QColor(palette.background)
    assert plot._plot.getAxis("left").textPen().color() == QColor(palette.text)
    assert plot.rate.backgroundBrush().color() == QColor(palette.background)
    assert plot.rate.getAxis("bottom").textPen().color() == QColor(palette.text)
    assert plot.rate.curve.opts["pen"].color() == QColor(palette.text)
    assert len(plot._legend.items) == 2


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_curves_can_be_seen_on_the_background(theme):
    palette = Palette.of(theme)
    for color in (palette.accent, palette.contrast, palette.text, palette.error):
        assert contrast(color, palette.background) > 3
    assert contrast(palette.on_accent, palette.accent) > 4.5


def contrast(a: str, b: str) -> float:
    """WCAG's contrast ratio."""

    def luminance(color):
        parts = np.array(QColor(color).getRgbF()[:3])
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    dark, bright = sorted((luminance(a), luminance(b)))
    return (bright + 0.05) / (dark + 0.05)


def test_bars_are_as_long_as_the_scores_and_in_the_colours_of_the_classes(qtbot):
    bars = ScoreBars(Palette.of("dark"))
    qtbot.addWidget(bars)
    scores = [Score("a", "#ff0000", 1.0), Score("b", "#00ff00", 0.5), Score("c", "#0000ff", None)]
    bars.show_scores(scores, "IoU · validation rests on 7 pixels")
    assert bars.sizeHint().height() == 4 * ROW
    bars.resize(300, 4 * ROW)
    picture = bars.grab().toImage()

    def length(row, color):
        y = row * ROW + ROW // 2
        return sum(picture.pixelColor(x, y) == QColor(color) for x in range(picture.width()))

    full, half = length(0, "#ff0000"), length(1, "#00ff00")
    assert full > 80
    assert half == pytest.approx(full / 2, abs=6)
    assert length(2, "#0000ff") == 0
    assert bars.accessibleDescription() == "a 1.00; b 0.50; c too few to tell"


def test_a_line_marks_the_step_that_is_looked_at(plot):
    plot.add_step(10, 1.0, 6e-3)
    plot.repaint_now()
    ranges = plot._plot.getPlotItem().viewRange()
    assert not plot._mark.isVisible()
    plot.mark(7)
    assert plot._mark.isVisible()
    assert plot._mark.value() == plot.rate.line.value() == 7
    plot.mark(500)
    assert plot._plot.getPlotItem().viewRange()[0] == ranges[0]  # the plot does not stretch for it
    plot.clear()
    assert not plot._mark.isVisible()
    plot.mark(3)
    plot.mark(None)
    assert not plot._mark.isVisible()


def test_the_learning_rate_stands_below_at_the_same_steps(plot, qtbot):
    for step in range(100):
        plot.add_step(step, 1.0, 6e-3 * min(1, (step + 1) / 30))
    plot.add_validation(99, 0.5)
    plot.show()
    plot.repaint_now()
    x, y = plot.rate.curve.getData()
    assert list(x) == list(range(100))
    assert y[-1] == y.max() == 6e-3
    assert plot.rate.getAxis("left")._tickLevels == [[(0.0, "0"), (6e-3, "0.006")]]
    (above, _), (below, height) = plot._plot.viewRange(), plot.rate.viewRange()
    assert below == pytest.approx(above)
    assert height[0] <= 0 < 6e-3 < height[1]
    places = [p.getPlotItem().vb.mapViewToScene(QPointF(50, 0)).x() for p in
              (plot._plot, plot.rate)]  # fmt: skip
    assert places[0] == pytest.approx(places[1], abs=1)
    assert plot.rate.getPlotItem().vb.height() < 50


def test_a_rate_is_drawn_from_zero_even_where_it_never_changes(plot):
    for step in range(3):
        plot.add_step(step, 1.0, 0.0)
    plot.repaint_now()
    low, high = plot.rate.viewRange()[1]
    assert low <= 0 < high
    assert plot.rate.getAxis("left")._tickLevels == [[]]


def test_the_rate_of_a_training_reaches_the_plot(qtbot):
    view = TrainingProgress(Palette.of("dark"), dict)
    qtbot.addWidget(view)
    for step, rate in ((1, 1e-3), (2, 2e-3)):
        view.show_event(Stepped(step, 0.7, rate, 1.0, None, None))
    view.plot.repaint_now()
    assert [list(v) for v in view.plot.rate.curve.getData()] == [[1, 2], [1e-3, 2e-3]]
    view.clear()
    assert view.plot.rate.series.size == 0

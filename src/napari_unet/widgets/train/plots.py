"""Plots of the loss and of the learning rate against the step."""

from __future__ import annotations

import pyqtgraph as pg
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QColor, QPen
from qtpy.QtWidgets import QCheckBox, QSizePolicy, QVBoxLayout, QWidget
from superqt.utils import qthrottled

from napari_unet.runs.curve import Curve
from napari_unet.widgets.qt.style import Palette

REPAINT_MS = 1000
"""Time in milliseconds between two drawings."""

FEWEST_STEPS = 5
"""Fewest steps that both plots are wide."""

HEIGHT = 156
"""Height of the plot of the loss, in pixels."""

RATE_HEIGHT = 80
"""Height of the plot of the learning rate in pixels, half of which is the axis of the steps."""

LEFT = 60
"""Width of both left axes in pixels, so that a step is at the same place in both plots."""


class LossPlot(QWidget):
    """Losses and learning rate against the step, in the colours of the theme.

    However fast points are added, it repaints at most once a second, and draws at most a thousand
    points per curve.

    Parameters
    ----------
    palette : Palette
        The colours of the theme.

    Attributes
    ----------
    training, validation : Curve
        The points of the losses.
    rate : RatePlot
        The plot of the learning rate.
    """

    def __init__(self, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.training = Curve()
        self.validation = Curve()
        self._plot = pg.PlotWidget(self)
        self.rate = RatePlot(palette)
        self._raw = self._plot.plot()
        self._smooth = self._plot.plot(name="training")
        self._held_out = self._plot.plot(name=None)
        self._mark = _mark_in(self._plot)
        self.log = QCheckBox("Logarithmic scale")
        self.log.setToolTip("Show the loss on a logarithmic scale.")
        self.log.toggled.connect(lambda on: self._plot.setLogMode(y=on))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._plot)
        layout.addWidget(self.rate)
        layout.addWidget(self.log, alignment=Qt.AlignmentFlag.AlignRight)
        self._repaint_soon = qthrottled(self.repaint_now, timeout=REPAINT_MS, leading=False)
        self._arrange()
        self.set_palette(palette)

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Return the preferred size."""
        return QSize(300, HEIGHT + RATE_HEIGHT + 24)

    def add_step(self, step: int, loss: float, rate: float) -> None:
        """Add a point to the curves of the training loss and of the learning rate.

        Parameters
        ----------
        step : int
            Steps done.
        loss : float
            The training loss of that step.
        rate : float
            The learning rate of that step.
        """
        self.training.append(step, loss)
        self.rate.series.append(step, rate)
        self._repaint_soon()

    def add_validation(self, step: int, loss: float) -> None:
        """Add a point to the curve of the validation loss.

        Parameters
        ----------
        step : int
            Steps done.
        loss : float
            The validation loss.
        """
        self.validation.append(step, loss)
        self._repaint_soon()

    def clear(self) -> None:
        """Remove all points."""
        self.training.clear()
        self.validation.clear()
        self.rate.series.clear()
        self.mark(None)
        self.repaint_now()

    def mark(self, step: int | None) -> None:
        """Draw a line at a step; None: no line."""
        for line in (self._mark, self.rate.line):
            line.setVisible(step is not None)
            if step is not None:
                line.setPos(step)

    def repaint_now(self) -> None:
        """Draw all points now."""
        self._raw.setData(*self.training.points())
        self._smooth.setData(*self.training.smooth())
        self._held_out.setData(*self.validation.points())
        self.rate.repaint_now()

    def set_palette(self, palette: Palette) -> None:
        """Take the colours of a theme."""
        _dress(self._plot, palette)
        faint = QColor(palette.accent)
        faint.setAlpha(90)
        self._raw.setPen(pg.mkPen(faint, width=1))
        self._smooth.setPen(pg.mkPen(palette.accent, width=2))
        self._held_out.setPen(pg.mkPen(palette.contrast, width=1.5))
        self._held_out.setSymbol("o")
        self._held_out.setSymbolSize(5)
        self._held_out.setSymbolBrush(palette.contrast)
        self._held_out.setSymbolPen(None)
        self._mark.setPen(_mark_pen(palette))
        self.rate.set_palette(palette)
        self._name_curves(palette)

    def _name_curves(self, palette: Palette) -> None:
        self._legend.setLabelTextColor(palette.text)
        self._legend.clear()
        self._legend.addItem(self._smooth, "training")
        self._legend.addItem(self._held_out, "validation")

    def _arrange(self) -> None:
        item = _calm(self._plot, HEIGHT)
        item.setLabel("left", "loss")
        # The plot below names the steps; here only the grid needs the axis.
        item.getAxis("bottom").setStyle(showValues=False, tickLength=0)
        item.getAxis("bottom").setHeight(5)
        self._legend = item.addLegend(offset=(-4, 4), labelTextSize="8pt", verSpacing=-6)
        self.rate.setXLink(self._plot)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)


class RatePlot(pg.PlotWidget):  # type: ignore[misc]
    """The learning rate against the step, from zero.

    Attributes
    ----------
    series : Curve
        The points, which `repaint_now` draws.
    line : InfiniteLine
        Marks a step.
    """

    def __init__(self, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.series = Curve()
        self.curve = self.plot()
        self.line = _mark_in(self)
        item = _calm(self, RATE_HEIGHT)
        item.layout.setContentsMargins(1, 0, 1, 6)  # or the name of the axis is cut off
        item.setLabel("bottom", "step")
        item.setLabel("left", "rate")
        left = item.getAxis("left")
        left.enableAutoSIPrefix(False)
        # pyqtgraph allows labels to reach beyond the end of the axis only without a grid.
        item.showGrid(y=False)
        left.setStyle(hideOverlappingLabels=False, tickLength=0)
        self.setToolTip("The learning rate at each step.")
        self.set_palette(palette)
        self.repaint_now()

    def repaint_now(self) -> None:
        """Draw all points now; the axis names only zero and the highest rate."""
        x, y = self.series.points()
        self.curve.setData(x, y)
        highest = float(y.max()) if len(y) else 0.0
        ticks = [(0.0, "0"), (highest, f"{highest:.2g}")] if highest else []
        self.getAxis("left").setTicks([ticks])
        self.setYRange(0.0, 1.15 * highest or 1.0, padding=0.03)

    def set_palette(self, palette: Palette) -> None:
        """Take the colours of a theme."""
        _dress(self, palette)
        area = QColor(palette.text)
        area.setAlpha(30)
        self.curve.setPen(pg.mkPen(palette.text, width=1.2))
        self.curve.setFillLevel(0.0)
        self.curve.setBrush(area)
        self.line.setPen(_mark_pen(palette))


def _calm(plot: pg.PlotWidget, height: int) -> pg.PlotItem:
    """Switch off menu, mouse and buttons of a plot, and return its item."""
    item = plot.getPlotItem()
    item.layout.setContentsMargins(1, 1, 1, 0)
    item.showGrid(x=True, y=True, alpha=0.15)
    item.getAxis("left").setWidth(LEFT)
    item.setMenuEnabled(False)
    # pyqtgraph makes its menu all the same, and leaves it behind when the plot is destroyed.
    menu = item.getMenu()
    menu.setParent(plot, menu.windowFlags())
    item.setMouseEnabled(False, False)
    item.getViewBox().setLimits(xMin=0.0, minXRange=FEWEST_STEPS)  # no ticks between two steps
    item.hideButtons()
    plot.setFixedHeight(height)
    plot.setMinimumWidth(200)
    return item


def _dress(plot: pg.PlotWidget, palette: Palette) -> None:
    plot.setBackground(palette.background)
    for side in ("left", "bottom"):
        axis = plot.getAxis(side)
        axis.setPen(pg.mkPen(palette.secondary))
        axis.setTextPen(pg.mkPen(palette.text))


def _mark_in(plot: pg.PlotWidget) -> pg.InfiniteLine:
    """Add a hidden line to a plot, which marks a step and has no effect on the plot's range."""
    line = pg.InfiniteLine(angle=90, movable=False)
    line.hide()
    plot.addItem(line, ignoreBounds=True)
    return line


def _mark_pen(palette: Palette) -> QPen:
    pen: QPen = pg.mkPen(palette.text, width=1.5, style=Qt.PenStyle.DashLine)
    return pen

"""The loss while a network learns, and the learning rate below it."""

from __future__ import annotations

import pyqtgraph as pg
from qtpy.QtCore import QSize, Qt, QTimer
from qtpy.QtGui import QColor, QPen
from qtpy.QtWidgets import QCheckBox, QSizePolicy, QVBoxLayout, QWidget

from napari_unet.runs.curve import Curve
from napari_unet.widgets.qt.style import Palette

REPAINT_MS = 1000
HEIGHT, RATE_HEIGHT = 156, 80
"""Of the two plots in pixels; the lower one has the axis of the steps, half of its height."""

LEFT = 60
"""Width of the left axes in pixels: the same, so that a step is at the same place in both."""


class LossPlot(QWidget):
    """Losses and learning rate against the step, in the colours of the theme.

    Points may come as fast as they like: it repaints at most once a second, and never
    draws more than a thousand points per curve.
    """

    def __init__(self, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.training, self.validation = Curve(), Curve()
        self._plot, self.rate = pg.PlotWidget(self), RatePlot(palette)
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
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(REPAINT_MS)
        self._timer.timeout.connect(self.repaint_now)
        self._arrange()
        self.set_palette(palette)

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Return the size at which it is easy to read."""
        return QSize(300, HEIGHT + RATE_HEIGHT + 24)

    def add_step(self, step: int, loss: float, rate: float) -> None:
        """Add a point to the curves of the training and of the learning rate."""
        self.training.append(step, loss)
        self.rate.series.append(step, rate)
        self._repaint_soon()

    def add_validation(self, step: int, loss: float) -> None:
        """Add a point to the curve of the validation."""
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
        """Draw a line at the step that is looked at; None: no line."""
        for line in (self._mark, self.rate.line):
            line.setVisible(step is not None)
            if step is not None:
                line.setPos(step)

    def repaint_now(self) -> None:
        """Draw all points there are."""
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
        # The steps are named once, below: here only the grid's lines need the axis.
        item.getAxis("bottom").setStyle(showValues=False, tickLength=0)
        item.getAxis("bottom").setHeight(5)
        self._legend = item.addLegend(offset=(-4, 4), labelTextSize="8pt", verSpacing=-6)
        self.rate.setXLink(self._plot)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    def _repaint_soon(self) -> None:
        if not self._timer.isActive():
            self._timer.start()


class RatePlot(pg.PlotWidget):  # type: ignore[misc]
    """The learning rate against the step: a low strip that starts at zero.

    Attributes
    ----------
    series : Curve
        The points; drawn by `repaint_now`.
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
        # A label may reach beyond the end of the axis, which pyqtgraph allows without a grid only.
        item.showGrid(y=False)
        left.setStyle(hideOverlappingLabels=False, tickLength=0)
        self.setToolTip("The learning rate at each step.")
        self.set_palette(palette)
        self.repaint_now()

    def repaint_now(self) -> None:
        """Draw all points there are; the axis names only zero and the highest rate."""
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
    """Make a plot to look at, without menu, mouse and buttons; return its item."""
    item = plot.getPlotItem()
    item.layout.setContentsMargins(1, 1, 1, 0)
    item.showGrid(x=True, y=True, alpha=0.15)
    item.getAxis("left").setWidth(LEFT)
    item.setMenuEnabled(False)
    # pyqtgraph makes its menu all the same, and leaves it behind when the plot is destroyed.
    menu = item.getMenu()
    menu.setParent(plot, menu.windowFlags())
    item.setMouseEnabled(False, False)
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
    """Put a line that marks a step into a plot, hidden at first; no plot stretches for it."""
    line = pg.InfiniteLine(angle=90, movable=False)
    line.hide()
    plot.addItem(line, ignoreBounds=True)
    return line


def _mark_pen(palette: Palette) -> QPen:
    pen: QPen = pg.mkPen(palette.text, width=1.5, style=Qt.PenStyle.DashLine)
    return pen

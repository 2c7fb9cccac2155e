"""The loss while a network learns."""

from __future__ import annotations

import pyqtgraph as pg
from qtpy.QtCore import QSize, Qt, QTimer
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QCheckBox, QSizePolicy, QVBoxLayout, QWidget

from napari_unet.widgets.series import Series
from napari_unet.widgets.theme import Palette

REPAINT_MS = 1000
HEIGHT = 190


class LossPlot(QWidget):
    """Training and validation loss against the step, in the colours of the theme.

    Points may come as fast as they like: it repaints at most once a second, and never
    draws more than a thousand points per curve.
    """

    def __init__(self, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.training, self.validation = Series(), Series()
        self._plot = pg.PlotWidget(self)
        self._raw = self._plot.plot()
        self._smooth = self._plot.plot(name="training")
        self._held_out = self._plot.plot(name=None)
        self._mark = pg.InfiniteLine(angle=90, movable=False)
        self._mark.hide()
        self.log = QCheckBox("Logarithmic scale")
        self.log.setToolTip("Show the loss on a logarithmic scale.")
        self.log.toggled.connect(lambda on: self._plot.setLogMode(y=on))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self._plot)
        layout.addWidget(self.log, alignment=Qt.AlignmentFlag.AlignRight)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(REPAINT_MS)
        self._timer.timeout.connect(self.repaint_now)
        self._arrange()
        self.set_palette(palette)

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Return the size at which it is easy to read."""
        return QSize(300, HEIGHT + 24)

    def add_step(self, step: int, loss: float) -> None:
        """Add a point to the curve of the training."""
        self.training.append(step, loss)
        self._repaint_soon()

    def add_validation(self, step: int, loss: float) -> None:
        """Add a point to the curve of the validation."""
        self.validation.append(step, loss)
        self._repaint_soon()

    def clear(self) -> None:
        """Remove all points."""
        self.training.clear()
        self.validation.clear()
        self.mark(None)
        self.repaint_now()

    def mark(self, step: int | None) -> None:
        """Draw a line at the step that is looked at; None: no line."""
        self._mark.setVisible(step is not None)
        if step is not None:
            self._mark.setPos(step)

    def repaint_now(self) -> None:
        """Draw all points there are."""
        self._raw.setData(*self.training.points())
        self._smooth.setData(*self.training.smooth())
        self._held_out.setData(*self.validation.points())

    def set_palette(self, palette: Palette) -> None:
        """Take the colours of a theme."""
        self._plot.setBackground(palette.background)
        for side in ("left", "bottom"):
            axis = self._plot.getAxis(side)
            axis.setPen(pg.mkPen(palette.secondary))
            axis.setTextPen(pg.mkPen(palette.text))
        faint = QColor(palette.accent)
        faint.setAlpha(90)
        self._raw.setPen(pg.mkPen(faint, width=1))
        self._smooth.setPen(pg.mkPen(palette.accent, width=2))
        self._held_out.setPen(pg.mkPen(palette.contrast, width=1.5))
        self._held_out.setSymbol("o")
        self._held_out.setSymbolSize(5)
        self._held_out.setSymbolBrush(palette.contrast)
        self._held_out.setSymbolPen(None)
        dashed = Qt.PenStyle.DashLine
        self._mark.setPen(pg.mkPen(palette.text, width=1.5, style=dashed))
        self._name_curves(palette)

    def _name_curves(self, palette: Palette) -> None:
        self._legend.setLabelTextColor(palette.text)
        self._legend.clear()
        self._legend.addItem(self._smooth, "training")
        self._legend.addItem(self._held_out, "validation")

    def _arrange(self) -> None:
        item = self._plot.getPlotItem()
        item.addItem(self._mark, ignoreBounds=True)
        item.layout.setContentsMargins(1, 1, 1, 6)  # or the name of the axis is cut off
        item.setLabel("bottom", "step")
        item.setLabel("left", "loss")
        item.showGrid(x=True, y=True, alpha=0.15)
        item.setMenuEnabled(False)
        # pyqtgraph makes its menu all the same, and leaves it behind when the plot is destroyed.
        menu = item.getMenu()
        menu.setParent(self._plot, menu.windowFlags())
        item.setMouseEnabled(False, False)
        item.hideButtons()
        self._legend = item.addLegend(offset=(-4, 4), labelTextSize="8pt", verSpacing=-6)
        self._plot.setFixedHeight(HEIGHT)
        self._plot.setMinimumWidth(200)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    def _repaint_soon(self) -> None:
        if not self._timer.isActive():
            self._timer.start()

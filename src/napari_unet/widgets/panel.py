"""The panel: both pages, one for each viewer, in a dock of the viewer's window."""

from __future__ import annotations

from typing import Any, Literal

import napari
from napari import Viewer
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import (
    QDockWidget,
    QMainWindow,
    QSizePolicy,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from napari_unet.errors import InputError
from napari_unet.widgets import paint_here_next, run_prediction, toggle_training
from napari_unet.widgets.models import NamedModel, Session
from napari_unet.widgets.predict.page import PredictPage
from napari_unet.widgets.qt.style import Palette, later, style_sheet
from napari_unet.widgets.train.page import TrainPage

Page = Literal["train", "predict"]
TOGGLE_KEY, PREDICT_KEY, GUIDE_KEY = "Shift-T", "Shift-R", "Shift-N"


class UNetPanel(QWidget):
    """Train and Predict, side by side.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer whose layers it works with.
    """

    def __init__(self, viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.session = Session.of(viewer)
        self.train, self.predict = (
            TrainPage(viewer, self.session),
            PredictPage(viewer, self.session),
        )
        self.tabs = QTabWidget()
        self.tabs.addTab(self.train, "Train")
        self.tabs.addTab(self.predict, "Predict")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.tabs)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self.train.predictionWanted.connect(self._predict)
        viewer.events.theme.connect(self._theme_changed)
        # The manifest declares them as well, but napari 0.9 binds no keys of plugins.
        viewer.bind_key(TOGGLE_KEY, toggle_training, overwrite=True)
        viewer.bind_key(PREDICT_KEY, run_prediction, overwrite=True)
        viewer.bind_key(GUIDE_KEY, paint_here_next, overwrite=True)
        # A closed viewer may live on in a notebook's variable, and its processes with it.
        self.destroyed.connect(self.session.worker.close)
        self._theme_changed()

    def show_page(self, page: Page) -> None:
        """Bring a page to the front."""
        self.tabs.setCurrentWidget(self.train if page == "train" else self.predict)

    def release(self) -> None:
        """End what runs, and follow the viewer no longer."""
        for key in (TOGGLE_KEY, PREDICT_KEY, GUIDE_KEY):
            self._viewer.bind_key(key, None, overwrite=True)
        self._viewer.events.theme.disconnect(self._theme_changed)
        self.train.runner.stop()
        self.predict.runner.stop()
        self.train.release()
        self.predict.release()
        self.destroyed.disconnect(self.session.worker.close)
        self.session.worker.close()

    def _predict(self, model: NamedModel, layer: Any) -> None:
        self.show_page("predict")
        self.predict.choose(model, layer)
        self.predict.start()

    def _theme_changed(self, event: Any = None) -> None:  # noqa: ARG002 - napari passes it
        palette = Palette.of(self._viewer.theme)
        self.setStyleSheet(style_sheet(palette))
        self.train.set_palette(palette)


class PanelHost(QWidget):
    """What napari docks: it holds the viewer's panel for as long as it is the one in use.

    napari makes a dock for each of its menu's entries, and gives it the entry's name. There is
    one panel all the same: it moves from the dock of one entry to that of the other.
    """

    def __init__(self, panel: UNetPanel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.panel: UNetPanel | None = panel
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(panel)
        # napari pads what does not want to be tall with empty space below.
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)

    def hand_over(self) -> UNetPanel:
        """Return the panel and hold it no longer."""
        panel, self.panel = self.panel, None
        assert panel is not None
        return panel

    def event(self, event: QEvent | None) -> bool:
        """Notice that the dock is closed: napari then takes this out of it."""
        changed = event is not None and event.type() == QEvent.Type.ParentChange
        if changed and self.parent() is None:
            if self.panel is not None:
                self.panel.release()
                self.panel = None
            self.deleteLater()
        return super().event(event)


def open_panel(viewer: Viewer | None, page: Page) -> PanelHost:
    """Return a widget for napari to dock, which holds the viewer's panel.

    Parameters
    ----------
    viewer : napari.Viewer, optional
        The viewer; the one in use when None.
    page : {"train", "predict"}
        What to show of it.

    Raises
    ------
    InputError
        Where there is no viewer.
    """
    viewer = _real(viewer)
    before = find_host(viewer)
    panel = UNetPanel(viewer) if before is None else before.hand_over()
    host = PanelHost(panel)
    panel.show_page(page)
    if before is not None:
        _take_place(viewer, before, host)
    return host


def find_host(viewer: Viewer) -> PanelHost | None:
    """Return what holds the viewer's panel, None where there is no panel."""
    docked = viewer.window.dock_widgets.values()
    hosts = (widget for widget in docked if isinstance(widget, PanelHost))
    return next((host for host in hosts if host.panel is not None), None)


def find_panel(viewer: Viewer | None) -> UNetPanel | None:
    """Return the viewer's panel, None where it is not open."""
    host = find_host(_real(viewer))
    return None if host is None else host.panel


def _real(viewer: Viewer | None) -> Viewer:
    """Return the viewer itself: comparing the layers of napari's proxy for plugins would fail."""
    found = viewer if viewer is not None else napari.current_viewer()
    if found is None:
        raise InputError("There is no viewer", todo="Start napari first")
    real: Viewer = getattr(found, "__wrapped__", found)
    return real


def _take_place(viewer: Viewer, before: PanelHost, host: PanelHost) -> None:
    """Close the dock of the other entry; put the new one where that was."""
    old, window = _dock_of(before)
    floating, geometry, area = old.isFloating(), old.geometry(), window.dockWidgetArea(old)
    viewer.window.remove_dock_widget(before)

    def place() -> None:
        new, window = _dock_of(host)
        if floating:
            new.setFloating(True)
            new.setGeometry(geometry)
        elif window.dockWidgetArea(new) != area:
            window.addDockWidget(area, new)

    # napari docks it when this is over.
    later(host, place)


def _dock_of(host: PanelHost) -> tuple[QDockWidget, QMainWindow]:
    dock = host.parentWidget()
    assert isinstance(dock, QDockWidget)
    window = dock.parentWidget()
    assert isinstance(window, QMainWindow)
    return dock, window

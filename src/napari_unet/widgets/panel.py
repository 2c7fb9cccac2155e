"""The panel, of which each viewer has one, and the commands that the plugin's manifest names."""

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
from napari_unet.widgets.models import NamedModel, Session
from napari_unet.widgets.predict.page import PredictPage
from napari_unet.widgets.qt.style import Palette, later, style_sheet
from napari_unet.widgets.qt.subscriptions import Subscriptions
from napari_unet.widgets.train.page import TrainPage

Page = Literal["train", "predict"]

PLUGIN = "napari-unet-live"
"""The name under which napari knows this plugin."""

TOGGLE_KEY = "Shift-T"
"""Starts or stops the training."""

PREDICT_KEY = "Shift-R"
"""Predicts the chosen image."""

GUIDE_KEY = "Shift-N"
"""Goes to the place where the next stroke would help most."""


class UNetPanel(QWidget):
    """The Train and the Predict page, as tabs.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer whose layers it works with.
    parent : QWidget, optional
        The Qt parent.
    """

    def __init__(self, viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.session = Session.of(viewer)
        self.train = TrainPage(viewer, self.session)
        self.predict = PredictPage(viewer, self.session)
        self._subscriptions = Subscriptions()
        self.tabs = QTabWidget()
        self.tabs.addTab(self.train, "Train")
        self.tabs.addTab(self.predict, "Predict")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.tabs)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self.train.predictionWanted.connect(self._predict)
        self.train.began.connect(self.predict.end_comparison)
        self.predict.prediction.beginning.connect(self.train.live.make_room)
        self.predict.prediction.discarded.connect(self.train.live.show_again)
        self._subscriptions.connect(self._theme_changed, viewer.events.theme)
        # The manifest declares them as well, but napari 0.9 binds no keys of plugins.
        viewer.bind_key(TOGGLE_KEY, toggle_training, overwrite=True)
        viewer.bind_key(PREDICT_KEY, run_prediction, overwrite=True)
        viewer.bind_key(GUIDE_KEY, paint_here_next, overwrite=True)
        # A closed viewer may stay in a variable of a notebook, and would keep its processes.
        self.destroyed.connect(self.session.worker.close)
        self._theme_changed()

    def show_page(self, page: Page) -> None:
        """Bring a page to the front."""
        self.tabs.setCurrentWidget(self.train if page == "train" else self.predict)

    def release(self) -> None:
        """Stop what runs, and follow the viewer no longer."""
        for key in (TOGGLE_KEY, PREDICT_KEY, GUIDE_KEY):
            self._viewer.bind_key(key, None, overwrite=True)
        self._subscriptions.release()
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
    """The widget that napari docks, which contains the viewer's panel.

    napari makes one dock per entry of its menu, and names it after the entry. There is only one
    panel: it moves from the dock of one entry to that of the other.

    Parameters
    ----------
    panel : UNetPanel
        The panel to contain.
    parent : QWidget, optional
        The Qt parent.
    """

    def __init__(self, panel: UNetPanel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.panel: UNetPanel | None = panel
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(panel)
        # Below a widget that does not expand napari adds empty space.
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)

    def hand_over(self) -> UNetPanel:
        """Return the panel, which another host will contain from now on."""
        panel, self.panel = self.panel, None
        assert panel is not None
        return panel

    def event(self, event: QEvent | None) -> bool:
        """Release the panel when the dock is closed: napari then takes this widget out of it."""
        changed = event is not None and event.type() == QEvent.Type.ParentChange
        if changed and self.parent() is None:
            if self.panel is not None:
                self.panel.release()
                self.panel = None
            self.deleteLater()
        return super().event(event)


def open_panel(viewer: Viewer | None, page: Page) -> PanelHost:
    """Return a widget for napari to dock, which contains the viewer's panel.

    Parameters
    ----------
    viewer : napari.Viewer, optional
        The viewer; the current one when None.
    page : {"train", "predict"}
        The page in front.

    Raises
    ------
    InputError
        Where there is no viewer.
    """
    viewer = _without_proxy(viewer)
    before = find_host(viewer)
    panel = UNetPanel(viewer) if before is None else before.hand_over()
    host = PanelHost(panel)
    panel.show_page(page)
    if before is not None:
        _take_place(viewer, before, host)
    return host


def find_host(viewer: Viewer) -> PanelHost | None:
    """Return the widget that contains the viewer's panel, None where there is no panel."""
    docked = viewer.window.dock_widgets.values()
    hosts = (widget for widget in docked if isinstance(widget, PanelHost))
    return next((host for host in hosts if host.panel is not None), None)


def find_panel(viewer: Viewer | None) -> UNetPanel | None:
    """Return the viewer's panel, None where it is not open."""
    host = find_host(_without_proxy(viewer))
    return None if host is None else host.panel


def _without_proxy(viewer: Viewer | None) -> Viewer:
    """Return the viewer itself: layers of napari's proxy for plugins cannot be compared."""
    found = viewer if viewer is not None else napari.current_viewer()
    if found is None:
        raise InputError("There is no viewer", todo="Start napari first")
    real: Viewer = getattr(found, "__wrapped__", found)
    return real


def _take_place(viewer: Viewer, before: PanelHost, host: PanelHost) -> None:
    """Close the dock of the other entry, and put the new one in its place."""
    old, window = _dock_of(before)
    floating, geometry = old.isFloating(), old.geometry()
    area = window.dockWidgetArea(old)
    viewer.window.remove_dock_widget(before)

    def place() -> None:
        new, window = _dock_of(host)
        if floating:
            new.setFloating(True)
            new.setGeometry(geometry)
        elif window.dockWidgetArea(new) != area:
            window.addDockWidget(area, new)

    # napari docks the widget after the function that makes it has returned.
    later(host, place)


def _dock_of(host: PanelHost) -> tuple[QDockWidget, QMainWindow]:
    dock = host.parentWidget()
    assert isinstance(dock, QDockWidget)
    window = dock.parentWidget()
    assert isinstance(window, QMainWindow)
    return dock, window


def make_train_panel(napari_viewer: Viewer | None = None) -> PanelHost:
    """Return the panel, for napari to dock, with the Train page in front.

    There is one panel per viewer. If it is open, it moves to where napari puts what this returns.

    Parameters
    ----------
    napari_viewer : napari.Viewer, optional
        The viewer; the current one when None.
    """
    return open_panel(napari_viewer, "train")


def make_predict_panel(napari_viewer: Viewer | None = None) -> PanelHost:
    """Return the same panel with the Predict page in front; see `make_train_panel`."""
    return open_panel(napari_viewer, "predict")


def toggle_training(napari_viewer: Viewer) -> None:
    """Start the training, or stop the one that runs; without a panel, open it."""
    panel = find_panel(napari_viewer)
    if panel is None:
        napari_viewer.window.add_plugin_dock_widget(PLUGIN, "Train")
    else:
        panel.show_page("train")
        panel.train.toggle()


def run_prediction(napari_viewer: Viewer) -> None:
    """Predict the chosen image with the chosen model; without a panel, open it."""
    panel = find_panel(napari_viewer)
    if panel is None:
        napari_viewer.window.add_plugin_dock_widget(PLUGIN, "Predict")
    else:
        panel.show_page("predict")
        panel.predict.start()


def paint_here_next(napari_viewer: Viewer) -> None:
    """Go to the place where the next stroke would help most; without a panel, open it."""
    panel = find_panel(napari_viewer)
    if panel is None:
        napari_viewer.window.add_plugin_dock_widget(PLUGIN, "Train")
    else:
        panel.train.paint_here()

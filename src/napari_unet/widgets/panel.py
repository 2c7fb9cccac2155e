"""The panel, of which each viewer has one, and the commands that the plugin's manifest names."""

from __future__ import annotations

from typing import Any, Literal
from weakref import WeakKeyDictionary, ref

import napari
from napari import Viewer
from qtpy.compat import isalive
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import (
    QDialog,
    QDockWidget,
    QLabel,
    QMainWindow,
    QSizePolicy,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from napari_unet.errors import InputError
from napari_unet.widgets.layers.view_geometry import ensure_view_direction
from napari_unet.widgets.models import NamedModel, Session
from napari_unet.widgets.predict.page import PredictPage
from napari_unet.widgets.qt.alert import JobAlert
from napari_unet.widgets.qt.style import Palette, later, style_sheet
from napari_unet.widgets.qt.subscriptions import Subscriptions
from napari_unet.widgets.train.page import TrainPage
from napari_unet.widgets.train.runs import Preference

Page = Literal["train", "predict"]

PLUGIN = "napari-unet-live"
"""The name under which napari knows this plugin."""

TITLE = "U-Net Live"
"""Title of the dock, whichever page is in front."""

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

    Attributes
    ----------
    viewer : napari.Viewer
        The same viewer.
    """

    def __init__(self, viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.session = Session.of(viewer)
        self.train = TrainPage(viewer, self.session)
        self.predict = PredictPage(viewer, self.session)
        self._subscriptions = Subscriptions()
        self.tabs = QTabWidget()
        self.tabs.setUsesScrollButtons(False)  # they would flash while a tab turns bold
        self.tabs.addTab(self.train, "Train")
        self.tabs.addTab(self.predict, "Predict")
        self.alert = JobAlert(self, Preference("alert/sound"))
        self.tabs.setCornerWidget(self.alert.button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.tabs)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self.train.predictionWanted.connect(self._predict)
        self.train.began.connect(self.predict.end_comparison)
        self.predict.prediction.beginning.connect(self.train.live.make_room)
        self.predict.prediction.discarded.connect(self.train.live.show_again)
        self._subscriptions.connect(self._theme_changed, viewer.events.theme)
        self._rests = False
        training, prediction = self.train.training, self.predict.prediction
        self.train.began.connect(lambda: self.alert.begin("Training"))
        prediction.beginning.connect(lambda _: self.alert.begin("Prediction"))
        training.ended.connect(lambda: self.alert.end("Training"))
        prediction.ended.connect(lambda: self.alert.end("Prediction"))
        for runs in (self.train.training, self.predict.prediction):
            runs.ended.connect(lambda: later(self, self._close_idle_worker))
        self._subscriptions.connect(self._display_changed, viewer.dims.events.ndisplay)
        self._display_changed()
        self._bind_keys()
        # A closed viewer may stay in a variable of a notebook, and would keep its processes.
        self.destroyed.connect(self.session.worker.close)
        self._theme_changed()

    def show_page(self, page: Page) -> None:
        """Bring a page to the front."""
        self.tabs.setCurrentWidget(self.train if page == "train" else self.predict)

    def rest(self) -> None:
        """Take previews out of the viewer and free the keys, for the dock is closed.

        What runs goes on, and all settings stay as they are until `wake`.
        """
        self._rests = True
        self._free_keys()
        for dialog in self.findChildren(QDialog):
            dialog.close()
        self.train.rest()
        self.predict.rest()
        self._close_idle_worker()

    def wake(self) -> None:
        """Go on as before `rest`, for the panel is opened again."""
        self._rests = False
        self._bind_keys()
        self.train.wake()
        self.predict.wake()

    def release(self) -> None:
        """Stop what runs, and follow the viewer no longer."""
        self._free_keys()
        self._subscriptions.release()
        self.train.runner.leave()
        self.predict.runner.leave()
        self.train.release()
        self.predict.release()
        self.destroyed.disconnect(self.session.worker.close)
        self.session.worker.close()

    def _bind_keys(self) -> None:
        # The manifest declares them as well, but napari 0.9 binds no keys of plugins.
        for key, command in (
            (TOGGLE_KEY, toggle_training),
            (PREDICT_KEY, run_prediction),
            (GUIDE_KEY, paint_here_next),
        ):
            self.viewer.bind_key(key, command, overwrite=True)

    def _free_keys(self) -> None:
        for key in (TOGGLE_KEY, PREDICT_KEY, GUIDE_KEY):
            self.viewer.bind_key(key, None, overwrite=True)

    def _close_idle_worker(self) -> None:
        """End the processes of a panel that is closed, unless something runs in them."""
        busy = self.train.runner.running or self.predict.runner.running
        if self._rests and not busy and not self.predict.form.files.running:
            self.session.worker.close()

    def _predict(self, model: NamedModel, layers: tuple[Any, ...]) -> None:
        self.show_page("predict")
        self.predict.choose(model, *layers)
        self.predict.start()

    def _display_changed(self, event: Any = None) -> None:  # noqa: ARG002 - napari passes it
        ensure_view_direction(self.viewer)

    def _theme_changed(self, event: Any = None) -> None:  # noqa: ARG002 - napari passes it
        palette = Palette.of(self.viewer.theme)
        self.setStyleSheet(style_sheet(palette))
        self.train.set_palette(palette)


class PanelHost(QWidget):
    """The widget that napari docks, which contains the viewer's panel.

    napari makes one dock per entry of its menu, and names it after the entry. There is only one
    panel: it moves from the dock of one entry to that of the other. When the dock is closed, the
    panel is kept, out of sight, in the viewer's window: a training goes on, and all that was set
    is still there when it is opened again.

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
        """Keep the panel when the dock is closed: napari then takes this widget out of it.

        Where it is docked, the dock gets its title.
        """
        changed = event is not None and event.type() == QEvent.Type.ParentChange
        dock = self.parent()
        if changed and isinstance(dock, QDockWidget):
            dock.topLevelChanged.connect(self._name_soon)
            dock.dockLocationChanged.connect(self._name_soon)
            self._name_soon()
        if changed and self.parent() is None:
            if self.panel is not None:
                _keep(self.hand_over())
            self.deleteLater()
        return super().event(event)

    def _name_soon(self, _: Any = None) -> None:
        later(self, self._name_dock)

    def _name_dock(self) -> None:
        """Name the dock after the plugin; napari names it after the menu's entry, a page."""
        dock = self.parent()
        if not isinstance(dock, QDockWidget):
            return
        bar = dock.titleBarWidget()
        for label in [] if bar is None else bar.findChildren(QLabel):
            if label.text() == dock.windowTitle() or label.text() == getattr(dock, "name", ""):
                label.setText(TITLE)
        dock.setWindowTitle(TITLE)


_closed: WeakKeyDictionary[Viewer, ref[UNetPanel]] = WeakKeyDictionary()
"""The panels whose docks are closed; their Qt parents, the viewers' windows, keep them."""


def _keep(panel: UNetPanel) -> None:
    """Keep the panel of a dock that is closed, out of sight, as long as there is the window."""
    panel.hide()
    panel.setParent(panel.viewer.window._qt_window)  # napari has no public name for it
    panel.rest()
    _closed[panel.viewer] = ref(panel)


def _take_closed(viewer: Viewer) -> UNetPanel | None:
    """Return the panel whose dock was closed, which goes on; None where there is none."""
    reference = _closed.pop(viewer, None)
    panel = None if reference is None else reference()
    if panel is None or not isalive(panel):
        return None
    panel.wake()
    return panel


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
    known = _take_closed(viewer) if before is None else before.hand_over()
    panel = known or UNetPanel(viewer)
    host = PanelHost(panel)
    panel.show()
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

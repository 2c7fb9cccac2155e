"""The panel in napari. Nothing but these few functions is imported before it is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import napari.viewer
    from qtpy.QtWidgets import QWidget

__all__ = [
    "make_predict_panel",
    "make_train_panel",
    "paint_here_next",
    "run_prediction",
    "toggle_training",
]

PLUGIN = "napari-unet-live"


def make_train_panel(napari_viewer: napari.viewer.Viewer | None = None) -> QWidget:
    """Return the panel, for napari to dock, with the Train page in front.

    There is one panel per viewer. If it is open, it moves to where napari puts what this returns.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer, optional
        The viewer; the one in use when None.
    """
    from napari_unet.widgets.panel import open_panel

    return open_panel(napari_viewer, "train")


def make_predict_panel(napari_viewer: napari.viewer.Viewer | None = None) -> QWidget:
    """Return the same panel with the Predict page in front; see `make_train_panel`."""
    from napari_unet.widgets.panel import open_panel

    return open_panel(napari_viewer, "predict")


def toggle_training(napari_viewer: napari.viewer.Viewer) -> None:
    """Start the training, or stop the one that runs; without a panel, open it."""
    from napari_unet.widgets.panel import find_panel

    panel = find_panel(napari_viewer)
    if panel is None:
        napari_viewer.window.add_plugin_dock_widget(PLUGIN, "Train")
    else:
        panel.show_page("train")
        panel.train.toggle()


def run_prediction(napari_viewer: napari.viewer.Viewer) -> None:
    """Predict the chosen image with the chosen model; without a panel, open it."""
    from napari_unet.widgets.panel import find_panel

    panel = find_panel(napari_viewer)
    if panel is None:
        napari_viewer.window.add_plugin_dock_widget(PLUGIN, "Predict")
    else:
        panel.show_page("predict")
        panel.predict.start()


def paint_here_next(napari_viewer: napari.viewer.Viewer) -> None:
    """Go to where the next stroke would help most; without a panel, open it."""
    from napari_unet.widgets.panel import find_panel

    panel = find_panel(napari_viewer)
    if panel is None:
        napari_viewer.window.add_plugin_dock_widget(PLUGIN, "Train")
    else:
        panel.train.paint_here()

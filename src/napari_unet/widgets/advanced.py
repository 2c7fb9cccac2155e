"""The settings that most people never need, and what network they lead to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_unet.errors import NapariUnetError
from napari_unet.tasks.segment_options import SegmentOptions
from napari_unet.widgets.form import ModelForm
from napari_unet.widgets.network import NetworkTable
from napari_unet.widgets.request import TrainRequest
from napari_unet.widgets.worker import EventRunner

ELSEWHERE = frozenset(
    {
        "axes",
        "class_colors",
        "class_names",
        "network",
        "rgb",
        "seconds",
        "size",
        "spacing",
        "steps",
        "zero",
    }
)
"""Options that follow from the layers, or have a place above."""

REPLAN_MS = 300


class AdvancedSettings(QWidget):
    """All options of a training in a form, and the resulting network.

    Parameters
    ----------
    request : callable
        Returns the training as it is set now; raises `NapariUnetError` where it cannot be.
    """

    def __init__(self, request: Callable[[], TrainRequest], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._request = request
        self.form = ModelForm(SegmentOptions, exclude=ELSEWHERE)
        self.network = NetworkTable()
        # In a thread, for it may look through large labels and has to import torch.
        self._planner = EventRunner(self)
        self._due = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(REPLAN_MS)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.form)
        layout.addWidget(self.network)
        self.form.valueChanged.connect(self.replan)
        self._timer.timeout.connect(self._plan)
        self._planner.happened.connect(self.network.set_network)
        self._planner.failed.connect(self._no_network)
        self._planner.ended.connect(self._plan_again)

    def changes(self) -> dict[str, Any]:
        """Return the options that differ from the defaults.

        Raises
        ------
        InputError
            Where one is out of its range.
        """
        return self.form.changes()

    def replan(self) -> None:
        """Show, in a moment, the network that the settings lead to now."""
        if self.isVisible():
            self._timer.start()

    def _plan(self) -> None:
        if self._planner.running:
            self._due = True
            return
        try:
            request = self._request()
        except NapariUnetError as error:
            self._no_network(error)
        else:
            self._planner.start_call(request.network)

    def _plan_again(self) -> None:
        if self._due:
            self._due = False
            self._plan()

    def _no_network(self, error: NapariUnetError) -> None:
        self.network.set_network(None, str(error))

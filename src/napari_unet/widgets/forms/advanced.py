"""The settings that most people never need, and what network they lead to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_unet.errors import NapariUnetError
from napari_unet.network.architecture import Architecture
from napari_unet.tasks.network_options import NetworkOptions
from napari_unet.tasks.segmentation.options import SegmentOptions
from napari_unet.widgets.forms.model_form import ModelForm
from napari_unet.widgets.forms.network import NetworkTable
from napari_unet.widgets.qt.event_thread import EventRunner

ELSEWHERE = frozenset(
    {
        "axes",
        "checkpoint",
        "checkpoint_seconds",
        "class_colors",
        "class_names",
        "method",
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


class Planned(Protocol):
    """A training that is not begun yet."""

    def network(self) -> Architecture:
        """Return the network that would be trained; called in a thread."""


class AdvancedSettings(QWidget):
    """All options of a training in a form, and the resulting network.

    Parameters
    ----------
    request : callable
        Returns the training as it is set now; raises `NapariUnetError` where it cannot be.
    options : NetworkOptions, optional
        What is shown at first, and what fields have that are set elsewhere unless `value` is
        given them.
    """

    def __init__(
        self,
        request: Callable[[], Planned],
        options: NetworkOptions | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._request = request
        options = options or SegmentOptions()
        self.form = ModelForm(type(options), exclude=ELSEWHERE)
        self.form.setValue(options)
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

    def value(self, given: Mapping[str, Any] | None = None) -> NetworkOptions:
        """Return all options.

        Parameters
        ----------
        given : mapping, optional
            The fields that are set elsewhere.

        Raises
        ------
        InputError
            Where one is out of its range.
        """
        return self.form.value(given)

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

"""The options that most users leave as they are, and the network that follows from all options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLineEdit, QPushButton, QVBoxLayout, QWidget
from superqt.utils import qdebounced

from napari_unet.errors import NapariUnetError
from napari_unet.tasks.network_options import NetworkOptions
from napari_unet.tasks.plan import TrainingPlan
from napari_unet.tasks.segmentation.options import SegmentOptions
from napari_unet.widgets.forms.grouped_form import GroupedForm
from napari_unet.widgets.forms.network import NetworkTable
from napari_unet.widgets.qt.event_thread import EventRunner, LatestOnly

ELSEWHERE = frozenset(
    {
        "axes",
        "channel_names",
        "checkpoint",
        "checkpoint_seconds",
        "class_colors",
        "class_names",
        "merge_labels",
        "method",
        "network",
        "open_ended",
        "region",
        "rgb",
        "seconds",
        "size",
        "spacing",
        "steps",
        "zero",
    }
)
"""Options that follow from the layers, or have a field outside of "Advanced"."""

REPLAN_MS = 300
"""Milliseconds without another change after which the training is planned anew."""


class Planned(Protocol):
    """A training that can be planned."""

    def plan(self) -> TrainingPlan:
        """Return its plan; called in a thread."""


PENDING = "The layers of the network are listed here as soon as it can be trained."
"""What is shown in place of a network; why there is none, the form says."""


class AdvancedSettings(QWidget):
    """A form of the options of a training, and a table of the resulting network.

    Parameters
    ----------
    request : callable
        Returns the training as it is set now; raises `NapariUnetError` if it cannot be trained.
    options : NetworkOptions, optional
        What is shown at first. Fields that are set elsewhere have these values unless they are
        given to `value`.

    Attributes
    ----------
    planned : Signal(object)
        The training is planned anew: a `TrainingPlan`; the `NapariUnetError` where layers and
        options do not fit together; None where something is not chosen yet.
    """

    planned = Signal(object)

    def __init__(
        self,
        request: Callable[[], Planned],
        options: NetworkOptions | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._request = request
        options = options or SegmentOptions()
        self.form = GroupedForm(options, exclude=ELSEWHERE)
        self.search = QLineEdit()
        self.search.setPlaceholderText("Search options …")
        self.search.setAccessibleName("Search options")
        self.search.setToolTip("Show only options whose name or description has these words.")
        self.search.setClearButtonEnabled(True)
        self.reset = QPushButton("Reset")
        self.reset.setToolTip("Set all options below to their defaults.")
        self.reset.setEnabled(False)
        self.network = NetworkTable()
        # In a thread, for it may look through large labels.
        self._planner = EventRunner(self)
        self._latest = LatestOnly(self._planner)
        self._replan_soon = qdebounced(self._latest.request, timeout=REPLAN_MS)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        top = QHBoxLayout()
        top.addWidget(self.search, 1)
        top.addWidget(self.reset)
        layout.addLayout(top)
        layout.addWidget(self.form)
        layout.addWidget(self.network)
        self.search.textChanged.connect(self.form.show_matches)
        self.reset.clicked.connect(self.form.reset)
        self.form.changedFields.connect(lambda names: self.reset.setEnabled(bool(names)))
        self.form.valueChanged.connect(lambda: self.replan(hidden=True))
        self._latest.due.connect(self._plan)
        self._planner.happened.connect(self._show_plan)
        self._planner.failed.connect(self._show_problem)

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

    def replan(self, *, hidden: bool = False) -> None:
        """Plan the training anew in a moment, and show its network.

        Parameters
        ----------
        hidden : bool
            Whether to plan even while this form is hidden.
        """
        if hidden or self.isVisible():
            self._replan_soon()

    def _plan(self) -> None:
        try:
            request = self._request()
        except NapariUnetError:
            self.network.set_network(None, PENDING)
            self.planned.emit(None)
        else:
            self._planner.start_call(request.plan)

    def _show_plan(self, plan: TrainingPlan) -> None:
        self.network.set_network(plan.network)
        self.planned.emit(plan)

    def _show_problem(self, error: NapariUnetError) -> None:
        self.network.set_network(None, PENDING)
        self.planned.emit(error)

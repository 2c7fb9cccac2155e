"""The offer to go on with a training that was interrupted when the viewer was closed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from napari import Viewer
from napari.layers import Layer
from qtpy.QtCore import QObject, Signal

from napari_unet.display import clock
from napari_unet.runs.unfinished import UnfinishedRun, find_unfinished
from napari_unet.widgets.qt.event_thread import EventRunner
from napari_unet.widgets.qt.notices import NoticeAction, NoticeBoard
from napari_unet.widgets.qt.subscriptions import Subscriptions

OFFER = "unfinished"
"""Topic: that there is a training to go on with."""


class UnfinishedOffer(QObject):
    """Looks for an interrupted training, and offers to go on with it, by a notice with buttons.

    Going on needs the layers that were learned from: they are found by their names. Until they
    are open the notice says so; the model can be used without them.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    notice : NoticeBoard
        Where it is offered.
    parent : QObject
        Its Qt parent, which deletes it.

    Attributes
    ----------
    chosen : Signal(object, object)
        Go on with this `UnfinishedRun`, on these layers: a list of tuples.
    modelChosen : Signal(object)
        Use the model of this `UnfinishedRun`.
    run : UnfinishedRun, optional
        What is offered.
    """

    chosen = Signal(object, object)
    modelChosen = Signal(object)  # noqa: N815 - Qt's way of naming

    def __init__(self, viewer: Viewer, notice: NoticeBoard, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._notice = notice
        self.run: UnfinishedRun | None = None
        self._finder = EventRunner(self)
        self._finder.happened.connect(self._take)
        self._subscriptions = Subscriptions()

    def look(self, folder: Path) -> None:
        """Look for an interrupted training in a thread, and offer it if there is one."""
        if not self._finder.running:
            self._finder.start_call(partial(find_unfinished, folder))

    def end(self) -> None:
        """Offer nothing any more."""
        self.run = None
        self._subscriptions.release()
        self._notice.end(OFFER)

    def release(self) -> None:
        """Stop, and disconnect from the viewer."""
        self._finder.abandon()
        self._subscriptions.release()

    def layers(self) -> list[tuple[Layer, ...]] | None:
        """Return the layers that were learned from; None where one is not open."""
        layers = self._viewer.layers
        names = () if self.run is None else self.run.layers
        if not names or any(name not in layers for pair in names for name in pair):
            return None
        return [tuple(layers[name] for name in pair) for pair in names]

    def _take(self, run: UnfinishedRun | None) -> None:
        if run is None:
            return
        self.run = run
        events = self._viewer.layers.events
        self._subscriptions.connect(self._show, events.inserted, events.removed, events.renamed)
        self._show()

    def _show(self, event: Any = None) -> None:  # noqa: ARG002 - napari passes it
        """Say what there is to go on with, and what has to be open for it."""
        run = self.run
        if run is None:
            return
        text = describe(run, datetime.now().astimezone())
        missing = [n for pair in run.layers for n in pair if n not in self._viewer.layers]
        if missing:
            names = " and ".join(f"“{name}”" for name in missing)
            text += f" Open {names} to go on with it."
        tip = "Train on from that step, with the same settings."
        actions = [
            NoticeAction("Go on", self._go_on, tip),
            NoticeAction("Use its model", self._use_model, "Add it to the models, to start from."),
            NoticeAction("Dismiss", self._dismiss, "Keep its model among the runs, and forget it."),
        ]
        self._notice.say(OFFER, text, actions=actions)
        self._notice.buttons(OFFER)[0].setEnabled(not missing and bool(run.layers))

    def _go_on(self) -> None:
        layers = self.layers()
        if self.run is not None and layers is not None:
            self._end_with(partial(self.chosen.emit, self.run, layers))

    def _use_model(self) -> None:
        if self.run is not None:
            self._end_with(partial(self.modelChosen.emit, self.run))

    def _dismiss(self) -> None:
        if self.run is not None:
            self._end_with(self.run.dismiss)

    def _end_with(self, action: Callable[[], object]) -> None:
        self.end()
        action()


def describe(run: UnfinishedRun, now: datetime) -> str:
    """Return a sentence on an interrupted training.

    Parameters
    ----------
    run : UnfinishedRun
        The training.
    now : datetime
        The present time, with a time zone.
    """
    began = run.began.astimezone(now.tzinfo)
    days = (now.date() - began.date()).days
    when = {0: f"Today's training ({began:%H:%M})", 1: "Yesterday's training"}.get(
        days, f"The training of {began:%Y-%m-%d}"
    )
    name = run.layers[0][0] if run.layers and run.layers[0] else ""
    where = f" on “{name}”" if name else ""
    elapsed = clock(float(run.checkpoint.state["elapsed"]))
    return f"{when}{where} was interrupted at step {run.step:,} ({elapsed} of training)."

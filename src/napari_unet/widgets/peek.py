"""What a model says of the part in view, whatever moves: an earlier moment, or the last one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from napari_unet.control import Viewport
from napari_unet.inference.request import Request
from napari_unet.model import TrainedModel
from napari_unet.process.jobs import PreviewJob
from napari_unet.process.wire import Readable
from napari_unet.process.worker import Worker
from napari_unet.widgets.layers import RGBA, Picture
from napari_unet.widgets.live import LOOK_MS, LivePreview
from napari_unet.widgets.worker import EventRunner


class Peek(QObject):
    """Keeps a live preview up to date from a model that no longer changes.

    Parameters
    ----------
    preview : LivePreview
        Where it is shown; it also knows what is in view.
    worker : Worker
        Who computes.
    colors : callable
        Returns the colours of the classes, by label value.
    parent : QObject
        What it dies with.

    Attributes
    ----------
    failed : Signal(object)
        It could not be computed; a `NapariUnetError`.
    """

    failed = Signal(object)

    def __init__(
        self,
        preview: LivePreview,
        worker: Worker,
        colors: Callable[[], Mapping[int, RGBA]],
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._preview, self._worker, self._colors = preview, worker, colors
        self._model: TrainedModel | None = None
        self._picture: Picture | None = None
        self._mask: Any = None
        self._request = Request()
        self._shown: tuple[TrainedModel, Viewport] | None = None
        self._seen: Viewport | None = None
        self.runner = EventRunner(self)
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_MS)
        self._timer.timeout.connect(self._look)
        self.runner.happened.connect(self._show)
        self.runner.failed.connect(self._failed)

    def follow(
        self, model: TrainedModel, picture: Picture, request: Request, mask: Any = None
    ) -> None:
        """Show what a model says of what is in view, until told otherwise.

        `mask` tells which pixels are missing, as for `napari_unet.predict`.
        """
        self._model, self._picture, self._request, self._mask = model, picture, request, mask
        self._shown = None
        self._timer.start()
        self._look()

    @property
    def active(self) -> bool:
        """Whether it shows a model."""
        return self._model is not None

    def end(self) -> None:
        """Follow the view no longer."""
        self._timer.stop()
        self._model = self._picture = self._mask = None

    def _look(self) -> None:
        model, picture = self._model, self._picture
        view = self._preview.in_view() if self._preview.enabled else None
        if model is None or picture is None or view is None or self.runner.running:
            return
        if self._shown == (model, view):
            return
        still, self._seen = view == self._seen, view
        if not still and self._shown is not None:
            return  # it moves: wait until the user has found what to look at
        self._shown = (model, view)
        mask = None if self._mask is None else Readable(self._mask)
        job = PreviewJob(model, Readable(picture.data), self._request, view, mask)
        self.runner.start(partial(self._worker.run, job))

    def _show(self, previewed: object) -> None:
        # Meanwhile the user may have gone back to the present.
        if self._model is not None and self._shown is not None and self._shown[0] is self._model:
            self._preview.show(previewed, dict(self._colors()))  # type: ignore[arg-type]

    def _failed(self, error: object) -> None:
        self.end()
        self.failed.emit(error)

"""Eight random changes of a patch, drawn anew whenever something is set otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QRect, QSize, Qt, QTimer
from qtpy.QtGui import QImage, QPainter, QPaintEvent
from qtpy.QtWidgets import QWidget

from napari_unet.control import Control
from napari_unet.data.augment_options import AugmentOptions
from napari_unet.errors import NapariUnetError
from napari_unet.process.jobs import Augmented
from napari_unet.process.worker import Worker
from napari_unet.widgets.sample_patch import PatchSource, SamplePatch
from napari_unet.widgets.worker import EventRunner

ROWS, COLUMNS = 2, 4
REDRAW_MS = 40
"""How long to wait for further changes."""

TILE, GAP = 128, 6
"""Side of a picture, and the space between two, in pixels."""

WAIT = "Drawing eight samples …"


class SampleGrid(QWidget):
    """Draws pictures in rows, as large as there is room, or says why there are none."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.images: list[QImage] = []
        self.text = WAIT
        self.setMinimumSize(self._size(TILE // 2))
        self.setAccessibleName("Augmented samples")

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Return the usual size."""
        return self._size(TILE)

    def show_pictures(self, pictures: NDArray[np.uint8]) -> None:
        """Show pictures, shape (count, y, x, 3)."""
        self.images, self.text = [_image(picture) for picture in pictures], ""
        self.update()

    def say(self, text: str) -> None:
        """Show a text in their place."""
        self.images, self.text = [], text
        self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802, ARG002 - Qt's
        """Draw."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        if self.text:
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            painter.drawText(self.rect().adjusted(20, 20, -20, -20), flags, self.text)
        for place, image in zip(self._places(), self.images, strict=False):
            size = image.size().scaled(place.size(), Qt.AspectRatioMode.KeepAspectRatio)
            target = QRect(place.topLeft(), size)
            target.moveCenter(place.center())
            painter.drawImage(target, image)
        painter.end()

    def _places(self) -> Iterator[QRect]:
        wide = (self.width() - GAP * (COLUMNS - 1)) // COLUMNS
        high = (self.height() - GAP * (ROWS - 1)) // ROWS
        for i in range(ROWS * COLUMNS):
            y, x = divmod(i, COLUMNS)
            yield QRect(x * (wide + GAP), y * (high + GAP), wide, high)

    @staticmethod
    def _size(tile: int) -> QSize:
        return QSize(*(n * tile + (n - 1) * GAP for n in (COLUMNS, ROWS)))


class SamplePictures(SampleGrid):
    """The same with what draws them: patches are read in a thread and changed by a worker.

    Parameters
    ----------
    source : callable
        Returns where to read a patch, in the GUI's thread; raises `NapariUnetError` where the
        settings do not fit together.
    worker : Worker
        Changes the patches: torch is not imported here.
    said : callable
        Is told what the patch is.
    """

    def __init__(
        self,
        source: Callable[[], PatchSource],
        worker: Worker,
        said: Callable[[str], None] = lambda _: None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._source, self._worker, self._said = source, worker, said
        self._options, self._seed = AugmentOptions(), 0
        self._patch: SamplePatch | None = None
        self._due = False
        self.runner = EventRunner(self)
        self.runner.happened.connect(self._happened)
        self.runner.failed.connect(lambda error: self._refuse(error))
        self.runner.ended.connect(self._again)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(REDRAW_MS)
        self._timer.timeout.connect(self._begin)

    def set_options(self, options: AugmentOptions) -> None:
        """Draw the same patch, with the same random numbers, by other options."""
        self._options = options
        self._redraw()

    def another(self) -> None:
        """Draw eight of another patch, if there is another one, with other random numbers."""
        self._seed += 1
        self.renew()

    def renew(self) -> None:
        """Read the patch again, for what it is read from has changed."""
        self._patch = None
        self._redraw()

    def rest(self) -> None:
        """Draw no more for now, and hear no more of what is being drawn."""
        self._timer.stop()
        self._due = False
        self.runner.abandon()

    def _redraw(self) -> None:
        if self.isVisible() and not self._timer.isActive():
            self._timer.start()

    def _begin(self) -> None:
        if self.runner.running:
            self._due = True
            return
        try:
            source = PatchSource() if self._patch else self._source()
        except NapariUnetError as error:
            self._refuse(error)
            return
        known, options, seed, worker = self._patch, self._options, self._seed, self._worker

        def events(control: Control) -> Iterator[object]:
            patch = known or source.read(seed)
            yield patch
            for made in worker.run(patch.job(options, seed), control):
                if isinstance(made, Augmented):
                    yield patch.draw(made)

        self.runner.start(events)

    def _happened(self, event: object) -> None:
        if isinstance(event, SamplePatch):
            self._patch = event
            self._said(event.caption)
        elif isinstance(event, np.ndarray):
            self.show_pictures(event)

    def _again(self) -> None:
        if self._due:
            self._due = False
            self._begin()

    def _refuse(self, error: NapariUnetError) -> None:
        self._said("")
        self.say(str(error))


def _image(picture: NDArray[np.uint8]) -> QImage:
    height, width, _ = picture.shape
    data = np.ascontiguousarray(picture).tobytes()
    return QImage(data, width, height, 3 * width, QImage.Format.Format_RGB888).copy()

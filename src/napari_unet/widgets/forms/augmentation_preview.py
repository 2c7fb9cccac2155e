"""Pictures of what augmentation does to a patch of an image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QRect, QSize, Qt
from qtpy.QtGui import QImage, QPainter, QPaintEvent
from qtpy.QtWidgets import QWidget
from superqt.utils import qthrottled

from napari_unet.control import Control
from napari_unet.data.augment_options import AugmentOptions, largest_margin
from napari_unet.data.image import ImageView
from napari_unet.data.normalisation import Normalisation, fit_normalisation
from napari_unet.data.sampling import IGNORED
from napari_unet.data.source import open_source
from napari_unet.errors import InputError, NapariUnetError
from napari_unet.geometry.axes import AxisLayout
from napari_unet.widgets.layers.factory import PAINTS
from napari_unet.widgets.layers.layer_data import RGBA
from napari_unet.widgets.qt.event_thread import EventRunner, LatestOnly
from napari_unet.workers.jobs import Augmented, AugmentJob
from napari_unet.workers.process import Worker

SIDE = 96
"""Side of the built-in picture, in pixels."""

SQUARE = 12
"""Side of the squares of the built-in picture, in pixels."""

INK = 0.45
"""Opacity of strokes in the pictures."""

ROOM = 0.15
"""Share of the patch's range of values by which pictures can be darker or brighter than it."""

ROWS = 2
"""Rows of pictures."""

COLUMNS = 4
"""Pictures in a row."""

REDRAW_MS = 40
"""Time in milliseconds to wait for further changes before drawing again."""

TILE = 128
"""Preferred side of a picture, in pixels."""

GAP = 6
"""Space between two pictures, in pixels."""

WAIT = "Drawing eight samples …"
"""Text that is shown before the first pictures."""

Shape = tuple[int, ...]
"""Extent or position in voxels, one number per axis."""


@dataclass(frozen=True, eq=False)
class SamplePatch:
    """A patch, with a margin for augmentation, and how to draw it.

    Attributes
    ----------
    image : ndarray of float32, shape (channels, *read)
        Normalised by its own pixels.
    labels : ndarray of int64, shape read
        Index into `colors`, -1 where nothing is painted.
    shape : tuple of int
        Shape of the network's input, without the margin.
    spacing : tuple of float
        Size of a voxel per axis.
    colors : ndarray of float32, shape (labels, 3)
        Colours of the strokes, from 0 to 1.
    caption : str
        A sentence that says where the patch is from.
    white : float
        Brightest possible value of an RGB image; 0 for other images.
    normalisation : Normalisation
        How the pixels were normalised.
    """

    image: NDArray[np.float32]
    labels: NDArray[np.int64]
    shape: Shape
    spacing: tuple[float, ...]
    colors: NDArray[np.float32]
    caption: str
    white: float
    normalisation: Normalisation

    def job(self, options: AugmentOptions, seed: int) -> AugmentJob:
        """Return the job that makes eight random changes of the patch.

        Parameters
        ----------
        options : AugmentOptions
            What to change.
        seed : int
            Seed of the random numbers.
        """
        return AugmentJob(self.image, self.labels, self.shape, self.spacing, options, seed)

    def draw(self, samples: Augmented) -> NDArray[np.uint8]:
        """Return RGB pictures, shape (count, y, x, 3); of a volume the middle plane.

        Of an image without colours, the first channel is shown in grey, with the contrast limits
        of the unchanged patch, so that changes of brightness show.
        """
        middle = self.shape[0] // 2
        volume = len(self.shape) == 3
        pixels = samples.image[:, :, middle] if volume else samples.image
        labels = samples.labels[:, middle] if volume else samples.labels
        grey = self._coloured(pixels) if self.white else self._grey(pixels)
        inked = labels != IGNORED
        out = np.clip(grey, 0, 1)
        out[inked] = (1 - INK) * out[inked] + INK * self.colors[labels[inked]]
        return (255 * out + 0.5).astype(np.uint8)

    def _grey(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        low, high = np.percentile(self.image[0], (0.5, 99.5))
        room = ROOM * (high - low)
        level = (pixels[:, 0] - low + room) / max(high - low + 2 * room, 1e-6)
        return np.repeat(level[..., None], 3, -1)

    def _coloured(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        raw = np.stack([self.normalisation.undo(one) for one in pixels]).astype(np.float32)
        return np.moveaxis(raw[:, :3], 1, -1) / self.white


ReadPatch = Callable[[int], SamplePatch]
"""Reads a patch; the number is a seed that chooses which one."""


def built_in_patch(seed: int = 0) -> SamplePatch:  # noqa: ARG001 - a `ReadPatch`
    """Return a patch that looks different after any change: a chessboard with a letter F on it.

    It is the same for every seed.
    """
    wide = SIDE + largest_margin(SIDE)
    squares = np.add.outer(*[np.arange(wide) // SQUARE] * 2) % 2
    picture = 0.3 + 0.2 * squares.astype(np.float32)
    painted = np.zeros((wide, wide), np.uint8)
    top, left = wide // 2 - 30, wide // 2 - 18
    for y, x, height, width in ((0, 0, 60, 11), (0, 0, 11, 38), (24, 0, 11, 28)):
        picture[top + y : top + y + height, left + x : left + x + width] = 0.95
    painted[top + 3 : top + 57, left + 3 : left + 8] = 1
    painted[top + 42 : top + 48, left + 22 : left + 44] = 2
    caption = "A built-in image, because no image is chosen yet."
    return make_patch(
        picture[None],
        painted,
        shape=(SIDE, SIDE),
        spacing=(1.0, 1.0),
        colours={},
        caption=caption,
    )


def make_patch(
    raw: NDArray[Any],
    painted: NDArray[Any],
    *,
    shape: Shape,
    spacing: tuple[float, ...],
    colours: Mapping[int, RGBA],
    caption: str,
    white: float = 0.0,
) -> SamplePatch:
    """Return a patch that is normalised by its own pixels.

    Parameters
    ----------
    raw : ndarray, shape (channels, *read)
        The pixels, with the margin that augmentation reads.
    painted : ndarray of int, shape read
        The strokes, 0 where there are none.
    shape, spacing, caption, white
        See `SamplePatch`.
    colours : mapping
        Colours of the strokes, by label value; others get those of new strokes.
    """
    normalisation = _fitted(raw)
    values, index = np.unique(painted, return_inverse=True)
    labels = np.where(painted == 0, IGNORED, index.reshape(painted.shape)).astype(np.int64)
    rgb = np.array([_colour(int(v), colours) for v in values], np.float32)
    image = normalisation.apply(raw)
    return SamplePatch(image, labels, shape, spacing, rgb, caption, white, normalisation)


def _fitted(raw: NDArray[Any]) -> Normalisation:
    """Return a normalisation by the pixels of the patch, for no others are read."""
    layout = AxisLayout((), 0, tuple(range(1, raw.ndim)))
    try:
        return fit_normalisation(ImageView(open_source(raw), layout))[0]
    except InputError:  # constant, or not finite anywhere: it is drawn flat
        return Normalisation("none", (0.0,) * len(raw), (1.0,) * len(raw))


def _colour(value: int, colours: Mapping[int, RGBA]) -> tuple[float, ...]:
    plain = PAINTS[(value - 1) % len(PAINTS)]
    return tuple(colours[value][:3] if value in colours else _parts(plain))


def _parts(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))


class SampleGrid(QWidget):
    """Draws pictures in rows, as large as there is room for, or a text in their place."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.images: list[QImage] = []
        self.text = WAIT
        self.setMinimumSize(self._size(TILE // 2))
        self.setAccessibleName("Augmented samples")

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Return the preferred size."""
        return self._size(TILE)

    def show_pictures(self, pictures: NDArray[np.uint8]) -> None:
        """Show pictures, shape (count, y, x, 3)."""
        self.images = [_image(picture) for picture in pictures]
        self.text = ""
        self.update()

    def say(self, text: str) -> None:
        """Show a text in place of the pictures."""
        self.images = []
        self.text = text
        self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802, ARG002 - Qt's
        """Draw the text, or the pictures."""
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


class AugmentationGallery(SampleGrid):
    """Shows eight augmented samples of a patch, which a thread reads and a worker changes.

    Parameters
    ----------
    source : callable
        Returns the function that reads a patch in a thread. It is called in the thread of the
        GUI, and raises `NapariUnetError` where the settings do not fit together.
    worker : Worker
        Changes the patches, for which it needs torch.
    said : callable
        Called with the caption of the patch.
    """

    def __init__(
        self,
        source: Callable[[], ReadPatch],
        worker: Worker,
        said: Callable[[str], None] = lambda _: None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._source = source
        self._worker = worker
        self._said = said
        self._options = AugmentOptions()
        self._seed = 0
        self._patch: SamplePatch | None = None
        self.runner = EventRunner(self)
        self._latest = LatestOnly(self.runner)
        self._latest.due.connect(self._draw)
        self.runner.happened.connect(self._take)
        self.runner.failed.connect(self._show_problem)
        self._request_soon = qthrottled(self._latest.request, timeout=REDRAW_MS, leading=False)

    def set_options(self, options: AugmentOptions) -> None:
        """Draw the same patch, with the same random numbers and other options."""
        self._options = options
        self._redraw()

    def another(self) -> None:
        """Draw another patch, if there is one, with other random numbers."""
        self._seed += 1
        self.renew()

    def renew(self) -> None:
        """Read the patch again, because the image or the settings have changed."""
        self._patch = None
        self._redraw()

    def rest(self) -> None:
        """Stop drawing until something changes again."""
        self._request_soon.cancel()
        self._latest.cancel()
        self.runner.abandon()

    def _redraw(self) -> None:
        if self.isVisible():
            self._request_soon()

    def _draw(self) -> None:
        try:
            read = built_in_patch if self._patch else self._source()
        except NapariUnetError as error:
            self._show_problem(error)
            return
        known, options = self._patch, self._options
        seed, worker = self._seed, self._worker

        def events(control: Control) -> Iterator[object]:
            patch = known or read(seed)
            yield patch
            for event in worker.run(patch.job(options, seed), control):
                if isinstance(event, Augmented):
                    yield patch.draw(event)

        self.runner.start(events)

    def _take(self, event: object) -> None:
        if isinstance(event, SamplePatch):
            self._patch = event
            self._said(event.caption)
        elif isinstance(event, np.ndarray):
            self.show_pictures(event)

    def _show_problem(self, error: NapariUnetError) -> None:
        self._said("")
        self.say(str(error))


def _image(picture: NDArray[np.uint8]) -> QImage:
    height, width, _ = picture.shape
    data = np.ascontiguousarray(picture).tobytes()
    return QImage(data, width, height, 3 * width, QImage.Format.Format_RGB888).copy()

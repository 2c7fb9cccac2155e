"""A patch as a training would read it, and pictures of what augmentation does to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QRect, QSize, Qt, QTimer
from qtpy.QtGui import QImage, QPainter, QPaintEvent
from qtpy.QtWidgets import QWidget

from napari_unet.control import Control
from napari_unet.data.augment_options import AugmentOptions, largest_margin
from napari_unet.data.image import ImageView, LabelView
from napari_unet.data.normalisation import Normalisation, fit_normalisation
from napari_unet.data.sampling import IGNORED
from napari_unet.data.source import open_source
from napari_unet.errors import InputError, NapariUnetError
from napari_unet.geometry.axes import AxisLayout
from napari_unet.geometry.region import Region
from napari_unet.widgets.layers.factory import PAINTS
from napari_unet.widgets.layers.layer_data import RGBA
from napari_unet.widgets.qt.event_thread import EventRunner, LatestOnly
from napari_unet.widgets.qt.text import sizes
from napari_unet.widgets.train.request import TrainRequest
from napari_unet.workers.jobs import Augmented, AugmentJob
from napari_unet.workers.process import Worker

SIDE = 96
"""Side of the built-in picture, in pixels."""

SQUARE = 12
"""Side of the squares of the built-in picture, in pixels."""

AROUND = 4
"""Side of the region around the middle of the view that is searched for strokes, in patch sides."""

INK = 0.45
"""Opacity of strokes in the pictures."""

ROOM = 0.15
"""Share of the patch's range of values by which pictures can be darker or brighter than it."""

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
        raw = np.stack([self.normalisation.undo(one) for one in pixels])
        return np.moveaxis(raw[:, :3], 1, -1) / self.white


@dataclass(frozen=True, eq=False)
class PatchSource:
    """Where to read a patch from, as plain values that a thread may hold.

    Parameters
    ----------
    request : TrainRequest, optional
        The training as it is set now; without one the patch is the built-in picture.
    point : sequence of float
        A voxel of the image that the patch should be near to: one number per axis of the array,
        without that of RGB colours.
    colors : mapping
        Colours of the strokes, by label value.
    """

    request: TrainRequest | None = None
    point: Sequence[float] = ()
    colors: Mapping[int, RGBA] = field(default_factory=dict)

    def read(self, seed: int = 0) -> SamplePatch:
        """Read one patch, around a stroke near the middle of the view if there is one.

        Parameters
        ----------
        seed : int
            Chooses the painted voxel that it is around.

        Raises
        ------
        InputError
            Where the settings or the layers do not fit together.
        """
        if self.request is None:
            return built_in()
        view, labels, shape, spacing = _opened(self.request)
        loop, point = _stand(view, self.point)
        found = _painted_near(labels, loop, point, shape, seed)
        start = [
            max(0, min(at - n // 2, size - n))
            for at, n, size in zip(found or point, shape, view.spatial_shape, strict=True)
        ]
        box = _widened(start, shape)
        what = "around a stroke" if found else "in the middle of the view, for no stroke is near"
        unit = "pixels" if len(shape) == 2 else "voxels, its middle plane,"
        caption = f"A patch of {sizes(shape)} {unit} {what}."
        raw, painted = view.read_raw(loop, box), labels.read(loop, box)
        white = _white(raw.dtype) if self.request.image.rgb else 0.0
        return _patch((raw, painted), (shape, spacing), self.colors, caption, white)


def built_in() -> SamplePatch:
    """Return a patch that looks different after any change: a chessboard with a letter F on it."""
    wide = SIDE + largest_margin(SIDE)
    squares = np.add.outer(*[np.arange(wide) // SQUARE] * 2) % 2
    picture = 0.3 + 0.2 * squares.astype(np.float32)
    painted = np.zeros((wide, wide), np.uint8)
    top, left = wide // 2 - 30, wide // 2 - 18
    for y, x, height, width in ((0, 0, 60, 11), (0, 0, 11, 38), (24, 0, 11, 28)):
        picture[top + y : top + y + height, left + x : left + x + width] = 0.95
    painted[top + 3 : top + 57, left + 3 : left + 8] = 1
    painted[top + 42 : top + 48, left + 22 : left + 44] = 2
    caption = "A built-in picture, for there is no image to learn from yet."
    return _patch((picture[None], painted), ((SIDE, SIDE), (1.0, 1.0)), {}, caption, 0.0)


def _opened(request: TrainRequest) -> tuple[ImageView, LabelView, Shape, tuple[float, ...]]:
    """Return image and labels, a patch's shape as a training chooses it, and the voxels' size."""
    plan = request.plan()
    layout = plan.layouts[0]
    view = ImageView(open_source(request.image.data), layout)
    labels = LabelView(open_source(request.pairs[0][1]), layout.labels)
    if labels.loop_shape + labels.spatial_shape != view.loop_shape + view.spatial_shape:
        raise InputError(
            "Image and labels differ in shape",
            got=f"image {view.source.shape}, labels {labels.source.shape}",
        )
    return view, labels, plan.input_shape, plan.spacing


def _stand(view: ImageView, point: Sequence[float]) -> tuple[Shape, Shape]:
    """Return the plane or volume of a stack, and the voxel in it, that are nearest to a point."""
    layout, shape = view.layout, view.source.shape

    def at(axes: Shape) -> Shape:
        return tuple(int(np.clip(round(float(point[a])), 0, shape[a] - 1)) for a in axes)

    return at(layout.loops), at(layout.spatial)


def _painted_near(
    labels: LabelView, loop: Shape, point: Shape, shape: Shape, seed: int
) -> Shape | None:
    """Return a random painted voxel of a random class, so that rare classes are seen, too."""
    box = Region(
        tuple(p - AROUND * n // 2 for p, n in zip(point, shape, strict=True)),
        tuple(p + AROUND * n // 2 + 1 for p, n in zip(point, shape, strict=True)),
    ).intersect(Region.whole(labels.spatial_shape))
    painted = labels.read(loop, box)
    values = np.unique(painted[painted != 0])
    if not values.size:
        return None
    rng = np.random.default_rng(seed)
    places = np.argwhere(painted == rng.choice(values))
    chosen = places[rng.integers(len(places))]
    return tuple(int(i) + a for i, a in zip(chosen, box.start, strict=True))


def _widened(start: Sequence[int], shape: Shape) -> Region:
    """Return a box with the margin that augmentation reads around it."""
    low = tuple(a - largest_margin(n) // 2 for a, n in zip(start, shape, strict=True))
    return Region.of(low, [n + largest_margin(n) for n in shape])


def _patch(
    read: tuple[NDArray[Any], NDArray[Any]],
    size: tuple[Shape, tuple[float, ...]],
    colors: Mapping[int, RGBA],
    caption: str,
    white: float,
) -> SamplePatch:
    raw, painted = read
    normalisation = _fitted(raw)
    values, index = np.unique(painted, return_inverse=True)
    labels = np.where(painted == 0, IGNORED, index.reshape(painted.shape)).astype(np.int64)
    rgb = np.array([_color(int(v), colors) for v in values], np.float32)
    image = normalisation.apply(raw)
    return SamplePatch(image, labels, *size, rgb, caption, white, normalisation)


def _fitted(raw: NDArray[Any]) -> Normalisation:
    """Return a normalisation by the pixels of the patch, for no others are read."""
    layout = AxisLayout((), 0, tuple(range(1, raw.ndim)))
    try:
        return fit_normalisation(ImageView(open_source(raw), layout))[0]
    except InputError:  # constant, or not finite anywhere: it is drawn flat
        return Normalisation("none", (0.0,) * len(raw), (1.0,) * len(raw))


def _color(value: int, colors: Mapping[int, RGBA]) -> tuple[float, ...]:
    plain = PAINTS[(value - 1) % len(PAINTS)]
    return tuple(colors[value][:3] if value in colors else _parts(plain))


def _parts(color: str) -> tuple[float, ...]:
    return tuple(int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))


def _white(dtype: np.dtype[Any]) -> float:
    return float(np.iinfo(dtype).max) if dtype.kind in "iu" else 1.0


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
        Returns where to read a patch from; it is called in the thread of the GUI, and raises
        `NapariUnetError` where the settings do not fit together.
    worker : Worker
        Changes the patches, for which it needs torch.
    said : callable
        Called with the caption of the patch.
    """

    def __init__(
        self,
        source: Callable[[], PatchSource],
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
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(REDRAW_MS)
        self._timer.timeout.connect(self._latest.request)

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
        self._timer.stop()
        self._latest.cancel()
        self.runner.abandon()

    def _redraw(self) -> None:
        if self.isVisible() and not self._timer.isActive():
            self._timer.start()

    def _draw(self) -> None:
        try:
            source = PatchSource() if self._patch else self._source()
        except NapariUnetError as error:
            self._show_problem(error)
            return
        known, options = self._patch, self._options
        seed, worker = self._seed, self._worker

        def events(control: Control) -> Iterator[object]:
            patch = known or source.read(seed)
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

"""One patch as a training would read it, to look at what augmentation makes of it."""

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
from napari_unet.widgets.qt.event_thread import EventRunner
from napari_unet.widgets.qt.text import sizes
from napari_unet.widgets.train.request import TrainRequest
from napari_unet.workers.jobs import Augmented, AugmentJob
from napari_unet.workers.process import Worker

SIDE, SQUARE = 96, 12
"""Sides of the picture that stands in where there is none, and of its squares, in pixels."""

AROUND = 4
"""Strokes are looked for within so many patches' sides around the middle of the view."""

INK = 0.45
"""How much of a stroke's colour covers the picture."""

ROOM = 0.15
"""How much darker and brighter than the patch itself a sample can be drawn, of its range."""

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class SamplePatch:
    """A patch, somewhat larger than what a network sees, and how to draw it.

    Attributes
    ----------
    image : ndarray of float32, shape (channels, *read)
        Normalised by its own pixels.
    labels : ndarray of int64, shape read
        Index into `colors`, -1 where nothing is painted.
    shape : tuple of int
        What a network sees of it.
    spacing : tuple of float
        Size of a voxel per axis.
    colors : ndarray of float32, shape (labels, 3)
        Of the strokes, from 0 to 1.
    caption : str
        What it is.
    white : float
        Brightest value of colours; 0 where it is no picture in colours.
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
        """Return what makes eight random changes of it."""
        return AugmentJob(self.image, self.labels, self.shape, self.spacing, options, seed)

    def draw(self, made: Augmented) -> NDArray[np.uint8]:
        """Return pictures, shape (count, y, x, 3); of a volume the middle plane.

        Where the picture has no colours, the first channel is grey, between the limits that the
        unchanged patch has, so that changes of brightness show.
        """
        middle = self.shape[0] // 2
        volume = len(self.shape) == 3
        pixels = made.image[:, :, middle] if volume else made.image
        labels = made.labels[:, middle] if volume else made.labels
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
    """Where to read a patch: plain values, for a thread.

    Parameters
    ----------
    request : TrainRequest, optional
        The training as it is set now; without one there is a picture of ours.
    point : sequence of float
        What to be near to: a voxel of the image, one number per axis of the array (RGB: without
        the colours).
    colors : mapping
        Colours of the strokes, by label value.
    """

    request: TrainRequest | None = None
    point: Sequence[float] = ()
    colors: Mapping[int, RGBA] = field(default_factory=dict)

    def read(self, seed: int = 0) -> SamplePatch:
        """Read one patch, around what is painted near the middle of the view if anything is.

        Parameters
        ----------
        seed : int
            Decides around which painted voxel.

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
        what = "around a stroke" if found else "in the middle of the view: no stroke is near"
        unit = "pixels" if len(shape) == 2 else "voxels, its middle plane,"
        caption = f"A patch of {sizes(shape)} {unit} {what}."
        raw, painted = view.read_raw(loop, box), labels.read(loop, box)
        white = _white(raw.dtype) if self.request.image.rgb else 0.0
        return _patch((raw, painted), (shape, spacing), self.colors, caption, white)


def built_in() -> SamplePatch:
    """Return a patch of a picture that is unlike all that can be made of it: squares and an F."""
    wide = SIDE + largest_margin(SIDE)
    squares = np.add.outer(*[np.arange(wide) // SQUARE] * 2) % 2
    picture = 0.3 + 0.2 * squares.astype(np.float32)
    painted = np.zeros((wide, wide), np.uint8)
    top, left = wide // 2 - 30, wide // 2 - 18
    for y, x, height, width in ((0, 0, 60, 11), (0, 0, 11, 38), (24, 0, 11, 28)):
        picture[top + y : top + y + height, left + x : left + x + width] = 0.95
    painted[top + 3 : top + 57, left + 3 : left + 8] = 1
    painted[top + 42 : top + 48, left + 22 : left + 44] = 2
    caption = "A picture of ours, for there is no image to learn from yet."
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
    """Return the picture of a stack, and the voxel in it, that are nearest to a point."""
    layout, shape = view.layout, view.source.shape

    def at(axes: Shape) -> Shape:
        return tuple(int(np.clip(round(float(point[a])), 0, shape[a] - 1)) for a in axes)

    return at(layout.loops), at(layout.spatial)


def _painted_near(
    labels: LabelView, loop: Shape, point: Shape, shape: Shape, seed: int
) -> Shape | None:
    """Return a voxel that is painted, of a class drawn first, so that rare ones are seen too."""
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
    """Return the same box with as much around it as any augmentation reads."""
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
    """Return a normalisation by a patch alone, which is all of the image that is read."""
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


class AugmentationGallery(SampleGrid):
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

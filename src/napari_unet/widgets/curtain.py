"""The left part of one image drawn over another, up to a line that can be moved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
from napari.components import ViewerModel
from napari.layers import Image
from napari.utils.transforms import Affine
from numpy.typing import NDArray

from napari_unet.widgets.choosers import RESULT
from napari_unet.widgets.layers import placement


@dataclass(frozen=True)
class Cut:
    """Along which axis an image is cut by a line that stands upright on the canvas.

    Parameters
    ----------
    axis : int
        The image's axis that runs across the canvas, more or less.
    size : int
        Voxels along it.
    step : float
        World units by which one voxel leads to the right; negative where it leads to the left.
    """

    axis: int
    size: int
    step: float

    @classmethod
    def of(cls, viewer: ViewerModel, image: Image) -> Cut | None:
        """Return how an image is cut in the present view; None where that cannot be."""
        shift = viewer.dims.ndim - image.ndim
        shown = [axis - shift for axis in viewer.dims.displayed]
        if min(shown) < 0:
            return None
        origin = np.asarray(image.data_to_world(np.zeros(image.ndim)))
        ahead = {a: image.data_to_world(np.eye(image.ndim)[a]) - origin for a in shown}
        axis = max(shown, key=lambda a: abs(float(ahead[a][shown[-1]])))
        to_right = 1 if viewer.scene.camera.orientation2d[1] == "right" else -1
        step = to_right * float(ahead[axis][shown[-1]])
        return cls(axis, int(_levels(image)[0].shape[axis]), step) if step else None

    def position(self, viewer: ViewerModel, image: Image, point: NDArray[Any]) -> float:
        """Return how far along the axis a point of the world is; voxel i spans i to i + 1."""
        inside = image.world_to_data(point[viewer.dims.ndim - image.ndim :])
        return float(inside[self.axis]) + 0.5

    def seen(self, viewer: ViewerModel, image: Image) -> tuple[float, float]:
        """Return in 2D the positions at the left and the right end of the part in view."""
        point, shown = np.array(viewer.dims.point, float), list(viewer.dims.displayed)
        point[shown] = viewer.scene.camera.center[-len(shown) :]
        half = viewer.canvas.viewbox_size(viewer.layers)[1] / viewer.scene.camera.zoom / 2
        sides = point + half * np.outer((-1, 1), np.eye(len(point))[shown[-1]])
        low, high = sorted(self.position(viewer, image, side) for side in sides)
        low, high = max(low, 0.0), min(high, float(self.size))
        if low >= high:  # the image is out of view
            low, high = 0.0, float(self.size)
        return (low, high) if self.step > 0 else (high, low)

    def left_of(self, at: float, unit: int = 1) -> tuple[int, int]:
        """Return where the left part begins and ends, at a multiple of so many voxels."""
        here = min(round(at / unit) * unit, self.size)
        return (0, here) if self.step > 0 else (here, self.size)


class Curtain:
    """What shows an image over another one, all of it or the part left of a line.

    In 2D that is a layer of its own, for napari clips volumes only. It shares the image's array,
    so that napari slices both alike and panning costs nothing, and covers whatever is between the
    two images. In 3D, where nothing covers another thing, it is the image itself.

    Parameters
    ----------
    viewer : ViewerModel
        Where the images are.
    before : Image
        What is shown left of the line.
    after : Image
        What is shown right of it.
    """

    def __init__(self, viewer: ViewerModel, before: Image, after: Image) -> None:
        self._viewer, self._before, self._after = viewer, before, after
        self.layer: Image | None = None

    @property
    def front(self) -> Image:
        """What shows the image before."""
        return self._before if self.layer is None else self.layer

    @property
    def lost(self) -> bool:
        """Whether somebody removed its layer."""
        return self.layer is not None and self.layer not in self._viewer.layers

    def draw(self, cut: Cut, at: float, line: str = "") -> None:
        """Draw in 2D the part left of a position; a frame around it has that colour, if any."""
        factors = [cut.size / level.shape[cut.axis] for level in _levels(self._before)]
        start, stop = cut.left_of(at, max(1, round(factors[-1])))
        drawn = start < stop
        if not drawn:  # a layer cannot be empty
            start, stop = (0, 1) if cut.step > 0 else (cut.size - 1, cut.size)
        spans = [(int(start / f), max(int(start / f) + 1, round(stop / f))) for f in factors]
        levels = [
            _part(level, cut.axis, *span)
            for level, span in zip(_levels(self._before), spans, strict=True)
        ]
        self._put(
            levels if self._before.multiscale else levels[0], _moved(self._before, cut, start)
        )
        assert self.layer is not None
        if self.layer.visible != drawn:
            self.layer.visible = drawn
        self._frame(line)

    def cover(self) -> None:
        """Draw in 2D the whole image."""
        cut = Cut.of(self._viewer, self._before)
        if cut is not None and self._viewer.dims.ndisplay == 2:
            self.draw(cut, cut.size if cut.step > 0 else 0)

    def show(self, *, before: bool, after: bool) -> None:
        """Choose which of the two is visible; the image itself is hidden behind the layer."""
        wanted = {self._before: False, self.front: before, self._after: after}
        for image, visible in wanted.items():
            if image.visible != visible:
                image.visible = visible

    def remove(self) -> None:
        """Take the layer away."""
        layer, self.layer = self.layer, None
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)

    def _put(self, data: Any, translate: NDArray[Any]) -> None:
        if self.layer is not None:
            self.layer.data = data
            if not np.array_equal(self.layer.translate, translate):
                self.layer.translate = translate
            return
        before = self._before
        self.layer = Image(
            data,
            rgb=before.rgb,
            multiscale=before.multiscale,
            name=f"{before.name} – compared",
            colormap=before.colormap,
            contrast_limits=before.contrast_limits,
            gamma=before.gamma,
            interpolation2d=before.interpolation2d,
            blending="translucent_no_depth",  # covers what is below, whatever that is blended with
            metadata={RESULT: {"preview": True}},
            **placement(before) | {"translate": translate},
        )
        layers = self._viewer.layers
        active = layers.selection.active
        layers.insert(max(map(layers.index, (before, self._after))) + 1, self.layer)
        if active is not None:
            layers.selection.active = active

    def _frame(self, color: str) -> None:
        assert self.layer is not None
        frame = self.layer.bounding_box
        frame.points, frame.line_thickness = False, 2
        if color:
            frame.line_color = color
        frame.visible = bool(color)


def _levels(image: Image) -> Any:
    return image.data if image.multiscale else [image.data]


def _part(data: Any, axis: int, start: int, stop: int) -> Any:
    """Return a part of an array that shares its memory, or is read when it is looked at."""
    if not isinstance(data, np.ndarray):
        data = da.asarray(data)  # type: ignore[no-untyped-call]
    return data[(slice(None),) * axis + (slice(start, stop),)]


def _moved(image: Image, cut: Cut, start: int) -> NDArray[Any]:
    """Return the translation of a layer that begins at another voxel."""
    where = placement(image)
    linear = {name: where[name] for name in ("scale", "translate", "rotate", "shear")}
    first = start * np.eye(image.ndim)[cut.axis]
    return np.asarray(Affine(**linear)(first))

"""A patch as a training would read it, for pictures of what augmentation does to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_unet.data.augment_options import largest_margin
from napari_unet.data.image import ImageView, LabelView
from napari_unet.data.source import open_source
from napari_unet.errors import InputError
from napari_unet.geometry.region import Region
from napari_unet.widgets.forms.augmentation_preview import SamplePatch, Shape, make_patch
from napari_unet.widgets.layers.layer_data import RGBA
from napari_unet.widgets.qt.text import sizes
from napari_unet.widgets.train.request import TrainRequest

AROUND = 4
"""Side of the region around the middle of the view that is searched for strokes, in patch sides."""


@dataclass(frozen=True, eq=False)
class PatchSource:
    """Where to read a patch from, as plain values that a thread may hold.

    Parameters
    ----------
    request : TrainRequest
        The training as it is set now.
    point : sequence of float
        A voxel of the image that the patch should be near to: one number per axis of the array,
        without that of RGB colours.
    colours : mapping
        Colours of the strokes, by label value.
    """

    request: TrainRequest
    point: Sequence[float]
    colours: Mapping[int, RGBA]

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
        view, labels, shape, spacing = _opened(self.request)
        loop, point = _stand(view, self.point)
        found = _painted_near(labels, loop, point, shape, seed)
        start = [
            max(0, min(at - n // 2, size - n))
            for at, n, size in zip(found or point, shape, view.spatial_shape, strict=True)
        ]
        box = _widened(start, shape)
        what = (
            "around a stroke" if found else ("in the middle of the view, because no stroke is near")
        )
        unit = "pixels" if len(shape) == 2 else "voxels, its middle plane,"
        caption = f"A patch of {sizes(shape)} {unit} {what}."
        raw, painted = view.read_raw(loop, box), labels.read(loop, box)
        white = _white(raw.dtype) if self.request.image.rgb else 0.0
        return make_patch(
            raw,
            painted,
            shape=shape,
            spacing=spacing,
            colours=self.colours,
            caption=caption,
            white=white,
        )


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


def _white(dtype: np.dtype[Any]) -> float:
    return float(np.iinfo(dtype).max) if dtype.kind in "iu" else 1.0

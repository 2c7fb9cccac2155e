"""What the panel asks of the core where the result is an image, as plain values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from napari_unet.control import Control
from napari_unet.geometry.axes import AxisLayout, find_layout
from napari_unet.network.architecture import Architecture
from napari_unet.process.jobs import TrainJob
from napari_unet.process.wire import Readable
from napari_unet.process.worker import Worker
from napari_unet.tasks.image_options import (
    DenoiseOptions,
    ImageOptions,
    InpaintOptions,
    RestoreOptions,
)
from napari_unet.training.events import TrainingEvent
from napari_unet.widgets.layers import Picture
from napari_unet.widgets.request import NO_OPTIONS

OPTIONS: dict[str, type[ImageOptions]] = {
    "denoise": DenoiseOptions,
    "restore": RestoreOptions,
    "inpaint": InpaintOptions,
}
"""By task; `napari_unet.tasks.images` says the same, but imports torch."""


@dataclass(frozen=True, eq=False)
class ImageRequest:
    """A training whose result is an image.

    Parameters
    ----------
    picture : Picture
        The image.
    other : array, optional
        What goes with it: to restore the good image, to fill in what is missing.
    options : dict
        All other arguments of `napari_unet.train`, with the task among them.
    more : tuple of (Picture, array or None)
        Further images, each with what goes with it.
    """

    picture: Picture
    other: Any = None
    options: dict[str, Any] = field(default_factory=dict)
    more: tuple[tuple[Picture, Any], ...] = ()

    @property
    def task(self) -> str:
        """What is learned."""
        return str(self.options["task"])

    @property
    def pairs(self) -> list[tuple[Picture, Any]]:
        """All images, each with what goes with it."""
        return [(self.picture, self.other), *self.more]

    def reporting(self, opened: Any) -> ImageRequest:  # noqa: ARG002 - nothing is painted
        """Return the same: there are no strokes to tell of."""
        return self

    def mask(self, pair: int) -> Any:
        """Return what tells which pixels of an image are missing, if anything does."""
        return self.pairs[pair][1] if self.task == "inpaint" else None

    def layout(self, pair: int, ndim: int) -> AxisLayout:
        """Return the roles of the image's axes for a network of so many dimensions."""
        picture, other = self.pairs[pair]
        return find_layout(
            picture.data.shape,
            ndim,
            channel_axis=self.options.get("channel_axis", "auto"),
            names=picture.axes,
            labels_shape=None if other is None else tuple(other.shape),
            rgb=picture.rgb,
        )

    def events(self, worker: Worker, control: Control) -> Iterator[TrainingEvent]:
        """Have a worker train; to be iterated in a thread."""
        images = [Readable(picture.data) for picture, _ in self.pairs]
        others = [None if other is None else Readable(other) for _, other in self.pairs]
        image, other = (tuple(images), tuple(others)) if self.more else (images[0], others[0])
        if self.task == "denoise":
            other = None
        yield from worker.run(TrainJob(image, other, self.options), control)

    def network(self) -> Architecture:
        """Return the network that would be trained; to be called in a thread.

        How many planes it sees together may still be decided by what the image is like.

        Raises
        ------
        InputError
            Where the options do not fit together.
        """
        from napari_unet.tasks.architecture import choose_config

        given = {k: v for k, v in self.options.items() if k not in NO_OPTIONS}
        options = OPTIONS[self.task].parse(given)
        start, ndim = self.options.get("start"), self._ndim(options)
        layout = self.layout(0, ndim)
        channels = layout.channels(self.picture.data.shape)
        seen = channels * (options.planes or 1) * (2 if self.task == "inpaint" else 1)
        spacing = options.spacing and options.spacing[-ndim:]
        return choose_config(options, ndim, (seen, self._given(layout, ndim)), spacing, start)

    def _ndim(self, options: ImageOptions) -> Literal[2, 3]:
        start, network = self.options.get("start"), options.network
        wanted: Literal[2, 3] | None = self.options.get("ndim")
        return wanted or (start and start.config.ndim) or (network and network.ndim) or 2

    def _given(self, layout: AxisLayout, ndim: int) -> int:
        """Return the channels of the result."""
        shape = tuple(self.picture.data.shape)
        if self.task != "restore" or tuple(self.other.shape) == shape:
            return layout.channels(shape)
        plain = tuple(n for axis, n in enumerate(shape) if axis != layout.channel)
        other = tuple(self.other.shape)
        return find_layout(other, ndim, labels_shape=plain).channels(other)

"""What the panel asks of the core, as plain values that a thread may hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from napari_unet.control import Control
from napari_unet.data.annotations import AnnotationStore
from napari_unet.network.config import UNetConfig
from napari_unet.tasks.segment_options import SegmentOptions
from napari_unet.training.events import Finished, TrainingEvent
from napari_unet.widgets.layers import Picture


@dataclass(frozen=True, eq=False)
class TrainRequest:
    """A training.

    Parameters
    ----------
    picture : Picture
        The image.
    labels : array
        What is painted, of the image's shape without channels.
    classes : tuple of int
        Its label values, as far as they are counted, with 0 where that is a class.
    options : dict
        All other arguments of `napari_unet.train`.
    opened : callable
        Told, in the thread, of the store that the strokes are kept in.
    """

    picture: Picture
    labels: Any
    classes: tuple[int, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    opened: Callable[[AnnotationStore], None] = lambda _: None

    def events(self, control: Control) -> Iterator[TrainingEvent]:
        """Train; to be iterated in a thread."""
        # torch is imported here: seconds that the viewer need not wait for.
        from napari_unet.api import train
        from napari_unet.tasks.painted import choose_ndim, open_pair

        rest = {k: v for k, v in self.options.items() if k not in ("task", "ndim")}
        parsed = SegmentOptions.parse(rest)
        ndim = self.options.get("ndim") or choose_ndim(self.labels, parsed)
        store = open_pair(self.picture.data, self.labels, ndim, parsed).store
        self.opened(store)
        options = {"control": control, **self.options, "ndim": ndim}
        for event in train(self.picture.data, store, **options):
            if isinstance(event, Finished):
                event.model.digest  # noqa: B018 - computed once, and not in the GUI's thread
            yield event

    def network(self) -> UNetConfig:
        """Return the network that would be trained; to be called in a thread.

        Raises
        ------
        InputError
            Where the options do not fit together.
        """
        rest = {k: v for k, v in self.options.items() if k not in ("task", "ndim")}
        options = SegmentOptions.parse(rest)
        shape = tuple(self.labels.shape)
        channel = self.picture.channel(options.channel_axis, shape)
        channels = {
            "in_channels": 1 if channel is None else int(self.picture.data.shape[channel]),
            "out_channels": max(2, len(self.classes)),
        }
        if options.network is not None:
            return UNetConfig(**{**options.network.model_dump(), **channels})
        ndim = self.options.get("ndim")
        if ndim is None:
            from napari_unet.tasks.painted import choose_ndim

            ndim = choose_ndim(self.labels, options)
        return UNetConfig.sized(
            options.size,
            ndim,
            **channels,
            spacing=options.spacing and options.spacing[-ndim:],
            fast=options.fast,
            padding=options.padding,
        )

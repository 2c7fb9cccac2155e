"""Segment: learn classes from what is painted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from math import prod
from typing import Any, Literal

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from napari_unet.data.annotations import AnnotationStore
from napari_unet.data.augment import Augmenter
from napari_unet.data.image import ImageView
from napari_unet.data.normalisation import fit_normalisation
from napari_unet.data.sampling import Pair, PatchSampler, Sample
from napari_unet.data.source import open_source
from napari_unet.errors import InputError
from napari_unet.geometry.axes import AxisLayout, find_layout
from napari_unet.geometry.region import Region
from napari_unet.model import ClassInfo, TrainedModel
from napari_unet.network.config import UNetConfig
from napari_unet.network.unet import UNet, build_network
from napari_unet.tasks.calibration import frequency_factors, shift_head
from napari_unet.tasks.losses import IGNORED, segmentation_loss
from napari_unet.tasks.segment_options import SegmentOptions
from napari_unet.training.events import Validated
from napari_unet.training.trainer import Batch

INPUT_VOXELS = {2: 144**2, 3: 2**17}
"""About as many voxels go into the network per patch."""

LEAST_SEEN = {2: 0.1, 3: 0.02}
"""Smaller parts of a patch than this are not worth their context: rather a larger patch."""

BATCH_SIZE = {2: 8, 3: 4}
"""Patches per step."""

CALIBRATION_WINDOWS = 12

FEW_PIXELS = 50
"""A class with fewer painted pixels than this is worth a warning."""


@dataclass(frozen=True)
class Painted:
    """An image and what is painted on it, checked and ready to be drawn from."""

    view: ImageView
    store: AnnotationStore
    layout: AxisLayout
    counts: dict[int, int]


def open_pair(image: object, labels: object, ndim: int, options: SegmentOptions) -> Painted:
    """Bring an image and its labels together.

    Raises
    ------
    InputError
        Where the shapes differ, nothing is painted, or only one class is.
    """
    source, mask = open_source(image), open_source(labels)
    layout = find_layout(
        source.shape,
        ndim,
        channel_axis=options.channel_axis,
        names=options.axes,
        labels_shape=mask.shape,
        rgb=options.rgb,
    )
    expected = tuple(n for a, n in enumerate(source.shape) if a != layout.channel)
    if mask.shape != expected:
        raise InputError(
            "Image and labels differ in shape",
            got=f"image {source.shape}, labels {mask.shape}",
            expected=f"labels of shape {expected}",
            todo="Paint on a Labels layer made for this image",
        )
    store = AnnotationStore.from_labels(
        mask, layout.labels, zero_is_class=options.zero == "background"
    )
    counts = store.values()
    if not counts:
        raise InputError(
            "Nothing is painted", todo="Paint a few strokes of at least two classes, then train"
        )
    if len(counts) < 2:
        raise InputError(
            "Only one class is painted",
            got=f"label {next(iter(counts))}",
            todo="Paint at least one stroke of another class"
            + (", or let 0 mean background" if options.zero == "unpainted" else ""),
        )
    return Painted(ImageView(source, layout), store, layout, counts)


def choose_ndim(labels: object, options: SegmentOptions) -> Literal[2, 3]:
    """Choose the given network's, or 3D where 3 of at least 8 planes are painted, or else 2D."""
    if options.network is not None:
        return options.network.ndim
    source = open_source(labels)
    if len(source.shape) < 3 or source.shape[-3] < 8:
        return 2
    store = AnnotationStore.from_labels(source, find_layout(source.shape, 2, channel_axis=None))
    planes = {index[-3] for index in store.snapshot().blocks}
    return 3 if options.zero == "background" or len(planes) >= 3 else 2


class SegmentLearner:
    """Tells the training loop what a segmentation learns from, and how it is judged."""

    def __init__(self, painted: Painted, ndim: Literal[2, 3], options: SegmentOptions) -> None:
        self.options, self.painted = options, painted
        self.values = tuple(sorted(painted.counts))
        self.counts = tuple(painted.counts[v] for v in self.values)
        self.class_names = tuple(str(c) for c in self._classes())
        self.spacing = tuple(options.spacing or (1.0,) * ndim)[-ndim:]
        self.augmenter = Augmenter(options.augment, ndim, self.spacing, options.seed)
        self.normalisation, self.finite = fit_normalisation(
            painted.view, options.normalise, seed=options.seed
        )
        self.config = self._config(ndim)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            self.network: UNet = build_network(self.config)
        self.patch, self.core = self._patch()
        self.batch_size = BATCH_SIZE[ndim]
        self.sampler = PatchSampler(
            [Pair(painted.view, painted.store)],
            self.values,
            self.normalisation,
            options.held_out,
            options.seed,
            balance=options.balance,
        )
        self._seen = torch.zeros(len(self.values), dtype=torch.int64)
        self.random = np.random.default_rng(options.seed)

    def _classes(self) -> tuple[ClassInfo, ...]:
        names, colors = self.options.class_names, self.options.class_colors
        return tuple(
            ClassInfo(
                v,
                names.get(v, "background" if v == 0 else f"class {v}"),
                colors.get(v),
            )
            for v in self.values
        )

    def _config(self, ndim: Literal[2, 3]) -> UNetConfig:
        channels = {"in_channels": self.painted.view.channels, "out_channels": len(self.values)}
        given = self.options.network
        if given is None:
            return UNetConfig.sized(
                self.options.size,
                ndim,
                **channels,
                spacing=self.spacing,
                fast=self.options.fast,
                padding=self.options.padding,
            )
        if given.ndim != ndim:
            raise InputError(
                "The network does not fit the number of dimensions",
                got=f"a {given.ndim}D network",
                expected=f"a {ndim}D one",
            )
        try:
            return UNetConfig(**{**given.model_dump(), **channels})
        except ValidationError as error:
            raise InputError(
                "The network does not fit the image and the classes",
                got=error.errors()[0]["msg"],
                expected=f"{channels['in_channels']} channels in, {channels['out_channels']} out",
            ) from error

    def _patch(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return input and output of a training patch, no larger than the image needs."""
        c = self.config
        whole = c.input_for(self.painted.view.spatial_shape)
        wished = self.options.patch or tuple(whole)
        if len(wished) != c.ndim:
            raise InputError("patch needs one size per spatial axis", got=wished)
        most = [min(a, b) for a, b in zip(wished, whole, strict=True)]
        patch = [
            g.largest_input(max(n, g.smallest_input)) for g, n in zip(c.geometry, most, strict=True)
        ]
        if self.options.patch is None:
            patch = _shrink(patch, c)
        return tuple(patch), _trained_part(c, patch)

    def warnings(self) -> Iterator[str]:
        """Say what the user should know before the first step."""
        if self.finite < 1:
            yield f"{1 - self.finite:.2%} of the pixels are not finite; they are left out."
        for info, count in zip(self._classes(), self.counts, strict=True):
            if count < FEW_PIXELS:
                yield f"Few pixels are painted of {info}: {count}. More strokes will help."
        if not self.sampler.val_count.any():
            yield "Too little is painted to hold anything out: there is no validation."

    def batch(self, size: int) -> Batch:
        """Draw patches around painted pixels, and change them at random."""
        read = self.augmenter.read_shape(self.patch)
        samples = [self.sampler.draw(read, self.random, self.core) for _ in range(size)]
        inputs, targets = self.augmenter(*_stack(samples), self.patch, self.core)
        self._seen += torch.bincount(targets[targets != IGNORED], minlength=len(self.values))
        return Batch(inputs, targets)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss over painted pixels."""
        return segmentation_loss(self.options.loss, outputs, targets)

    @torch.no_grad()
    def validate(self, network: nn.Module, device: torch.device, step: int) -> Validated | None:
        """Return loss and IoU per class over the held-out painted pixels, each counted once."""
        n = len(self.values)
        confusion, loss = torch.zeros(n, n, dtype=torch.int64), 0.0
        for sample in self.sampler.validation_windows(self.patch, self.core):
            inputs, labels = _stack([sample])
            target = _centre(labels, self.core)
            outputs = network(inputs.to(device)).cpu()
            seen = target != IGNORED
            loss += segmentation_loss("ce", outputs, target).item() * int(seen.sum())
            pairs = target[seen] * n + outputs.argmax(1)[seen]
            confusion += torch.bincount(pairs, minlength=n * n).reshape(n, n)
        pixels = int(confusion.sum())
        if not pixels:
            return None
        return Validated(step, loss / pixels, "IoU", iou(confusion), pixels)

    @torch.no_grad()
    def settle(self, network: nn.Module, device: torch.device) -> None:
        """Make the classes as frequent as the image, not the strokes, says they are."""
        seen = self._seen
        if not self.options.calibrate or self.options.zero == "background" or not seen.all():
            return
        assert isinstance(network, UNet)
        answers = [
            torch.softmax(network(window.to(device)), 1).cpu().movedim(1, -1).flatten(0, -2)
            for window in self._windows()
        ]
        trained = seen / seen.sum()
        shift_head(network, frequency_factors(torch.cat(answers), trained))

    def _windows(self) -> Iterator[Tensor]:
        """Yield patches (1, C, *patch) from all over the image, always the same."""
        view, random = self.painted.view, np.random.default_rng(self.options.seed)
        for _ in range(CALIBRATION_WINDOWS):
            loop = tuple(int(random.integers(n)) for n in view.loop_shape)
            core = tuple(
                int(random.integers(max(1, n - c + 1)))
                for n, c in zip(view.spatial_shape, self.core, strict=True)
            )
            start = tuple(
                a - (p - c) // 2 for a, p, c in zip(core, self.patch, self.core, strict=True)
            )
            window = Region(start, tuple(a + p for a, p in zip(start, self.patch, strict=True)))
            yield torch.from_numpy(self.normalisation.apply(view.read_raw(loop, window)))[None]

    def finish(self, weights: dict[str, Tensor], facts: dict[str, Any]) -> TrainedModel:
        """Make the model."""
        o = self.options
        return TrainedModel(
            config=self.config,
            weights=weights,
            normalisation=self.normalisation,
            task="segment",
            classes=self._classes(),
            spacing=self.spacing,
            training={
                **facts,
                "seed": o.seed,
                "strokes": self.painted.store.digest(),
                "painted": dict(zip(self.class_names, self.counts, strict=True)),
                "options": o.model_dump(mode="json", exclude_defaults=True, exclude={"network"}),
                "versions": {p: version(p) for p in ("napari-unet-live", "torch", "numpy")},
            },
        )


def iou(confusion: Tensor) -> tuple[float | None, ...]:
    """Return intersection over union per class; None for a class that is not in the truth.

    `confusion` counts pixels, truth by rows and prediction by columns.
    """
    hit = confusion.diagonal()
    truth, union = confusion.sum(1), confusion.sum(1) + confusion.sum(0) - hit
    return tuple(
        (int(h) / int(u) if t else None) for h, u, t in zip(hit, union, truth, strict=True)
    )


def _trained_part(config: UNetConfig, patch: Sequence[int]) -> tuple[int, ...]:
    """Return the spatial shape of the network's output in training."""
    return config.output_for(patch) if config.padding == "valid" else tuple(patch)


def _shrink(patch: list[int], config: UNetConfig) -> list[int]:
    """Shorten a patch, stride by stride, so that as much as can be of it is not mere context."""

    def shorter(axis: int) -> list[int]:
        stride = config.geometry[axis].stride
        return [n - stride * (a == axis) for a, n in enumerate(patch)]

    def seen(shape: list[int]) -> float:
        return prod(config.output_for(shape)) / prod(shape)

    limit = INPUT_VOXELS[config.ndim]
    while prod(patch) > limit:
        able = [a for a, g in enumerate(config.geometry) if g.is_allowed(patch[a] - g.stride)]
        smaller = max(map(shorter, able), key=seen, default=patch)
        wasteful = seen(smaller) < LEAST_SEEN[config.ndim] and prod(smaller) < 8 * limit
        if not able or wasteful:
            break
        patch = smaller
    return patch


def _stack(samples: Sequence[Sample]) -> tuple[Tensor, Tensor]:
    images = torch.from_numpy(np.stack([s.image for s in samples]))
    return images, torch.from_numpy(np.stack([s.labels for s in samples]))


def _centre(labels: Tensor, shape: Sequence[int]) -> Tensor:
    starts = [(have - want) // 2 for have, want in zip(labels.shape[1:], shape, strict=True)]
    return labels[(slice(None), *(slice(a, a + n) for a, n in zip(starts, shape, strict=True)))]

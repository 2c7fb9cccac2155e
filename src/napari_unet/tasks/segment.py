"""Segment: learn classes from what is painted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from napari_unet._version import __version__
from napari_unet.control import Viewport
from napari_unet.data.augment import Augmenter
from napari_unet.data.normalisation import fit_normalisation
from napari_unet.data.sampling import Pair, PatchSampler, Sample
from napari_unet.errors import InputError
from napari_unet.geometry.region import Region
from napari_unet.model import ClassInfo, TrainedModel
from napari_unet.network.blocks import centre_crop
from napari_unet.network.config import UNetConfig
from napari_unet.network.grow import with_classes
from napari_unet.network.optimise import as_input, for_inference
from napari_unet.network.unet import UNet, build_network
from napari_unet.tasks.calibration import frequency_factors, shift_head
from napari_unet.tasks.losses import IGNORED, segmentation_loss
from napari_unet.tasks.painted import Painted
from napari_unet.tasks.patch import choose_patch, trained_part
from napari_unet.tasks.segment_options import SegmentOptions
from napari_unet.training.events import Previewed, Validated
from napari_unet.training.trainer import Batch

BATCH_SIZE = {2: 8, 3: 4}
"""Patches per step."""

CALIBRATION_WINDOWS = 12

FEW_PIXELS = 50
"""A class with fewer painted pixels than this is worth a warning."""


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
        self.patch = choose_patch(self.config, painted.view.spatial_shape, options.patch)
        self.core = trained_part(self.config, self.patch)
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
        self._version = painted.store.version
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

    def take_up(self) -> Callable[[nn.Module], nn.Module] | None:
        """Take up what was painted since; where a class is new, return how a network grows it."""
        store = self.painted.store
        if store.version == self._version:
            return None
        self._version, counts = store.version, store.values()
        new = tuple(v for v in counts if v not in self.values)
        self._know((*self.values, *new), counts)
        if not new:
            return None
        number = len(self.values)
        self.config = self.config.model_copy(update={"out_channels": number})
        self._seen = torch.cat([self._seen, self._seen.new_zeros(len(new))])

        def grow(network: nn.Module) -> nn.Module:
            assert isinstance(network, UNet)
            return with_classes(network, number)

        return grow

    @property
    def ready(self) -> bool:
        """Whether anything is painted to learn from; all of it may have been erased."""
        return bool(self.sampler.train_count.any())

    def _know(self, values: tuple[int, ...], counts: dict[int, int]) -> None:
        """Set the classes and what is painted of each."""
        self.values, self.counts = values, tuple(counts.get(v, 0) for v in values)
        self.class_names = tuple(str(c) for c in self._classes())
        self.sampler.classes = values
        self.sampler.refresh()

    @torch.no_grad()
    def preview(
        self, network: nn.Module, device: torch.device, step: int, view: Viewport
    ) -> Previewed:
        """Apply weights to what is looked at, and say how sure they are."""
        assert isinstance(network, UNet)
        box = self._on_the_grid(view.region)
        answers = self._answers(network, device, view.index, box)
        if self._calibrates:
            factors = frequency_factors(answers.flatten(1).T, self._seen / self._seen.sum())
            answers = answers * factors.view(-1, *(1,) * len(box.shape))
            answers = answers / answers.sum(0)
        cut = view.region.shift(tuple(-a for a in box.start)).slices
        answers = answers[(slice(None), *cut)]
        best = answers.topk(2, 0).values
        values = np.array(self.values, np.min_scalar_type(max(self.values)))
        return Previewed(
            step, view, values[answers.argmax(0).numpy()], (1 - best[0] + best[1]).numpy()
        )

    def _on_the_grid(self, region: Region) -> Region:
        """Return the region grown to where tiles may begin, so that a preview is a prediction."""
        start = tuple(
            a // g.stride * g.stride
            for a, g in zip(region.start, self.config.geometry, strict=True)
        )
        return Region(start, region.stop)

    def _answers(
        self, network: UNet, device: torch.device, index: tuple[int, ...], box: Region
    ) -> Tensor:
        """Return the probabilities (class, *box)."""
        read = self.config.input_for(box.shape)
        start = tuple(
            a - g.context // 2 for a, g in zip(box.start, self.config.geometry, strict=True)
        )
        stop = tuple(a + n for a, n in zip(start, read, strict=True))
        pixels = self.normalisation.apply(self.painted.view.read_raw(index, Region(start, stop)))
        fast = for_inference(network, device)
        outputs = fast(as_input(torch.from_numpy(pixels)[None], device))
        logits = centre_crop(outputs, self.config.output_for(read))[0].float().cpu()
        return torch.softmax(logits[(slice(None), *(slice(0, n) for n in box.shape))], 0)

    @property
    def _calibrates(self) -> bool:
        """Whether the image says how frequent the classes are."""
        o = self.options
        return o.calibrate and o.zero == "unpainted" and bool(self._seen.all())

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
        if not self._calibrates:
            return
        seen = self._seen
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
                "versions": {
                    "napari-unet-live": __version__,
                    "torch": str(torch.__version__),
                    "numpy": np.__version__,
                },
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


def _stack(samples: Sequence[Sample]) -> tuple[Tensor, Tensor]:
    images = torch.from_numpy(np.stack([s.image for s in samples]))
    return images, torch.from_numpy(np.stack([s.labels for s in samples]))


def _centre(labels: Tensor, shape: Sequence[int]) -> Tensor:
    starts = [(have - want) // 2 for have, want in zip(labels.shape[1:], shape, strict=True)]
    return labels[(slice(None), *(slice(a, a + n) for a, n in zip(starts, shape, strict=True)))]

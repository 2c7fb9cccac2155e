"""Segment: learn classes from what is painted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from napari_unet.control import Previewed, Viewport
from napari_unet.data.augment import Augmenter
from napari_unet.data.normalisation import fit_normalisation
from napari_unet.data.sampling import AnnotatedView, PatchSample, PatchSampler
from napari_unet.device import choose_device
from napari_unet.errors import InputError
from napari_unet.inference.memory import memory_problem
from napari_unet.inference.preview import previewed, probabilities
from napari_unet.model import ClassInfo, InputSpec, TrainedModel, Weights
from napari_unet.network.blocks import Network, centre_crop
from napari_unet.network.build import build_network, expand_head, load_network
from napari_unet.network.inference import for_inference
from napari_unet.network.unet_config import UNetConfig
from napari_unet.tasks.base import options_metadata, preview_warning
from napari_unet.tasks.network_choice import (
    check_trainable,
    choose_network,
    fitting_input_shape,
    output_shape_of,
)
from napari_unet.tasks.segmentation.active_learning import AnnotationSuggester, UncertaintyProbe
from napari_unet.tasks.segmentation.calibration import frequency_factors, shift_head
from napari_unet.tasks.segmentation.data import AnnotatedImage, count_all, digest_of
from napari_unet.tasks.segmentation.forest_distillation import (
    ForestTeacher,
    pop_soft_labels,
    soft_label_weight,
)
from napari_unet.tasks.segmentation.losses import (
    IGNORED,
    class_weights,
    divergence_from_soft_labels,
    segmentation_loss,
)
from napari_unet.tasks.segmentation.options import SegmentOptions
from napari_unet.tasks.windows import spread_windows
from napari_unet.training.events import Suggested, Validated
from napari_unet.training.metrics import iou
from napari_unet.training.task import Batch, TrainingTask


def confusion_of(outputs: Tensor, targets: Tensor, classes: int) -> Tensor:
    """Count the painted voxels, truth by rows and the likeliest class by columns."""
    seen = targets != IGNORED
    pairs = targets[seen] * classes + outputs.argmax(1)[seen]
    return torch.bincount(pairs, minlength=classes**2).reshape(classes, classes)


CALIBRATION = "calibration"
"""In a model's `training`: how many times more likely calibration has made each class."""


def check_start(model: TrainedModel, ndim: Literal[2, 3], channels: int | None = None) -> None:
    """Check that a model can go on with images of so many dimensions and channels.

    Raises
    ------
    InputError
        Naming what differs.
    """
    if model.task != "segment" or not model.classes:
        raise InputError(
            "This model cannot be continued as a segmentation", got=f"a model of task {model.task}"
        )
    check_trainable(model.config)
    c, found, needed = model.config, [], []
    if c.ndim != ndim:
        found.append(f"a {c.ndim}D model")
        needed.append(f"a {ndim}D one")
    if channels is not None and c.in_channels != channels:
        found.append(f"a model of {c.in_channels} channels")
        needed.append(f"one of {channels}, as the image has")
    if found:
        raise InputError(
            "The model to start from does not fit",
            got=", ".join(found),
            expected=", ".join(needed),
            todo="Start from another model, or from a fresh network",
        )


def all_classes(
    values: Sequence[int], options: SegmentOptions, start: TrainedModel | None
) -> tuple[ClassInfo, ...]:
    """Return what is known of classes: from the model to start from, else from the options.

    Parameters
    ----------
    values : sequence of int
        Their label values.
    options : SegmentOptions
        What is set.
    start : TrainedModel or None
        Where a training goes on from.
    """
    names, colors = options.class_names, options.class_colors
    known = {info.value: info for info in start.classes} if start else {}
    return tuple(
        known.get(v)
        or ClassInfo(v, names.get(v, "background" if v == 0 else f"class {v}"), colors.get(v))
        for v in values
    )


def all_values(known: Iterable[int], painted: Iterable[int]) -> tuple[int, ...]:
    """Return the model's classes in its order, and behind them what is new among the painted."""
    return tuple(dict.fromkeys([*known, *sorted(painted)]))


def continued_network(model: TrainedModel, classes: int) -> Network:
    """Return the model's network, in training mode, uncalibrated, and with so many classes."""
    network = load_network(model.config, model.weights)
    shift_head(network, 1 / factors_of(model, len(model.classes)))
    return expand_head(network, classes).train()


def factors_of(model: TrainedModel | None, classes: int) -> Tensor:
    """Return (classes,): how many times more likely calibration made each class; 1 for new ones."""
    known = [] if model is None else model.training.get(CALIBRATION, [])
    factors = torch.ones(classes)
    factors[: len(known)] = torch.tensor(known, dtype=factors.dtype)
    return factors


BATCH_SIZE = {2: 8, 3: 4}
"""Patches per step."""

CALIBRATION_WINDOWS = 12

REMEMBERED = 0.98
"""What is left, one step later, of the count of what was learned from."""

LEAST_SHARE = 1e-6
"""What a class with no weight in the loss counts when frequencies are compared."""

FEW_PIXELS = 50
"""A class with fewer painted pixels than this is worth a warning."""


class SegmentationTask(TrainingTask):
    """Tells the training loop what a segmentation learns from, and how it is judged.

    Parameters
    ----------
    painted : sequence of Painted
        Images with the same channels, and what is painted on them.
    ndim : {2, 3}
        Spatial dimensions of the network.
    options : SegmentOptions
        What can be set.
    start : TrainedModel, optional
        Where to go on from: its network, normalisation and classes are kept.

    Raises
    ------
    InputError
        Where image, network, model and options do not fit together.
    """

    def __init__(
        self,
        painted: Sequence[AnnotatedImage],
        ndim: Literal[2, 3],
        options: SegmentOptions,
        start: TrainedModel | None = None,
    ) -> None:
        self.options, self.painted, self.start = options, tuple(painted), start
        self._versions, counts = self._painted_versions(), count_all(painted)
        if start is not None:
            check_start(start, ndim, painted[0].view.channels)
        self.values = all_values((c.value for c in start.classes) if start else (), counts)
        self.counts = tuple(counts.get(v, 0) for v in self.values)
        self.class_names = tuple(map(str, self._classes()))
        self.spacing = tuple(options.spacing or (1.0,) * ndim)[-ndim:]
        self.augmenter = Augmenter(options.augment, ndim, self.spacing, options.seed)
        views = [pair.view for pair in painted]
        self.measured, self.finite = fit_normalisation(views, options.normalise, seed=options.seed)
        self.normalisation = self.measured if start is None else start.normalisation
        channels = (painted[0].view.channels, len(self.values))
        self.config = choose_network(options, ndim, channels, self.spacing, start)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            self.network: Network = (
                build_network(self.config)
                if start is None
                else continued_network(start, len(self.values))
            )
        largest = [max(sizes) for sizes in zip(*(v.spatial_shape for v in views), strict=True)]
        self.input_shape = fitting_input_shape(self.config, largest, options.patch)
        self.output_shape = output_shape_of(self.config, self.input_shape)
        self.preview_error = memory_problem(self.config, choose_device(options.device))
        self.batch_size = BATCH_SIZE[ndim]
        self.sampler = PatchSampler(
            [AnnotatedView(pair.view, pair.store) for pair in painted],
            self.values,
            self.normalisation,
            options.held_out,
            options.seed,
            balance=options.balance,
            whole=options.split == "image",
        )
        self._seen = torch.zeros(len(self.values), dtype=torch.float64)
        self._learned = torch.zeros(len(self.values), len(self.values))
        self._factors = factors_of(start, len(self.values))
        self._shift: Tensor | None = None
        self._continued_from = start.digest if start is not None else None
        self.random = np.random.default_rng(options.seed)
        self._forest = (
            ForestTeacher(
                self.config, self.sampler, self.input_shape, self.output_shape, options.seed
            )
            if options.forest and isinstance(self.config, UNetConfig) and self.config.filters
            else None
        )
        self._guide = AnnotationSuggester(self.sampler, self.spacing, options.seed)
        self._looked: Viewport | None = None

    def _classes(self) -> tuple[ClassInfo, ...]:
        return all_classes(self.values, self.options, self.start)

    def warnings(self) -> Iterator[str]:
        """Say what the user should know before the first step."""
        yield from preview_warning(self.preview_error)
        if self.finite < 1:
            yield f"{1 - self.finite:.2%} of the pixels are not finite; they are left out."
        for info, count in zip(self._classes(), self.counts, strict=True):
            if self.start and not count:
                yield f"Nothing is painted of {info}: the network may come to forget it."
            elif count < FEW_PIXELS:
                yield f"Few pixels are painted of {info}: {count}. More strokes will help."
        if not self.sampler.val_count.any():
            yield "Too little is painted to hold anything out: there is no validation."

    def batch(self, size: int) -> Batch:
        """Draw patches around painted pixels, and change them at random."""
        read = self.augmenter.read_shape(self.input_shape)
        samples = [self.sampler.draw(read, self.random, self.output_shape) for _ in range(size)]
        images, labels = _stack(samples)
        answers = None
        if self._forest is not None and soft_label_weight(self.options.forest, sum(self.counts)):
            weights = class_weights(self.options, self.values, self.counts)
            self._forest.update_trees(self._versions, weights)
            answers = self._forest.ask(images, labels, len(self.values), self.random)
        inputs, targets = self.augmenter(images, labels, self.input_shape, self.output_shape)
        soft_labels = None if answers is None else pop_soft_labels(targets, answers)
        return Batch(inputs, targets, soft_labels=soft_labels)

    def sync_annotations(self) -> Callable[[nn.Module], nn.Module] | None:
        """Take up what was painted since; where a class is new, return how a network grows it."""
        if not self.annotations_changed:
            return None
        self._versions, counts = self._painted_versions(), count_all(self.painted)
        new = tuple(v for v in counts if v not in self.values)
        self._know((*self.values, *new), counts)
        if not new:
            return None
        number = len(self.values)
        self.config = self.config.model_copy(update={"out_channels": number})
        self._seen = torch.cat([self._seen, self._seen.new_zeros(len(new))])
        self._learned = nn.functional.pad(self._learned, (0, len(new)) * 2)
        self._factors = nn.functional.pad(self._factors, (0, len(new)), value=1.0)

        def grow(network: nn.Module) -> nn.Module:
            assert isinstance(network, Network)
            return expand_head(network, number)

        return grow

    def _painted_versions(self) -> tuple[int, ...]:
        return tuple(pair.store.version for pair in self.painted)

    @property
    def annotations_changed(self) -> bool:
        """Whether something was painted or erased since it was last taken up."""
        return self._painted_versions() != self._versions

    @property
    def has_labels(self) -> bool:
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
        assert isinstance(network, Network)
        self._looked = view
        answers = self._answers(for_inference(network, device), view)
        if self._calibrates:
            factors = self._calibration(answers.flatten(1).T)
            answers = answers * factors.view(-1, *(1,) * len(view.region.shape))
            answers = answers / answers.sum(0)
        return previewed(step, view, answers, self.values)

    def suggest(self, network: nn.Module, device: torch.device) -> Suggested:
        """Find where the next strokes would help most."""
        assert isinstance(network, Network)
        if self.preview_error:
            return Suggested(0, ())
        answer = partial(self._answers, for_inference(network, device))
        calibration = self._calibration if self._calibrates else None
        probe = UncertaintyProbe.of(self.config, self.input_shape, answer, calibration)
        return self._guide.suggest(probe, self._looked)

    def _answers(self, network: Network, view: Viewport) -> Tensor:
        """Return the probabilities (class, *spatial) of a part of one of the images."""
        image = self.painted[view.pair].view
        return probabilities(network, self.normalisation, image, view)

    @property
    def _calibrates(self) -> bool:
        """Whether the image says how frequent the classes are, and a bias can take it up."""
        biased = self.network.head.bias is not None
        return biased and self.options.calibrate and self.options.zero == "unpainted"

    def _calibration(self, answers: Tensor) -> Tensor:
        """Return by how much each class is more frequent than in the training.

        `answers` are probabilities (voxels, classes). Until something was learned of every class
        that is painted, and for classes that are not, the factors of the model stay that the
        training started from.
        """
        seen, factors = self._seen > 0, self._factors.clone()
        painted = torch.from_numpy(self.sampler.train_count > 0)
        if seen.any() and bool(seen[painted].all()):
            # As if the classes that are not painted had had their equal share.
            share = seen.float().mean()
            weights = class_weights(self.options, self.values, self.counts)
            each = self._seen if weights is None else self._seen * weights
            trained = (each[seen] / each.sum()).float().clamp(min=LEAST_SHARE) * share
            factors[seen] = frequency_factors(answers[:, seen], trained)
        return factors

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the loss over painted pixels."""
        targets = batch.targets
        table = confusion_of(outputs.detach(), targets, len(self.values)).cpu()
        self._seen += table.sum(1)
        self._learned = REMEMBERED * self._learned + table
        o, weights = self.options, class_weights(self.options, self.values, self.counts)
        painted = segmentation_loss(
            o.loss,
            outputs,
            targets,
            None if weights is None else weights.to(outputs.device),
            gamma=o.focal_gamma,
            alpha=o.tversky_alpha,
        )
        if batch.soft_labels is None:
            return painted
        share = soft_label_weight(o.forest, sum(self.counts))
        # Hints tell frequencies, too: as many pixels of them are learned from as their loss counts.
        self._seen += share * table.sum() * batch.soft_labels.probabilities.mean(0).cpu()
        return painted + share * divergence_from_soft_labels(outputs, batch.soft_labels)

    @torch.no_grad()
    def validate(self, network: nn.Module, device: torch.device, step: int) -> Validated | None:
        """Return loss and IoU per class over the held-out painted pixels, each counted once."""
        n = len(self.values)
        confusion, loss = torch.zeros(n, n, dtype=torch.int64), 0.0
        for sample in self.sampler.windows(self.input_shape, self.output_shape):
            inputs, labels = _stack([sample])
            target = centre_crop(labels[:, None], self.output_shape)[:, 0]
            outputs = network(inputs.to(device)).cpu()
            seen = target != IGNORED
            loss += segmentation_loss("ce", outputs, target).item() * int(seen.sum())
            confusion += confusion_of(outputs, target, n)
        pixels = int(confusion.sum())
        if not pixels:
            return None
        table = tuple(map(tuple, confusion.tolist()))
        return Validated(
            step,
            loss / pixels,
            "IoU",
            iou(table),
            pixels,
            table,
            tuple(map(tuple, self._learned.tolist())),
        )

    @torch.no_grad()
    def calibrate(self, network: nn.Module, device: torch.device) -> None:
        """Make the classes as frequent as the image, not the strokes, says they are."""
        if not self._calibrates:
            return
        assert isinstance(network, Network)
        answers = [
            torch.softmax(network(window.to(device)), 1).cpu().movedim(1, -1).flatten(0, -2)
            for window in self._windows()
        ]
        self._shift = self._calibration(torch.cat(answers))
        shift_head(network, self._shift)

    def _windows(self) -> Iterator[Tensor]:
        """Yield patches (1, C, *patch) from all over the images, always the same."""
        views = [pair.view for pair in self.painted]
        spread = spread_windows(
            views, self.input_shape, self.output_shape, CALIBRATION_WINDOWS, self.options.seed
        )
        for view, loop, window in spread:
            yield torch.from_numpy(self.normalisation.apply(view.read_raw(loop, window)))[None]

    def build_model(self, weights: Weights, metadata: dict[str, Any]) -> TrainedModel:
        """Make the model."""
        return TrainedModel(
            config=self.config,
            weights=weights,
            normalisation=self.normalisation,
            task="segment",
            classes=self._classes(),
            spacing=self.spacing,
            input_spec=InputSpec(border=self.painted[0].view.border),
            training={
                **metadata,
                **self._origin(),
                "strokes": digest_of(self.painted),
                "painted": dict(zip(self.class_names, self.counts, strict=True)),
                **options_metadata(self.options),
            },
        )

    def state(self) -> dict[str, Any]:
        """Return what a training needs to go on just so, as plain JSON."""
        return {
            "random": self.random.bit_generator.state,
            "augmented": self.augmenter.step,
            "seen": self._seen.tolist(),
            "learned": self._learned.tolist(),
            "factors": self._factors.tolist(),
            "continued_from": self._continued_from,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from where `state` was."""
        self.random.bit_generator.state = state["random"]
        self.augmenter.step = state["augmented"]
        self._seen = torch.tensor(state["seen"], dtype=torch.float64)
        self._learned = torch.tensor(state["learned"])
        self._factors = torch.tensor(state["factors"])
        self._continued_from = state["continued_from"]

    def _origin(self) -> dict[str, Any]:
        """Return what another training must know to go on from this one."""
        metadata: dict[str, Any] = {}
        if self._shift is not None:
            metadata[CALIBRATION] = self._shift.tolist()
        if self._continued_from is not None:
            metadata["continued_from"] = self._continued_from
        return metadata


def _stack(samples: Sequence[PatchSample]) -> tuple[Tensor, Tensor]:
    images = torch.from_numpy(np.stack([s.image for s in samples]))
    return images, torch.from_numpy(np.stack([s.labels for s in samples]))

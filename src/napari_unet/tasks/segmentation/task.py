"""Segmentation: learn classes from annotations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from napari_unet.control import Previewed, Viewport
from napari_unet.data.augment import Augmenter
from napari_unet.data.normalisation import (
    ImageNormalisations,
    Normalisation,
    fit_normalisation,
    fit_to_classes,
)
from napari_unet.data.sampling import IGNORED, AnnotatedImage, PatchSample, PatchSampler
from napari_unet.geometry.region import Region
from napari_unet.inference.preview import previewed, probabilities
from napari_unet.model import ClassInfo, InputSpec, TrainedModel, Weights
from napari_unet.network.blocks import Network, centre_crop
from napari_unet.network.build import expand_head, load_network
from napari_unet.network.inference import for_inference
from napari_unet.network.unet_config import UNetConfig
from napari_unet.tasks.base import TaskBase
from napari_unet.tasks.plan import TrainingPlan
from napari_unet.tasks.segmentation.active_learning import AnnotationSuggester, UncertaintyProbe
from napari_unet.tasks.segmentation.calibration import (
    CALIBRATION,
    ClassFrequencies,
    shift_head,
    stored_factors,
)
from napari_unet.tasks.segmentation.data import (
    MANY_CLASSES,
    class_infos,
    count_all,
    count_not_finite,
    digest_of,
    plan_segmentation,
)
from napari_unet.tasks.segmentation.forest_distillation import (
    MAX_WINDOWS,
    ForestTeacher,
    pop_soft_labels,
    soft_label_weight,
)
from napari_unet.tasks.segmentation.losses import (
    class_weights,
    divergence_from_soft_labels,
    segmentation_loss,
)
from napari_unet.tasks.segmentation.options import SegmentOptions
from napari_unet.tasks.windows import spread_windows
from napari_unet.training.events import Suggested, Validated
from napari_unet.training.metrics import iou
from napari_unet.training.task import Batch

CALIBRATION_WINDOWS = 12
"""Number of windows of the images that a finished network is calibrated on."""

CONFUSION_DECAY = 0.98
"""Factor per step by which the confusion of the latest batches fades."""

FEW_PIXELS = 50
"""A class with fewer annotated pixels than this is worth a warning."""

TOO_FEW = (
    "Too few strokes to set some aside for testing, so there is no score yet. Paint in more places."
)
"""What is said where too little is annotated to hold any of it out for validation."""

NONE_HELD_OUT = "No strokes are set aside for testing (held out: 0), so there is no score."
"""What is said where validation is turned off by an option."""


def confusion_of(outputs: Tensor, targets: Tensor, classes: int) -> Tensor:
    """Count the annotated voxels by true and predicted class.

    Parameters
    ----------
    outputs : Tensor
        (B, classes, *spatial): logits or probabilities.
    targets : Tensor
        (B, *spatial): class indices, -1 where nothing is annotated.
    classes : int
        Number of classes.

    Returns
    -------
    Tensor
        (classes, classes): the truth by rows, the likeliest class by columns.
    """
    seen = targets != IGNORED
    indices = targets[seen] * classes + outputs.argmax(1)[seen]
    return torch.bincount(indices, minlength=classes**2).reshape(classes, classes)


def continued_network(model: TrainedModel, classes: int, seed: int = 0) -> Network:
    """Return a model's network in training mode, not calibrated, with so many classes.

    Parameters
    ----------
    model : TrainedModel
        The model.
    classes : int
        At least as many as the model has; the new ones come last.
    seed : int
        Determines the weights of new classes.
    """
    network = load_network(model.config, model.weights)
    shift_head(network, 1 / stored_factors(model, len(model.classes)))
    return expand_head(network, classes, seed).train()


class SegmentationTask(TaskBase):
    """What a segmentation gives to the training loop.

    Parameters
    ----------
    annotated : sequence of AnnotatedImage
        Images with the same channels, and their annotations.
    plan : TrainingPlan
        Network, shapes and classes; see `plan_segmentation`.
    options : SegmentOptions
        What can be set.
    start : TrainedModel, optional
        The model to go on from: its network, normalisation and classes are kept.

    Raises
    ------
    InputError
        Where the images are constant, or cannot be held out as the options say.
    """

    options: SegmentOptions

    def __init__(
        self,
        annotated: Sequence[AnnotatedImage],
        plan: TrainingPlan,
        options: SegmentOptions,
        start: TrainedModel | None = None,
    ) -> None:
        super().__init__(plan, options, start)
        self.annotated = tuple(annotated)
        self._count_annotations()
        self._measure_images()
        self._prepare_sampling()
        self._prepare_statistics()
        self._forest = self._forest_teacher()
        self._suggester = AnnotationSuggester(self.sampler, plan.spacing, options.seed)
        self._viewed: Viewport | None = None

    @classmethod
    def of(
        cls,
        annotated: Sequence[AnnotatedImage],
        options: SegmentOptions,
        start: TrainedModel | None = None,
    ) -> SegmentationTask:
        """Plan a segmentation with the classes that are annotated now, and build its task.

        Parameters
        ----------
        annotated : sequence of AnnotatedImage
            Images with the same channels, and their annotations.
        options : SegmentOptions
            What can be set.
        start : TrainedModel, optional
            The model to go on from.

        Raises
        ------
        InputError
            Where images, network, model and options do not fit together.
        """
        return cls(annotated, plan_segmentation(annotated, options, start), options, start)

    def _count_annotations(self) -> None:
        """Take the classes of the plan, and count what is annotated of each."""
        self._versions = self._annotation_versions()
        counts = count_all(self.annotated)
        self.values = self.plan.class_values
        self.counts = tuple(counts.get(value, 0) for value in self.values)
        self.class_names = tuple(str(info) for info in self._class_infos())
        if set(counts) - set(self.values):
            self._versions = ()  # annotated since the plan was made: the first step takes it up

    def _measure_images(self) -> None:
        """Fit the normalisation; a model to start from brings its own."""
        views = [one.view for one in self.annotated]
        kind = self.options.normalise
        seed = self.options.seed
        known = None if self.start is None else self.start.normalisation
        if known is None or known.limits:
            per_image = self.options.intensities == "per_image" if known is None else True
            fitted = fit_to_classes(views, kind, per_image=per_image, seed=seed)
        else:
            fitted = fit_normalisation(views, kind, seed=seed)
        self.measured, self.finite = fitted
        self.normalisation: Normalisation = known or self.measured
        self._normalisations = ImageNormalisations(self.normalisation)

    def _prepare_sampling(self) -> None:
        """Split the annotations into training and validation, and set up what draws patches."""
        options = self.options
        self.augmenter = Augmenter(options.augment, self.plan.ndim, self.plan.spacing, options.seed)
        self.sampler = PatchSampler(
            self.annotated,
            self.values,
            self._normalisations,
            options.held_out,
            options.seed,
            balance=options.balance,
            whole=options.split == "image",
        )

    def _prepare_statistics(self) -> None:
        """Set to zero what is counted while the network learns."""
        classes = len(self.values)
        self._frequencies = ClassFrequencies(stored_factors(self.start, classes))
        self._confusion = torch.zeros(classes, classes)
        self._applied_factors: Tensor | None = None

    def _forest_teacher(self) -> ForestTeacher | None:
        """Return the random forest that labels unannotated pixels, if one is wanted and can."""
        config = self.config
        if not (self.options.forest and isinstance(config, UNetConfig) and config.filters):
            return None
        return ForestTeacher(
            config, self.sampler, self.input_shape, self.output_shape, self.options.seed
        )

    def _continued_network(self, start: TrainedModel) -> Network:
        return continued_network(start, self.config.out_channels, self.options.seed)

    def _class_infos(self) -> tuple[ClassInfo, ...]:
        return class_infos(self.values, self.options, self.start)

    def warnings(self) -> Iterator[str]:
        """Yield what the user should know before the first step."""
        yield from super().warnings()
        if self.finite < 1:
            yield (
                f"{1 - self.finite:.2%} of the pixels are not finite (NaN or infinite); they "
                "are ignored."
            )
        yield from self._few_pixels()
        if len(self.values) > MANY_CLASSES:
            yield (
                f"{len(self.values)} labels become as many classes. Where each is the number of an "
                "object, treat all labels as one class (option merge_labels)."
            )
        if not self.sampler.val_count.any():
            yield TOO_FEW if self.options.held_out else NONE_HELD_OUT

    def _few_pixels(self) -> Iterator[str]:
        """Yield the classes of which little or nothing is annotated that can be learned from."""
        not_finite = count_not_finite(self.annotated)
        for value, info, count in zip(self.values, self._class_infos(), self.counts, strict=True):
            lost = not_finite.get(value, 0)
            if self.start and not count:
                yield f"There are no strokes of {info}: the network may forget this class."
            elif count - lost < FEW_PIXELS:
                ignored = f" ({lost} more are NaN or infinite, and are ignored)" if lost else ""
                yield (
                    f"Few pixels are painted of {info}: {count - lost}{ignored}. "
                    "More strokes will help."
                )

    def batch(self, size: int) -> Batch:
        """Draw patches around annotated pixels, and augment them.

        Parameters
        ----------
        size : int
            Number of patches.
        """
        read_shape = self.augmenter.read_shape(self.input_shape)
        samples = [
            self.sampler.draw(read_shape, self.random, self.output_shape) for _ in range(size)
        ]
        images, labels = _stack(samples)
        predicted = self._forest_labels(images, labels)
        inputs, targets = self.augmenter(images, labels, self.input_shape, self.output_shape)
        soft_labels = None if predicted is None else pop_soft_labels(targets, predicted)
        return Batch(inputs, targets, soft_labels=soft_labels)

    def _forest_labels(self, images: Tensor, labels: Tensor) -> Tensor | None:
        """Return the forest's probabilities for some unannotated pixels, marked in `labels`."""
        if self._forest is None or not self._soft_label_weight():
            return None
        self._forest.update_trees(self._versions, self._class_weights())
        return self._forest.predict_unlabelled(images, labels, len(self.values), self.random)

    def _soft_label_weight(self) -> float:
        return soft_label_weight(self.options.forest, sum(self.counts))

    def _class_weights(self) -> Tensor | None:
        return class_weights(self.options, self.values, self.counts)

    def sync_annotations(self) -> Callable[[nn.Module], nn.Module] | None:
        """Take up what was annotated since; for new classes return how to expand a network."""
        if not self.annotations_changed:
            return None
        self._versions = self._annotation_versions()
        counts = count_all(self.annotated)
        new = tuple(value for value in counts if value not in self.values)
        self._set_classes((*self.values, *new), counts)
        if not new:
            return None
        number, seed = len(self.values), self.options.seed
        self.plan = self.plan.with_classes(self.values)
        self._frequencies.add_classes(len(new))
        self._confusion = nn.functional.pad(self._confusion, (0, len(new)) * 2)

        def expanded(network: nn.Module) -> nn.Module:
            assert isinstance(network, Network)
            return expand_head(network, number, seed)

        return expanded

    def _annotation_versions(self) -> tuple[int, ...]:
        return tuple(one.store.version for one in self.annotated)

    @property
    def annotations_changed(self) -> bool:
        """Whether something was annotated or erased since it was last taken up."""
        return self._annotation_versions() != self._versions

    @property
    def has_labels(self) -> bool:
        """Whether anything is annotated to learn from; all of it may have been erased."""
        return bool(self.sampler.train_count.any())

    def _set_classes(self, values: tuple[int, ...], counts: dict[int, int]) -> None:
        """Set the classes, and the number of annotated pixels of each."""
        self.values = values
        self.counts = tuple(counts.get(value, 0) for value in values)
        self.class_names = tuple(str(info) for info in self._class_infos())
        self.sampler.classes = values
        self.sampler.refresh()

    @torch.no_grad()
    def preview(
        self, network: nn.Module, device: torch.device, step: int, view: Viewport
    ) -> Previewed:
        """Predict the visible region, with its uncertainty.

        Parameters
        ----------
        network : Module
            Averaged weights.
        device : torch.device
            Where to compute.
        step : int
            The step that was reached.
        view : Viewport
            The visible region.
        """
        assert isinstance(network, Network)
        self._viewed = self._in_window(view)
        image = self.annotated[view.image_index].view.whole
        normalisation = self._normalisations.of(image, view.index)
        predicted = probabilities(for_inference(network, device), normalisation, image, view)
        if self._calibrates:
            factors = self._calibration_factors(predicted.flatten(1).T)
            predicted = predicted * factors.view(-1, *(1,) * len(view.region.shape))
            predicted = predicted / predicted.sum(0)
        return previewed(step, view, predicted, self.values)

    def suggest(self, network: nn.Module, device: torch.device) -> Suggested:
        """Find where further annotations would help most.

        Parameters
        ----------
        network : Module
            Averaged weights.
        device : torch.device
            Where to compute.
        """
        assert isinstance(network, Network)
        if self.preview_error:
            return Suggested(0, ())
        predict = partial(self._probabilities, for_inference(network, device))
        calibration = self._calibration_factors if self._calibrates else None
        probe = UncertaintyProbe.of(self.config, self.input_shape, predict, calibration)
        found = self._suggester.suggest(probe, self._viewed)
        offset = self.annotated[found.image_index].view.offset
        places = [
            tuple(i + a for i, a in zip(place, offset, strict=True)) for place in found.places
        ]
        return replace(found, places=tuple(places))

    def _in_window(self, view: Viewport) -> Viewport | None:
        """Return what of a view lies in the region of interest, in its voxels; None if nothing."""
        image = self.annotated[view.image_index].view
        loops = len(view.index)
        index = tuple(i - a for i, a in zip(view.index, image.offset, strict=False))
        region = view.region.shift(tuple(-a for a in image.offset[loops:]))
        region = region.intersect(Region.whole(image.spatial_shape))
        lies_in = all(0 <= i < n for i, n in zip(index, image.loop_shape, strict=True))
        return replace(view, index=index, region=region) if lies_in and region.size else None

    def _probabilities(self, network: Network, view: Viewport) -> Tensor:
        """Return the probabilities (class, *spatial) of a region of one of the images."""
        image = self.annotated[view.image_index].view
        normalisation = self._normalisations.of(image, view.index)
        return probabilities(network, normalisation, image, view)

    @property
    def _calibrates(self) -> bool:
        """Whether the image says how frequent the classes are, and a bias can take it up."""
        biased = self.network.head.bias is not None
        return biased and self.options.calibrate and self.options.zero == "unpainted"

    def _calibration_factors(self, predicted: Tensor) -> Tensor:
        """Return by how much each class is more frequent in the image than in the training.

        `predicted` are probabilities (voxels, classes).
        """
        annotated = torch.from_numpy(self.sampler.train_count > 0)
        return self._frequencies.factors_for(predicted, annotated, self._class_weights())

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the loss over annotated pixels, and over what the forest labelled.

        Parameters
        ----------
        outputs : Tensor
            (B, classes, *output_shape): logits.
        batch : Batch
            On the device of the outputs.
        """
        confusion = confusion_of(outputs.detach(), batch.targets, len(self.values)).cpu()
        self._frequencies.voxels += confusion.sum(1)
        self._confusion = CONFUSION_DECAY * self._confusion + confusion
        weights = self._class_weights()
        loss = segmentation_loss(
            self.options.loss,
            outputs,
            batch.targets,
            None if weights is None else weights.to(outputs.device),
            gamma=self.options.focal_gamma,
            alpha=self.options.tversky_alpha,
        )
        if batch.soft_labels is None:
            return loss
        # Soft labels say what the forest finds, not how often its classes were learned from: they
        # are no part of the frequencies, or the calibration would take them for the truth.
        share = self._soft_label_weight()
        return loss + share * divergence_from_soft_labels(outputs, batch.soft_labels)

    @torch.no_grad()
    def validate(self, network: nn.Module, device: torch.device, step: int) -> Validated | None:
        """Return loss and IoU per class over the held-out annotated pixels, each counted once.

        Parameters
        ----------
        network : Module
            The weights to test.
        device : torch.device
            Where to compute.
        step : int
            The step that was reached.
        """
        classes = len(self.values)
        confusion = torch.zeros(classes, classes, dtype=torch.int64)
        loss = 0.0
        for sample in self.sampler.windows(self.input_shape, self.output_shape):
            inputs, labels = _stack([sample])
            target = centre_crop(labels[:, None], self.output_shape)[:, 0]
            outputs = network(inputs.to(device)).cpu()
            loss += segmentation_loss("ce", outputs, target).item() * int((target != IGNORED).sum())
            confusion += confusion_of(outputs, target, classes)
        pixels = int(confusion.sum())
        if not pixels:
            return None
        table = _as_rows(confusion)
        learned = _as_rows(self._confusion)
        return Validated(step, loss / pixels, "IoU", iou(table), pixels, table, learned)

    @torch.no_grad()
    def calibrate(self, network: nn.Module, device: torch.device) -> None:
        """Make the classes as frequent as the images, not the annotations, say they are.

        Parameters
        ----------
        network : Module
            Averaged weights; changed in place.
        device : torch.device
            Where they are.
        """
        if not self._calibrates:
            return
        assert isinstance(network, Network)
        predicted = [
            torch.softmax(network(window.to(device)), 1).cpu().movedim(1, -1).flatten(0, -2)
            for window in self._calibration_windows()
        ]
        self._applied_factors = self._calibration_factors(torch.cat(predicted))
        shift_head(network, self._applied_factors)

    def _calibration_windows(self) -> Iterator[Tensor]:
        """Yield patches (1, C, *input_shape) from all over the images, the same for one seed."""
        windows = spread_windows(
            [one.view for one in self.annotated],
            self.input_shape,
            self.output_shape,
            CALIBRATION_WINDOWS,
            self.options.seed,
        )
        for view, loop, window in windows:
            normalisation = self._normalisations.of(view, loop)
            yield torch.from_numpy(normalisation.apply(view.read_raw(loop, window)))[None]

    def build_model(self, weights: Weights, metadata: dict[str, Any]) -> TrainedModel:
        """Return the model.

        Parameters
        ----------
        weights : mapping
            Arrays by name.
        metadata : dict
            What the loop says of the training, as plain JSON.
        """
        factors = self._applied_factors
        calibration = {} if factors is None else {CALIBRATION: factors.tolist()}
        annotations = {
            "strokes": digest_of(self.annotated),
            "painted": dict(zip(self.class_names, self.counts, strict=True)),
        }
        return TrainedModel(
            config=self.config,
            weights=weights,
            normalisation=self.normalisation,
            task="segment",
            classes=self._class_infos(),
            spacing=self.plan.spacing,
            channel_names=self.channel_names,
            input_spec=InputSpec(border=self.annotated[0].view.border),
            training=self._metadata({**metadata, **calibration}, annotations),
        )

    def state(self) -> dict[str, Any]:
        """Return what a training needs to go on exactly so, as plain JSON."""
        return {
            **super().state(),
            "augmented": self.augmenter.step,
            "seen": self._frequencies.voxels.tolist(),
            "learned": self._confusion.tolist(),
            "factors": self._frequencies.factors.tolist(),
            "forest": 0 if self._forest is None else self._forest.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Set what `state` returned.

        Parameters
        ----------
        state : dict
            From a checkpoint.
        """
        super().restore(state)
        self.augmenter.step = state["augmented"]
        self._frequencies.voxels = torch.tensor(state["seen"], dtype=torch.float64)
        self._frequencies.factors = torch.tensor(state["factors"])
        self._confusion = torch.tensor(state["learned"])
        if self._forest is not None:  # checkpoints of before do not say; their forest was there
            self._forest.restore(state.get("forest", MAX_WINDOWS))


def _as_rows(table: Tensor) -> tuple[tuple[Any, ...], ...]:
    return tuple(tuple(row) for row in table.tolist())


def _stack(samples: Sequence[PatchSample]) -> tuple[Tensor, Tensor]:
    """Return images (B, C, *read) and labels (B, *read)."""
    images = torch.from_numpy(np.stack([sample.image for sample in samples]))
    labels = torch.from_numpy(np.stack([sample.labels for sample in samples]))
    return images, labels

"""The training loop."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import isfinite, nan
from typing import Any, Literal

import torch
from torch import nn

from napari_unet.control import Control, Viewport
from napari_unet.device import (
    FreeCores,
    choose_device,
    describe_device,
    is_out_of_memory,
    using_threads,
)
from napari_unet.display import voxels
from napari_unet.errors import ModelFileError, OutOfMemoryError, TrainingError
from napari_unet.model import TrainedModel, Weights, weights_of
from napari_unet.network.blocks import best_memory_format, placed
from napari_unet.training.best_model import Best, BestWeights
from napari_unet.training.budget import Budget, PeriodicActions
from napari_unet.training.checkpoint import (
    BestState,
    Checkpoint,
    TrainerState,
    damage_reported,
    save_checkpoint,
)
from napari_unet.training.distributed import ProcessGroup
from napari_unet.training.events import (
    ClassesGrew,
    Decision,
    Finished,
    Resolved,
    Snapshot,
    Started,
    Stepped,
    StrokesChanged,
    TrainingEvent,
    Validated,
    Warned,
)
from napari_unet.training.optimiser import (
    ExponentialMovingAverage,
    build_optimiser,
    optimiser_arrays,
    restore_optimiser,
    set_learning_rate,
)
from napari_unet.training.options import TrainingOptions
from napari_unet.training.prefetch import BatchPrefetcher
from napari_unet.training.schedule import Schedule
from napari_unet.training.task import TrainingTask

RUN_CHECKPOINT = 40.0
"""Seconds between two checkpoints of a recorded run: with a long step and a slow disk it is still
less than a minute."""

FIRST_RUN_CHECKPOINT = 15.0
"""Seconds to the first checkpoint of a recorded run."""

MAX_BAD_STEPS = 10
"""Steps in a row whose loss is not finite before the training is given up."""

WAIT = 0.1
"""Seconds from one check to the next, while the training is paused or nothing is labelled."""

BATCHES_AHEAD = 4
"""Batches that are prepared in advance where another device than the CPU computes."""

FIRST_PREVIEW_STEP = 10
"""Steps before the first preview: earlier there is nothing to see."""

FIRST_VALIDATION_STEP = 20
"""Steps before the first validation: earlier, batch norm's statistics are arbitrary."""

SEED_STRIDE = 0x9E3779B1
"""Distance of the generator seeds of two trainings whose seeds differ by 1."""


def train_network(
    task: TrainingTask,
    options: TrainingOptions,
    control: Control | None = None,
    resume: Checkpoint | None = None,
) -> Iterator[TrainingEvent]:
    """Train the network of a task; yield what happens.

    Parameters
    ----------
    task : TrainingTask
        What to learn.
    options : TrainingOptions
        With a budget of steps, seconds or both.
    control : Control, optional
        Stops or pauses the training from another thread. What was learned until a stop is kept.
    resume : Checkpoint, optional
        Where an earlier training was interrupted; the task has its network. With the same options
        the weights are bit for bit those of an uninterrupted training, on a CPU with as many
        threads, unless validation is timed by seconds and has an influence.

    Yields
    ------
    TrainingEvent
        `Started` first, then `Stepped` for each step and now and then `Validated` or `Warned`,
        `Finished` with the model last.

    Raises
    ------
    TrainingError
        Where the loss stays not finite, or memory does not suffice for a batch of one.
    ModelFileError
        Where the checkpoint is damaged or is not of this network.
    """
    control = control or Control()
    device = choose_device(options.device)
    with using_threads(options.threads) as threads:
        yield Started(
            device=describe_device(device),
            threads=threads,
            parameters=sum(p.numel() for p in task.network.parameters()),
            steps=options.steps,
            seconds=options.seconds,
            batch_size=options.batch_size or task.batch_size,
            patch=task.input_shape,
            core=task.output_shape,
            class_names=task.class_names,
            counts=task.counts,
            class_values=task.values,
            plan=task.plan_entry(),
        )
        yield from map(Decision, task.notes())
        trainer = Trainer(task, options, control, device)
        yield from trainer.review_warnings()
        if resume is not None:
            trainer.restore(resume.trainer_state())
        trainer.processes.synchronise(task, trainer.network, trainer.average.network)
        try:
            yield from trainer.run()
        finally:
            trainer.batches.close()


class Trainer:
    """One training: network, average, optimiser and counters, and the loop over the steps.

    Parameters
    ----------
    task : TrainingTask
        What to learn; its network is moved to the device and trained in place.
    options : TrainingOptions
        Of the training.
    control : Control
        Stops, pauses and questions from another thread.
    device : torch.device
        Where to compute.
    """

    def __init__(
        self,
        task: TrainingTask,
        options: TrainingOptions,
        control: Control,
        device: torch.device,
    ) -> None:
        self.task = task
        self.control = control
        self.device = device
        self.processes = ProcessGroup(device)
        self.options = self.processes.options_of_rank(options)
        self.memory_format = best_memory_format(len(task.input_shape))
        self.network = placed(task.network, device, len(task.input_shape)).train()
        self.average = ExponentialMovingAverage(self.network, options.averaging)
        self.optimiser = build_optimiser(self.network, self.options)
        self.schedule = Schedule(self.options)
        self.best_weights = BestWeights(self.options.stop_after)
        self.batches = BatchPrefetcher(task.batch, _batches_ahead(options, device))
        self.free_cores = FreeCores() if _makes_way(options, device) else None
        self.batch_size = options.batch_size or task.batch_size
        self.step = 0
        self.budget = _budget(self.options)
        self.elapsed_before = 0.0
        self.bad_steps = 0
        self.last_validation: Validated | None = None
        self.last_view: Viewport | None = None
        self._not_saved = ""
        self._not_validated = ""
        self._warnings: list[str] = []

    def run(self) -> Iterator[TrainingEvent]:
        """Take steps until the budget is used, validation does not improve, or it is stopped."""
        self.budget.start(self.elapsed_before)
        periodic = self._periodic_actions()
        while self._goes_on():
            if self.free_cores is not None:
                torch.set_num_threads(self.free_cores.measure())
            yield from self._sync_annotations()
            yield from self._answer_questions()
            if self._must_wait():
                yield from self._wait()
                continue
            before = self.step
            yield from self._advance()
            if self.step > before:
                yield from self._run_periodic(periodic)
        yield from self._finish(self.budget.elapsed)

    def train_step(self, rate: float) -> float:
        """Take one step of the optimiser, on one batch of patches.

        Parameters
        ----------
        rate : float
            The learning rate.

        Returns
        -------
        float
            The loss, averaged over all processes. Not a number where the loss or its gradient was
            not finite: then the network is as it was before.
        """
        # The batch: drawn and augmented by the task, then moved to the device.
        batch = self.batches.next(self.batch_size).to(self.device, self.memory_format)

        # Forward. This changes the norms' running statistics, so that they are copied first.
        statistics = [buffer.clone() for buffer in self.network.buffers()]
        with self._seeded_dropout():
            outputs = self.network(batch.inputs)
        loss = self.task.loss(outputs, batch)
        if self.options.output_penalty:
            loss = loss + self.options.output_penalty * outputs.square().mean()

        # Backward; then the gradients are averaged over the processes that train together.
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        mean_loss = self.processes.average_gradients(loss)

        # A step that is not finite is left out, as if it had not been.
        trained = [p for p in self.network.parameters() if p.grad is not None]
        norm = nn.utils.get_total_norm([p.grad for p in trained if p.grad is not None])
        if not isfinite(mean_loss) or not isfinite(norm.item()):
            for buffer, before in zip(self.network.buffers(), statistics, strict=True):
                buffer.copy_(before)
            return nan

        # Clip the gradient, move the weights, and let their average follow.
        if self.options.clip_gradient is not None:
            nn.utils.clip_grads_with_norm_(trained, self.options.clip_gradient, norm)
        set_learning_rate(self.optimiser, rate, self.step)
        self.optimiser.step()
        self.average.update(self.network)
        return mean_loss

    def validate(self) -> Iterator[TrainingEvent]:
        """Validate the averaged weights on what is held out."""
        result = self.task.validate(self.average.network, self.device, self.step)
        if result is None:
            consequences = self.options.without_tests()
            if consequences and not self._not_validated:
                self._not_validated = f"Nothing is held out for validation, so {consequences}."
                yield Warned(self._not_validated)
            return
        if self._not_validated:
            yield Resolved(self._not_validated)
            self._not_validated = ""
        self.last_validation = result
        self.schedule.record_loss(result.loss)
        self.best_weights.update(result, self.average.network, self.budget.elapsed)
        yield result

    def review_warnings(self) -> Iterator[TrainingEvent]:
        """Yield warnings of the task that are new, and that those hold no longer that are not."""
        before, self._warnings = self._warnings, list(self.task.warnings())
        yield from (Resolved(text) for text in before if text not in self._warnings)
        yield from (Warned(text) for text in self._warnings if text not in before)

    def preview(self) -> Iterator[TrainingEvent]:
        """Predict what is looked at, by the averaged weights."""
        self.last_view = view = self.control.view
        if view is not None:
            yield self.task.preview(self.average.network, self.device, self.step, view)

    def snapshot(self) -> Iterator[TrainingEvent]:
        """Yield the model that would be saved now."""
        model = self._present_model()
        yield Snapshot(self.step, self.budget.elapsed, model)

    def save_checkpoint(self) -> Iterator[TrainingEvent]:
        """Write a checkpoint; where that fails, warn once, until it succeeds again."""
        path = self.options.checkpoint or self.control.checkpoint
        assert path is not None
        model = self._present_model()
        options = self.options.model_dump(mode="json")
        try:
            save_checkpoint(Checkpoint.of(model, options, self.state()), path)
        except ModelFileError as error:
            if not self._not_saved:
                self._not_saved = f"{error} The training continues."
                yield Warned(self._not_saved)
        else:
            if self._not_saved:
                yield Resolved(self._not_saved)
            self._not_saved = ""

    def state(self) -> TrainerState:
        """Return all that is needed to resume the training from here."""
        return TrainerState(
            network=weights_of(self.network),
            average=weights_of(self.average.network),
            optimiser=optimiser_arrays(self.optimiser),
            step=self.step,
            elapsed=self.budget.elapsed,
            batch_size=self.batch_size,
            average_updates=self.average.updates,
            schedule=self.schedule.state(),
            last_validation=self.last_validation,
            least_loss=self.best_weights.least_loss,
            without_gain=self.best_weights.without_gain,
            best=self._best_state(),
            task=self.task.state(),
        )

    def restore(self, state: TrainerState) -> None:
        """Resume from a state; the network has the same shape.

        Raises
        ------
        ModelFileError
            Where parts of the state do not belong together.
        """
        with damage_reported():
            _load_weights(self.network, state.network)
            _load_weights(self.average.network, state.average)
            restore_optimiser(self.optimiser, state.optimiser)
            self.step = state.step
            self.batch_size = state.batch_size
            self.elapsed_before = state.elapsed
            self.average.updates = state.average_updates
            self.schedule.restore(state.schedule)
            self.last_validation = state.last_validation
            self.best_weights.least_loss = state.least_loss
            self.best_weights.without_gain = state.without_gain
            if state.best is not None:
                network = copy.deepcopy(self.average.network)
                _load_weights(network, state.best.weights)
                self.best_weights.best = Best(network, state.best.result, state.best.elapsed)
            self.task.restore(state.task)

    def _best_state(self) -> BestState | None:
        best = self.best_weights.best
        if best is None:
            return None
        return BestState(weights_of(best.network), best.result, best.elapsed)

    def _goes_on(self) -> bool:
        """Tell whether there is another step, in any process."""
        ended = self.control.stopped or self.best_weights.should_stop
        return not self.processes.any(ended or self.budget.progress(self.step) >= 1)

    def _must_wait(self) -> bool:
        """Tell whether no step can be taken now, in any process."""
        waits = self.control.paused or self.control.stopped or not self.task.has_labels
        return self.processes.any(waits)

    def _wait(self) -> Iterator[TrainingEvent]:
        """Wait a moment; where another part is looked at meanwhile, preview it."""
        if self._can_preview and self.control.view != self.last_view:
            began = self.budget.elapsed
            yield from self.preview()
            if self.control.paused:
                self.budget.exclude(self.budget.elapsed - began)
        if self.control.paused:
            self.budget.exclude(self.control.wait(WAIT))
        else:
            time.sleep(WAIT)

    def _advance(self) -> Iterator[TrainingEvent]:
        """Try to take a step; yield that it was taken, or why not."""
        rate = self.schedule.rate(self.step, self.budget.progress(self.step))
        rate = self.options.learning_rate * self.processes.broadcast(rate)
        try:
            loss = self.train_step(rate)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            loss = nan
            warning = self._halve_batch_size(error)
        else:
            warning = self._count_bad_steps(loss)
        # Not in the block above: while an error is handled, it holds what fills the memory.
        if warning:
            yield Warned(warning)
        if change := self.batches.starvation_change():
            yield change
        if not isfinite(loss):
            return
        self.step += 1
        progress = None if self.options.open_ended else min(1.0, self.budget.progress(self.step))
        remaining = self.budget.remaining(self.step)
        yield Stepped(self.step, loss, rate, self.budget.elapsed, remaining, progress)

    def _halve_batch_size(self, error: BaseException) -> str:
        """Halve the batches because memory ran out; return a warning."""
        self.processes.skip_step(error)
        self.batch_size //= 2
        self.optimiser.zero_grad(set_to_none=True)
        if not self.batch_size:
            raise OutOfMemoryError(
                f"There is not enough memory on {describe_device(self.device)} for one patch",
                got=f"{self.task.input_shape} {voxels(len(self.task.input_shape))}",
                todo="Choose a smaller network or smaller patches",
            ) from error
        return f"Memory ran out: the training continues with {self.batch_size} patches per step."

    def _count_bad_steps(self, loss: float) -> str:
        """Count steps in a row whose loss is not finite; return a warning at the first."""
        if isfinite(loss):
            self.bad_steps = 0
            return ""
        self.bad_steps += 1
        if self.bad_steps >= MAX_BAD_STEPS:
            raise TrainingError(
                f"The loss or its gradient was not finite {MAX_BAD_STEPS} times in a row",
                todo="Choose a lower learning rate, and check the image for extreme pixel values",
            )
        if self.bad_steps > 1:
            return ""
        return "The loss or its gradient was not finite; this step was skipped."

    @contextmanager
    def _seeded_dropout(self) -> Iterator[None]:
        """Seed torch's global generators, which dropout draws from; restore them afterwards."""
        seed = self.processes.seed_for_rank(self.options.seed * SEED_STRIDE + self.step)
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            yield

    def _periodic_actions(self) -> PeriodicActions:
        """Return the schedules; the checkpoint of a recorded run is never older than a minute."""
        if self.options.checkpoint is None:
            return PeriodicActions(self.budget, RUN_CHECKPOINT, FIRST_RUN_CHECKPOINT)
        return PeriodicActions(self.budget, self.options.checkpoint_seconds)

    def _run_periodic(self, periodic: PeriodicActions) -> Iterator[TrainingEvent]:
        """Validate, preview, snapshot and save, each when it is due."""
        options = self.options
        if options.test_every:
            if self.step % options.test_every == 0:
                yield from self.validate()
        elif self.step >= FIRST_VALIDATION_STEP:
            yield from periodic.validation.run(self.validate)
        if self._can_preview:
            yield from periodic.preview.run(self.preview)
        if options.keep_history:
            yield from periodic.snapshot.run(self.snapshot)
        if (options.checkpoint or self.control.checkpoint) and self.processes.is_main:
            yield from periodic.checkpoint.run(self.save_checkpoint)

    @property
    def _can_preview(self) -> bool:
        """Whether somebody looks at the image, and there is something to see."""
        looked_at = self.control.view is not None and not self.task.preview_error
        return looked_at and self.step >= FIRST_PREVIEW_STEP

    def _answer_questions(self) -> Iterator[TrainingEvent]:
        """Answer what was asked, after the first step."""
        while self.step and (question := self.control.asked()):
            if question == "keep":
                yield from self.snapshot()
            elif question == "preview":
                yield from self.preview()
            else:
                yield self.task.suggest(self.average.network, self.device)

    def _sync_annotations(self) -> Iterator[TrainingEvent]:
        """Take over changed labels; where a class is new, the network gets an output for it."""
        task = self.task
        if self.processes.size > 1 or not task.annotations_changed:
            return
        before = task.counts
        with self.batches.lock:
            grow = task.sync_annotations()
            self.batches.discard()
        if grow is not None:
            yield from self._grow(grow)
        elif task.counts != before:
            self._forget_validations()
            yield StrokesChanged(task.counts)
        yield from self.review_warnings()

    def _grow(self, grow: Callable[[nn.Module], nn.Module]) -> Iterator[TrainingEvent]:
        """Give the network outputs for the classes that are new."""
        task = self.task
        ndim = len(task.input_shape)
        self.network = placed(grow(self.network), self.device, ndim).train()
        self.average.network = placed(grow(self.average.network), self.device, ndim).eval()
        self.average.network.requires_grad_(False)
        self.optimiser = build_optimiser(self.network, self.options)
        self._forget_validations()
        yield ClassesGrew(task.class_names, task.counts, task.values)

    def _forget_validations(self) -> None:
        """Do not compare with losses of before, which were computed from other labels."""
        self.schedule.reset()
        self.best_weights.reset()

    def _finish(self, elapsed: float) -> Iterator[TrainingEvent]:
        left_at = self.control.checkpoint if self.control.left else None
        if self.step and (self.options.checkpoint or left_at):
            yield from self.save_checkpoint()
        best = self._best_model()
        self.task.calibrate(self.average.network, self.device)
        # Who stops a training does not want to wait for a validation.
        if self.step and self.processes.is_main and not self.control.stopped:
            result = self.task.validate(self.average.network, self.device, self.step)
            if result is not None:
                self.last_validation = result
                yield result
        last = self._model(self.average.network, self.step, elapsed, self.last_validation)
        model = best if best is not None and self.options.keep == "best" else last
        yield Finished(model, self._reason, self.step, elapsed, best)

    @property
    def _reason(self) -> Literal["budget", "stopped", "no gain"]:
        if self.control.stopped:
            return "stopped"
        return "no gain" if self.best_weights.should_stop else "budget"

    def _best_model(self) -> TrainedModel | None:
        """Calibrate the best weights, and make a model of them."""
        best = self.best_weights.best
        if best is None:
            return None
        self.task.calibrate(best.network, self.device)
        return self._model(best.network, best.result.step, best.elapsed, best.result)

    def _present_model(self) -> TrainedModel:
        """Make a model of the averaged weights as they are now, calibrated."""
        network = copy.deepcopy(self.average.network)
        self.task.calibrate(network, self.device)
        return self._model(network, self.step, self.budget.elapsed, self.last_validation)

    def _model(
        self, network: nn.Module, step: int, elapsed: float, result: Validated | None
    ) -> TrainedModel:
        metadata: dict[str, Any] = {"steps": step, "seconds": round(elapsed, 2)}
        metadata |= self.processes.metadata
        if result is not None:
            metadata["validation"] = result.facts
        return self.task.build_model(weights_of(network), metadata)


def _budget(options: TrainingOptions) -> Budget:
    if options.open_ended:
        return Budget(None, None)
    return Budget(options.steps, options.seconds)


def _batches_ahead(options: TrainingOptions, device: torch.device) -> int:
    """Return how many batches are prepared in advance; by default none on a busy CPU."""
    if options.read_ahead is not None:
        return options.read_ahead
    return 0 if device.type == "cpu" else BATCHES_AHEAD


def _makes_way(options: TrainingOptions, device: torch.device) -> bool:
    """Tell whether the training uses only cores that other programs leave free."""
    return options.make_way and options.threads is None and device.type == "cpu"


def _load_weights(network: nn.Module, weights: Weights) -> None:
    network.load_state_dict({name: torch.tensor(array) for name, array in weights.items()})

"""The training loop."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
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
from napari_unet.errors import ModelFileError, OutOfMemoryError, TrainingError
from napari_unet.model import TrainedModel, weights_of
from napari_unet.network.blocks import best_memory_format, placed
from napari_unet.training.best_model import BestWeights
from napari_unet.training.budget import Budget, TimeShare
from napari_unet.training.checkpoint import Checkpoint, capture, restore, save_checkpoint
from napari_unet.training.distributed import ProcessGroup
from napari_unet.training.events import (
    ClassesGrew,
    Decision,
    Finished,
    Snapshot,
    Started,
    Stepped,
    StrokesChanged,
    TrainingEvent,
    Validated,
    Warned,
)
from napari_unet.training.optimiser import ExponentialMovingAverage, build_optimiser, set_rate
from napari_unet.training.options import TrainingOptions
from napari_unet.training.prefetch import BatchPrefetcher
from napari_unet.training.schedule import Schedule
from napari_unet.training.task import TrainingTask

MAX_BAD_STEPS = 10
WAIT = 0.1
"""Seconds between two looks at whether there is anything to learn from again."""

READ_AHEAD = 4
"""Batches that are prepared meanwhile, where another device than the CPU computes."""

FIRST_PREVIEW = 10
"""Steps before there is anything to show."""


def train_network(
    learner: TrainingTask,
    options: TrainingOptions,
    control: Control | None = None,
    resume: Checkpoint | None = None,
) -> Iterator[TrainingEvent]:
    """Train; yield what happens.

    Parameters
    ----------
    learner : TrainingTask
        What to learn, and from what.
    options : TrainingOptions
        With a budget of steps, seconds or both.
    control : Control, optional
        Stops or pauses the loop from another thread. Stopping keeps what was learned.
    resume : Checkpoint, optional
        Where an earlier training was; the learner has its network. With the same options the
        two give the same bits as one that was not interrupted, on a CPU with as many threads,
        unless seconds decide when it is tested and the tests decide anything.

    Yields
    ------
    TrainingEvent
        `Started` first, then `Stepped` for each step and now and then `Validated` or `Warned`,
        `Finished` with the model last.

    Raises
    ------
    TrainingError
        Where the loss stays not finite, or memory does not suffice for a batch of one.
    """
    control = control or Control()
    device = choose_device(options.device)
    with using_threads(options.threads) as threads:
        yield Started(
            device=describe_device(device),
            threads=threads,
            parameters=sum(p.numel() for p in learner.network.parameters()),
            steps=options.steps,
            seconds=options.seconds,
            batch_size=options.batch_size or learner.batch_size,
            patch=learner.input_shape,
            core=learner.output_shape,
            class_names=learner.class_names,
            counts=learner.counts,
            class_values=learner.values,
        )
        yield from map(Decision, learner.notes())
        yield from map(Warned, learner.warnings())
        loop = Trainer(learner, options, control, device)
        if resume is not None:
            restore(loop, resume)
        loop.together.begin(learner, loop.network, loop.average.network)
        try:
            yield from loop.run()
        finally:
            loop.reader.end()


class Trainer:
    """The state of one run."""

    def __init__(
        self,
        learner: TrainingTask,
        options: TrainingOptions,
        control: Control,
        device: torch.device,
    ) -> None:
        self.learner, self.control, self.device = learner, control, device
        self.together = ProcessGroup(device)
        self.options = options = self.together.part_of(options)
        self.layout = best_memory_format(len(learner.input_shape))
        self.network = placed(learner.network, device, len(learner.input_shape)).train()
        self.average = ExponentialMovingAverage(self.network, options.averaging)
        self.optimiser = self._new_optimiser()
        self.schedule = Schedule(options)
        self.batch_size = options.batch_size or learner.batch_size
        self.step = 0
        self.spent = 0.0
        self.bad_steps = 0
        self.warned = self.untested = False
        self.last: Validated | None = None
        self.judge = BestWeights(options.stop_after)
        usual = 0 if device.type == "cpu" else READ_AHEAD
        ahead = usual if options.read_ahead is None else options.read_ahead
        self.reader = BatchPrefetcher(learner.batch, ahead)
        self.shown: Viewport | None = None

    def run(self) -> Iterator[TrainingEvent]:
        """Take steps until the budget is used or somebody stops it."""
        endless = self.options.open_ended
        self.budget = budget = Budget(
            *(None, None) if endless else (self.options.steps, self.options.seconds)
        )
        budget.leave_out(-self.spent)
        besides = Besides(self, self.spent)
        free = FreeCores() if self._makes_way else None
        while self._goes_on():
            if free is not None:
                torch.set_num_threads(free.look())
            yield from self._take_up()
            yield from self._answer()
            rests = self.control.paused or self.control.stopped or not self.learner.has_labels
            if self.together.any(rests):
                yield from self._wait()
                continue
            taken = self.step
            yield from self._advance()
            if self.step > taken:
                yield from besides.after_step()
        yield from self._finish(budget.elapsed)

    def _advance(self) -> Iterator[TrainingEvent]:
        """Take a step, or say why there was none."""
        budget, endless = self.budget, self.options.open_ended
        rate = self.schedule.rate(self.step, budget.progress(self.step))
        rate = self.options.learning_rate * self.together.broadcast(rate)
        loss, warning = self._attempt(rate)
        if warning:
            yield Warned(warning)
        if told := self.reader.changed():
            yield Warned(told) if self.reader.data_starved else Decision(told)
        if loss is None:
            return
        self.step += 1
        yield Stepped(
            self.step,
            loss,
            rate,
            budget.elapsed,
            budget.remaining(self.step),
            None if endless else min(1.0, budget.progress(self.step)),
        )

    @property
    def _makes_way(self) -> bool:
        o = self.options
        return o.make_way and o.threads is None and self.device.type == "cpu"

    def _goes_on(self) -> bool:
        """Tell whether there is a next step."""
        ended = self.control.stopped or self.judge.is_enough
        return not self.together.any(ended or self.budget.progress(self.step) >= 1)

    def _wait(self) -> Iterator[TrainingEvent]:
        """Let some time pass without a step; what is looked at is shown all the same."""
        if self.can_show and self.control.view != self.shown:
            began = self.budget.elapsed
            yield from self.preview()
            if self.control.paused:
                self.budget.leave_out(self.budget.elapsed - began)
        if self.control.paused:
            self.budget.leave_out(self.control.wait(WAIT))
        else:
            time.sleep(WAIT)

    def _take_up(self) -> Iterator[TrainingEvent]:
        """Take up new strokes; where a class is new, let the network grow it."""
        if self.together.size > 1 or not self.learner.annotations_changed:
            return
        before = self.learner.counts
        with self.reader.lock:
            grow = self.learner.sync_annotations()
            self.reader.drop()
        if grow is None:
            if self.learner.counts != before:
                self._start_over()
                yield StrokesChanged(self.learner.counts)
            return
        ndim = len(self.learner.input_shape)
        self.network = placed(grow(self.network), self.device, ndim).train()
        self.average.network = placed(grow(self.average.network), self.device, ndim).eval()
        self.average.network.requires_grad_(False)
        self.optimiser = self._new_optimiser()
        self._start_over()
        learner = self.learner
        yield ClassesGrew(learner.class_names, learner.counts, learner.values)

    def _start_over(self) -> None:
        """Compare no longer with tests of before, for there is something else to learn now."""
        self.schedule.start_over()
        self.judge.start_over()

    def _new_optimiser(self) -> torch.optim.Optimizer:
        return build_optimiser(self.network, self.options)

    @property
    def can_show(self) -> bool:
        """Whether there is something to show, and somebody to look at it."""
        looked_at = self.control.view is not None and not self.learner.preview_error
        return looked_at and self.step >= FIRST_PREVIEW

    def preview(self) -> Iterator[TrainingEvent]:
        """Apply the averaged weights to what is looked at."""
        self.shown = view = self.control.view
        if view is not None:
            yield self.learner.preview(self.average.network, self.device, self.step, view)

    def _answer(self) -> Iterator[TrainingEvent]:
        """Answer what was asked, as soon as there is something to answer with."""
        while self.step and (question := self.control.asked()):
            if question == "keep":
                yield from self.keep()
            elif question == "preview":
                yield from self.preview()
            else:
                yield self.learner.suggest(self.average.network, self.device)

    def keep(self) -> Iterator[TrainingEvent]:
        """Show the weights as they would be saved now."""
        network = copy.deepcopy(self.average.network)
        self.learner.calibrate(network, self.device)
        model = self._model(network, self.step, self.budget.elapsed, self.last)
        yield Snapshot(self.step, self.budget.elapsed, model)

    def save(self) -> Iterator[TrainingEvent]:
        """Write the state of the training; where that fails, say so, once, and go on."""
        network = copy.deepcopy(self.average.network)
        self.learner.calibrate(network, self.device)
        model = self._model(network, self.step, self.budget.elapsed, self.last)
        assert self.options.checkpoint is not None
        try:
            save_checkpoint(capture(self, model), self.options.checkpoint)
        except ModelFileError as error:
            if not self.warned:
                yield Warned(f"{error} The training goes on.")
            self.warned = True

    def _attempt(self, rate: float) -> tuple[float | None, str]:
        """Take one step; return its loss, or None and why there was none."""
        try:
            loss = self._take_step(rate)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            self.together.skip_step(error)
            self.batch_size //= 2
            self.optimiser.zero_grad(set_to_none=True)
            if not self.batch_size:
                raise OutOfMemoryError(
                    f"The memory of {describe_device(self.device)} does not suffice for one patch",
                    got=f"{self.learner.input_shape} voxels",
                    todo="Choose a smaller network or smaller patches",
                ) from error
            return None, f"Memory ran out: going on with {self.batch_size} patches per step."
        if isfinite(loss):
            self.bad_steps = 0
            return loss, ""
        self.bad_steps += 1
        if self.bad_steps >= MAX_BAD_STEPS:
            raise TrainingError(
                f"The loss or its gradient was not finite {MAX_BAD_STEPS} times in a row",
                todo="Choose a lower learning rate, and look for extreme pixels in the image",
            )
        warning = "The loss or its gradient was not finite; that step was left out."
        return None, warning * (self.bad_steps == 1)

    def _take_step(self, rate: float) -> float:
        batch = self.reader.next(self.batch_size).to(self.device, self.layout)
        buffers = [buffer.clone() for buffer in self.network.buffers()]
        # Dropout draws from torch's global generator: seeded here, and left as it was found.
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            # A CPU's generator takes 32 bits of the seed.
            torch.manual_seed(
                self.together.seed_for_rank(self.options.seed * 0x9E3779B1 + self.step)
            )
            outputs = self.network(batch.inputs)
        loss = self.learner.loss(outputs, batch)
        if self.options.output_penalty:
            loss = loss + self.options.output_penalty * outputs.square().mean()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        mean_loss = self.together.average(loss)
        learning = [p for p in self.network.parameters() if p.grad is not None]
        norm = nn.utils.get_total_norm([p.grad for p in learning if p.grad is not None])
        if not isfinite(mean_loss) or not isfinite(norm.item()):
            # The norms' running statistics have seen it already: without this they never recover.
            for buffer, before in zip(self.network.buffers(), buffers, strict=True):
                buffer.copy_(before)
            return nan
        if self.options.clip_gradient is not None:
            nn.utils.clip_grads_with_norm_(learning, self.options.clip_gradient, norm)
        set_rate(self.optimiser, rate, self.step)
        self.optimiser.step()
        self.average.update(self.network)
        return mean_loss

    def validate(self) -> Iterator[TrainingEvent]:
        """Test the averaged weights on what is held out."""
        result = self.learner.validate(self.average.network, self.device, self.step)
        if result is None:
            lacks = self.options.without_tests()
            if lacks and not self.untested:
                yield Warned(f"Nothing is held out to test it by, so {lacks}.")
            self.untested = True
            return
        self.last = result
        self.schedule.judged(result.loss)
        self.judge.take(result, self.average.network, self.budget.elapsed)
        yield result

    def _finish(self, elapsed: float) -> Iterator[TrainingEvent]:
        if self.options.checkpoint and self.step:
            yield from self.save()
        best = self._best()
        self.learner.calibrate(self.average.network, self.device)
        # Who stops it does not want to wait.
        if self.step and self.together.is_main and not self.control.stopped:
            result = self.learner.validate(self.average.network, self.device, self.step)
            if result is not None:
                self.last = result
                yield result
        last = self._model(self.average.network, self.step, elapsed, self.last)
        model = best if best is not None and self.options.keep == "best" else last
        yield Finished(model, self._reason, self.step, elapsed, best)

    @property
    def _reason(self) -> Literal["budget", "stopped", "no gain"]:
        if self.control.stopped:
            return "stopped"
        return "no gain" if self.judge.is_enough else "budget"

    def _best(self) -> TrainedModel | None:
        """Make a model of the best weights."""
        best = self.judge.best
        if best is None:
            return None
        self.learner.calibrate(best.network, self.device)
        return self._model(best.network, best.result.step, best.elapsed, best.result)

    def _model(
        self, network: nn.Module, step: int, elapsed: float, result: Validated | None
    ) -> TrainedModel:
        facts: dict[str, Any] = {"steps": step, "seconds": round(elapsed, 2), **self.together.facts}
        if result is not None:
            facts["validation"] = result.facts
        return self.learner.build_model(weights_of(network), facts)


FIRST_VALIDATION, FIRST_TEST = 1.0, 20
"""Seconds and steps before there is anything to test: batch norm's statistics begin anywhere."""

FIRST_KEPT, KEPT_GROWTH = 5.0, 1.25
"""Seconds before weights are worth keeping, and how the intervals grow from there."""

VALIDATION_SHARE, PREVIEW_SHARE, KEEPING_SHARE = 0.08, 0.15, 0.03
"""Parts of the time that may go into validation, previews and keeping weights."""


class Besides:
    """Tests, shows, keeps and saves the weights now and then.

    Parameters
    ----------
    loop : Loop
        Whose weights they are; it has a budget.
    spent : float
        Seconds that an earlier part of the training took.
    """

    def __init__(self, loop: Trainer, spent: float) -> None:
        self._loop, budget, every = loop, loop.budget, loop.options.checkpoint_seconds
        self._testing = TimeShare(budget, FIRST_VALIDATION, 1.0, VALIDATION_SHARE)
        self._showing = TimeShare(budget, 0.0, 2.0, PREVIEW_SHARE)
        self._keeping = TimeShare(budget, FIRST_KEPT, 1.0, KEEPING_SHARE, KEPT_GROWTH)
        self._saving = TimeShare(budget, spent + every, every, KEEPING_SHARE)

    def after_step(self) -> Iterator[TrainingEvent]:
        """Do what is due."""
        loop, options = self._loop, self._loop.options
        if options.test_every:
            if loop.step % options.test_every == 0:
                yield from loop.validate()
        elif loop.step >= FIRST_TEST:
            yield from self._testing.spend(loop.validate)
        if loop.can_show:
            yield from self._showing.spend(loop.preview)
        if options.keep_history:
            yield from self._keeping.spend(loop.keep)
        if options.checkpoint:
            yield from self._saving.spend(loop.save)

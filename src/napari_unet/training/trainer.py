"""The training loop."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import isfinite, nan
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from napari_unet.control import Control, Viewport
from napari_unet.device import (
    choose_device,
    describe_device,
    is_out_of_memory,
    using_threads,
)
from napari_unet.errors import OutOfMemoryError, TrainingError
from napari_unet.model import TrainedModel
from napari_unet.network.blocks import best_memory_format, placed
from napari_unet.training.events import (
    ClassesGrew,
    Finished,
    Previewed,
    Started,
    Stepped,
    TrainingEvent,
    Validated,
    Warned,
)
from napari_unet.training.options import TrainingOptions
from napari_unet.training.schedule import one_cycle, steady

MAX_BAD_STEPS = 10
WAIT = 0.1
"""Seconds between two looks at whether there is anything to learn from again."""

FIRST_VALIDATION = 1.0
"""Seconds before there is anything to test."""

FIRST_PREVIEW = 10
"""Steps before there is anything to show."""

VALIDATION_SHARE, PREVIEW_SHARE = 0.08, 0.15
"""Parts of the time that may go into validation and previews."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step learns from: inputs (B, C, *input) and targets (B, ...), on the CPU."""

    inputs: Tensor
    targets: Tensor


class Learner(Protocol):
    """What a task tells the loop: where examples come from and what is wanted of them."""

    @property
    def network(self) -> nn.Module:
        """The network that learns, on the CPU."""

    @property
    def patch(self) -> tuple[int, ...]:
        """The input's spatial shape."""

    @property
    def core(self) -> tuple[int, ...]:
        """The output's spatial shape."""

    @property
    def batch_size(self) -> int:
        """Patches per step, where the options do not say."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the output's channels."""

    @property
    def counts(self) -> tuple[int, ...]:
        """Painted pixels per class."""

    def warnings(self) -> Iterator[str]:
        """Say, before the first step, what the user should know."""

    def batch(self, size: int) -> Batch:
        """Return the next examples."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss, a scalar."""

    def validate(self, network: nn.Module, device: torch.device, step: int) -> Validated | None:
        """Test weights on what is held out; None where nothing is."""

    def take_up(self) -> Callable[[nn.Module], nn.Module] | None:
        """Take up what was painted since; where a class is new, return how a network grows it."""

    @property
    def ready(self) -> bool:
        """Whether there is anything to learn from at the moment."""

    def preview(
        self, network: nn.Module, device: torch.device, step: int, view: Viewport
    ) -> Previewed:
        """Apply weights to what is looked at."""

    def settle(self, network: nn.Module, device: torch.device) -> None:
        """Give the averaged weights a last touch, when all steps are taken."""

    def finish(self, weights: dict[str, Tensor], facts: dict[str, Any]) -> TrainedModel:
        """Make the model."""


class Budget:
    """How far a training is, by steps or by seconds, whichever comes first."""

    def __init__(self, steps: int | None, seconds: float | None) -> None:
        self.steps, self.seconds = steps, seconds
        self.began = time.monotonic()

    def leave_out(self, seconds: float) -> None:
        """Do not count the last `seconds` (a pause)."""
        self.began += seconds

    @property
    def elapsed(self) -> float:
        """Seconds since the start, without pauses."""
        return time.monotonic() - self.began

    def progress(self, step: int) -> float:
        """Return the part of the budget that is used, 0 to 1 or more."""
        parts = [step / self.steps] if self.steps else []
        parts += [self.elapsed / self.seconds] if self.seconds else []
        return max(parts, default=0.0)

    def remaining(self, step: int) -> float | None:
        """Return the seconds left, if that can be told yet."""
        progress = self.progress(step)
        return self.elapsed * (1 - progress) / progress if progress > 0 and step > 0 else None


class _Share:
    """Sees that something is done now and then, and takes no more than its share of the time."""

    def __init__(self, budget: Budget, first: float, rest: float, share: float) -> None:
        self.budget, self.due, self.rest, self.share = budget, first, rest, share

    def spend(self, work: Callable[[], Iterator[TrainingEvent]]) -> Iterator[TrainingEvent]:
        """Do it if it is due; at the earliest `rest` seconds later it is due again."""
        began = self.budget.elapsed
        if began < self.due:
            return
        yield from work()
        took = self.budget.elapsed - began
        self.due = self.budget.elapsed + max(self.rest, took / self.share)


class Average:
    """The running average of a network's weights, which is what is shown, tested and saved."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move a little towards the network's present weights."""
        self.updates += 1
        # At first the average is over all steps so far, so that early weights are forgotten.
        keep = min(self.decay, self.updates / (self.updates + 9))
        for mine, theirs in zip(_state(self.network), _state(network), strict=True):
            if mine.is_floating_point():
                mine.lerp_(theirs, 1 - keep)
            else:
                mine.copy_(theirs)


def _state(network: nn.Module) -> Iterator[Tensor]:
    yield from network.parameters()
    yield from network.buffers()


def train_network(
    learner: Learner, options: TrainingOptions, control: Control | None = None
) -> Iterator[TrainingEvent]:
    """Train; yield what happens.

    Parameters
    ----------
    learner : Learner
        What to learn, and from what.
    options : TrainingOptions
        With a budget of steps, seconds or both.
    control : Control, optional
        Stops or pauses the loop from another thread. Stopping keeps what was learned.

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
            patch=learner.patch,
            core=learner.core,
            class_names=learner.class_names,
            counts=learner.counts,
        )
        yield from map(Warned, learner.warnings())
        yield from _Loop(learner, options, control, device).run()


class _Loop:
    """The state of one run."""

    def __init__(
        self,
        learner: Learner,
        options: TrainingOptions,
        control: Control,
        device: torch.device,
    ) -> None:
        self.learner, self.options, self.control, self.device = learner, options, control, device
        self.layout = best_memory_format(len(learner.patch))
        self.network = placed(learner.network, device, len(learner.patch)).train()
        self.average = Average(self.network, options.averaging)
        self.optimiser = self._new_optimiser()
        self.batch_size = options.batch_size or learner.batch_size
        self.step = 0
        self.bad_steps = 0
        self.last: Validated | None = None

    def run(self) -> Iterator[TrainingEvent]:
        """Take steps until the budget is used or somebody stops it."""
        endless = self.options.open_ended
        budget = Budget(*(None, None) if endless else (self.options.steps, self.options.seconds))
        validation = _Share(budget, FIRST_VALIDATION, 1.0, VALIDATION_SHARE)
        preview = _Share(budget, 0.0, 2.0, PREVIEW_SHARE)
        while self._goes_on(budget):
            yield from self._take_up()
            if not self.learner.ready:
                time.sleep(WAIT)
                continue
            progress = budget.progress(self.step)
            rate = self.options.learning_rate * (
                steady(self.step) if endless else one_cycle(progress)
            )
            loss, warning = self._attempt(rate)
            if warning:
                yield Warned(warning)
            if loss is None:
                continue
            self.step += 1
            yield Stepped(
                self.step,
                loss,
                rate,
                budget.elapsed,
                budget.remaining(self.step),
                None if endless else min(1.0, budget.progress(self.step)),
            )
            yield from validation.spend(self._validate)
            if self.control.view is not None and self.step >= FIRST_PREVIEW:
                yield from preview.spend(self._preview)
        yield from self._finish(budget.elapsed)

    def _take_up(self) -> Iterator[TrainingEvent]:
        """Take up new strokes; where a class is new, let the network grow it."""
        grow = self.learner.take_up()
        if grow is None:
            return
        ndim = len(self.learner.patch)
        self.network = placed(grow(self.network), self.device, ndim).train()
        self.average.network = placed(grow(self.average.network), self.device, ndim).eval()
        self.average.network.requires_grad_(False)
        self.optimiser = self._new_optimiser()
        yield ClassesGrew(self.learner.class_names, self.learner.counts)

    def _new_optimiser(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(
            self.network.parameters(),
            self.options.learning_rate,
            weight_decay=self.options.weight_decay,
        )

    def _preview(self) -> Iterator[TrainingEvent]:
        view = self.control.view
        if view is not None:
            yield self.learner.preview(self.average.network, self.device, self.step, view)

    def _goes_on(self, budget: Budget) -> bool:
        """Wait while paused; tell whether there is a next step."""
        budget.leave_out(self.control.wait())
        return not self.control.stopped and budget.progress(self.step) < 1

    def _attempt(self, rate: float) -> tuple[float | None, str]:
        """Take one step; return its loss, or None and why there was none."""
        try:
            loss = self._take_step(rate)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            self.batch_size //= 2
            self.optimiser.zero_grad(set_to_none=True)
            if not self.batch_size:
                raise OutOfMemoryError(
                    f"The memory of {describe_device(self.device)} does not suffice for one patch",
                    got=f"{self.learner.patch} voxels",
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
        batch = self.learner.batch(self.batch_size)
        inputs = batch.inputs.to(self.device, memory_format=self.layout)
        buffers = [buffer.clone() for buffer in self.network.buffers()]
        # Dropout draws from torch's global generator: seeded here, and left as it was found.
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            # A CPU's generator takes 32 bits of the seed.
            torch.manual_seed((self.options.seed * 0x9E3779B1 + self.step) % 2**32)
            outputs = self.network(inputs)
        loss = self.learner.loss(outputs, batch.targets.to(self.device))
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        if not isfinite(loss.item()) or not isfinite(nn.utils.get_total_norm(gradients).item()):
            # The norms' running statistics have seen it already: without this they never recover.
            for buffer, before in zip(self.network.buffers(), buffers, strict=True):
                buffer.copy_(before)
            return nan
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.step()
        self.average.update(self.network)
        return loss.item()

    def _validate(self) -> Iterator[TrainingEvent]:
        result = self.learner.validate(self.average.network, self.device, self.step)
        if result is not None:
            self.last = result
            yield result

    def _finish(self, elapsed: float) -> Iterator[TrainingEvent]:
        if self.step:
            self.learner.settle(self.average.network, self.device)
        if self.step and not self.control.stopped:  # who stops it does not want to wait
            yield from self._validate()
        weights = {k: v.cpu().contiguous() for k, v in self.average.network.state_dict().items()}
        facts: dict[str, Any] = {"steps": self.step, "seconds": round(elapsed, 2)}
        if self.last is not None:
            facts["validation"] = {
                self.last.metric: self.last.scores,
                "loss": self.last.loss,
                "pixels": self.last.pixels,
            }
        model = self.learner.finish(weights, facts)
        yield Finished(model, "stopped" if self.control.stopped else "budget", self.step, elapsed)

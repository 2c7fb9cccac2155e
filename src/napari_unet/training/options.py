"""Options of every training, declared once for form, command line and documentation."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from napari_unet.errors import InputError

Device = Literal["auto", "cpu", "cuda", "mps"]

ScheduleName = Literal["auto", "one_cycle", "constant", "step", "plateau", "warm_restarts"]


class TrainingOptions(BaseModel):
    """Options of the training loop, of every task."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seconds: float | None = Field(
        None, gt=0, description="Length of the training in seconds; pauses do not count."
    )
    steps: int | None = Field(None, ge=1, description="Length of the training in steps.")
    open_ended: bool = Field(
        False,
        description="Go on until stopped; unless a schedule is set, the learning rate then stays "
        "as it is.",
    )
    checkpoint: str | None = Field(
        None,
        description="File (.safetensors) that the whole state of the training is written to now "
        "and then and at the end, to resume from.",
    )
    checkpoint_seconds: float = Field(
        60.0, gt=0, description="Seconds from one writing of the checkpoint to the next."
    )
    keep_history: bool = Field(
        False, description="Keep the weights at growing intervals, to look back at and go on from."
    )
    seed: int = Field(
        0, ge=0, lt=2**32, description="Same seed, same steps, same computer: same weights."
    )
    batch_size: int | None = Field(
        None, ge=1, le=256, description="Patches per step; empty: 8 in 2D, 4 in 3D."
    )
    read_ahead: int | None = Field(
        None,
        ge=0,
        le=64,
        description="Batches that are prepared while the network computes; empty: 4 on a GPU, "
        "none on a CPU, whose cores have enough to do.",
    )
    learning_rate: float = Field(
        6e-3, gt=0, le=1, description="Highest learning rate of the schedule."
    )
    schedule: ScheduleName = Field(
        "auto",
        description="How the learning rate changes. Auto: one cycle, up and down, with a budget, "
        "constant without. Plateau falls when held-out strokes bring nothing any more.",
    )
    decay_factor: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="Step and plateau: what the learning rate is multiplied by, each time.",
    )
    decay_every: int = Field(300, ge=1, description="Step: steps from one decay to the next.")
    patience: int = Field(
        10, ge=1, description="Plateau: validations without a gain before the next decay."
    )
    first_cycle: int = Field(
        200, ge=1, description="Warm restarts: length of the first cycle in steps."
    )
    cycle_growth: float = Field(
        2.0,
        ge=1,
        le=10,
        description="Warm restarts: how much longer each cycle is than the one before.",
    )
    lowest_rate: float = Field(
        0.01, ge=0, le=1, description="Where the learning rate stops falling; part of the highest."
    )
    optimiser: Literal["adamw", "adam", "sgd"] = Field(
        "adamw",
        description="AdamW, Adam, or gradient descent with Nesterov's momentum, which wants a "
        "learning rate of its own.",
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="Gradient descent: its momentum.")
    weight_decay: float = Field(
        1e-2,
        ge=0,
        le=1,
        description="Decay of the weights (AdamW), or penalty on them (Adam, gradient descent); "
        "norms and biases are spared.",
    )
    clip_gradient: float | None = Field(
        None, gt=0, description="Largest norm of the gradient; longer ones are shortened to it."
    )
    output_penalty: float = Field(
        0.0,
        ge=0,
        description="Penalty on the mean square of what the network puts out, part of the loss; "
        "it keeps outputs small where nothing is said about them.",
    )
    averaging: float = Field(
        0.9975,
        ge=0,
        lt=1,
        description="Largest decay of the running average of the weights that is shown and "
        "saved; at first it reaches back less far.",
    )
    test_every: int | None = Field(
        None,
        ge=1,
        description="Steps from one test on what is held out to the next; empty: as often as a "
        "twelfth of the time allows.",
    )
    stop_after: int | None = Field(
        None,
        ge=1,
        description="Stop when so many tests in a row brought no gain; empty: never.",
    )
    keep: Literal["last", "best"] = Field(
        "last",
        description="Which weights the model is made of: the last ones, or those with the least "
        "loss on what is held out.",
    )
    device: Device = Field("auto", description="Where to compute: the fastest there is, or as set.")
    threads: int | None = Field(None, ge=1, description="Processor cores to use; empty: all.")
    make_way: bool = Field(
        False,
        description="Use fewer cores while other programs compute; where no number of cores is "
        "set. The panel does.",
    )

    @field_validator("schedule")
    @classmethod
    def _has_an_end(cls, schedule: ScheduleName, info: ValidationInfo) -> ScheduleName:
        if schedule == "one_cycle" and info.data.get("open_ended"):
            raise ValueError("One cycle needs an end: set seconds or steps, or another schedule")
        return schedule

    def without_tests(self) -> str:
        """Return the consequences, in words, if nothing is held out; empty where there are none."""
        consequences = {
            "the learning rate stays at its peak": self.schedule == "plateau",
            "the training does not end by itself": self.stop_after is not None,
            "the last weights are kept for the best": self.keep == "best",
        }
        return " and ".join(text for text, holds in consequences.items() if holds)

    @classmethod
    def parse(cls, options: dict[str, Any]) -> Self:
        """Return options from keywords.

        Raises
        ------
        InputError
            Naming the first option that is unknown or out of its range.
        """
        try:
            return cls(**options)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"]) or "options"
            known = "" if first["type"] != "extra_forbidden" else ", ".join(cls.model_fields)
            raise InputError(
                f"Option {name}: {first['msg'].lower().removeprefix('value error, ')}",
                got=repr(first["input"]),
                expected=f"one of {known}" if known else None,
            ) from error

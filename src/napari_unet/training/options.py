"""The options of every training, declared once for forms, command line and docs."""

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
    """Options of the training loop, for all tasks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seconds: float | None = Field(
        None, gt=0, description="Length of the training in seconds, without pauses."
    )
    steps: int | None = Field(None, ge=1, description="Length of the training in steps.")
    open_ended: bool = Field(
        False,
        description="Train until stopped; unless a schedule is set, the learning rate then stays "
        "constant.",
    )
    checkpoint: str | None = Field(
        None,
        description="File (.safetensors) that the state of the training is written to at "
        "intervals and at the end; `resume` continues from it.",
    )
    checkpoint_seconds: float = Field(60.0, gt=0, description="Seconds between two checkpoints.")
    keep_history: bool = Field(
        False,
        title="Keep earlier states",
        description="Keep copies of the weights at growing intervals, to look at earlier states "
        "and continue from them.",
    )
    seed: int = Field(
        0,
        ge=0,
        lt=2**32,
        title="Random seed",
        description="Seed of all random numbers: the same seed and number of steps give the same "
        "weights on the same computer.",
    )
    batch_size: int | None = Field(
        None,
        ge=1,
        le=256,
        title="Batch size",
        examples=[8],
        description="Patches per step; automatic: 8 in 2D, 4 in 3D.",
    )
    read_ahead: int | None = Field(
        None,
        ge=0,
        le=64,
        title="Batches prepared ahead",
        examples=[4],
        description="Batches that are prepared while the network computes; automatic: 4 on a "
        "GPU, none on a CPU, whose cores are busy.",
    )
    learning_rate: float = Field(
        6e-3, gt=0, le=1, description="Highest learning rate of the schedule."
    )
    schedule: ScheduleName = Field(
        "auto",
        title="Learning rate schedule",
        description="How the learning rate changes. Auto: it rises and falls once if the "
        "training has a budget, and is constant if not. Plateau: it falls when the "
        "loss on held-out data no longer falls.",
    )
    decay_factor: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="Step and plateau: factor of the learning rate at each decay.",
    )
    decay_every: int = Field(
        300,
        ge=1,
        title="Steps between decays",
        description="Step: steps from one decay to the next.",
    )
    patience: int = Field(
        10, ge=1, description="Plateau: validations without improvement before the next decay."
    )
    first_cycle: int = Field(
        200,
        ge=1,
        title="Length of first cycle",
        description="Warm restarts: length of the first cycle in steps.",
    )
    cycle_growth: float = Field(
        2.0,
        ge=1,
        le=10,
        title="Growth of cycles",
        description="Warm restarts: length of each cycle relative to the one before.",
    )
    lowest_rate: float = Field(
        0.01,
        ge=0,
        le=1,
        title="Lowest learning rate",
        description="Lowest learning rate, as a fraction of the highest.",
    )
    optimiser: Literal["adamw", "adam", "sgd"] = Field(
        "adamw",
        description="AdamW, Adam, or SGD (gradient descent with Nesterov momentum), which "
        "needs another learning rate.",
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="SGD: momentum.")
    weight_decay: float = Field(
        1e-2,
        ge=0,
        le=1,
        description="Decay of the weights (AdamW), or penalty on them (Adam, SGD); not "
        "applied to norms and biases.",
    )
    clip_gradient: float | None = Field(
        None,
        gt=0,
        title="Clip gradient at",
        examples=[1.0],
        json_schema_extra={"empty": "off"},
        description="Largest norm of the gradient; larger gradients are scaled down to it.",
    )
    output_penalty: float = Field(
        0.0,
        ge=0,
        description="Weight of a penalty on the mean square of the network's outputs; it keeps "
        "them small where there are no labels.",
    )
    averaging: float = Field(
        0.9975,
        ge=0,
        lt=1,
        title="Weight averaging (EMA)",
        description="Largest decay of the exponential moving average of the weights, which is "
        "shown and saved; it is lower during the first steps.",
    )
    test_every: int | None = Field(
        None,
        ge=1,
        title="Validate every",
        examples=[50],
        description="Steps between two validations on held-out data; automatic: as often as "
        "possible in a twelfth of the time.",
    )
    stop_after: int | None = Field(
        None,
        ge=1,
        title="Early stopping after",
        examples=[20],
        json_schema_extra={"empty": "off"},
        description="Stop after this many validations in a row without improvement; not set: "
        "never.",
    )
    keep: Literal["last", "best"] = Field(
        "last",
        title="Weights to keep",
        json_schema_extra={"labels": {"last": "Last", "best": "Lowest held-out loss"}},
        description="Which weights the model gets: the last ones, or those with the lowest loss "
        "on held-out data.",
    )
    device: Device = Field(
        "auto", description="Device to compute on; auto: the fastest one of this computer."
    )
    threads: int | None = Field(
        None,
        ge=1,
        title="Processor cores",
        examples=[4],
        json_schema_extra={"empty": "all"},
        description="Number of processor cores to use; not set: all.",
    )
    make_way: bool = Field(
        False,
        title="Yield to other programs",
        description="Use fewer cores while other programs compute, unless a number of cores is "
        "set.",
    )

    @field_validator("schedule")
    @classmethod
    def _has_an_end(cls, schedule: ScheduleName, info: ValidationInfo) -> ScheduleName:
        if schedule == "one_cycle" and info.data.get("open_ended"):
            raise ValueError("One cycle needs an end: set seconds or steps, or another schedule")
        return schedule

    def without_tests(self) -> str:
        """Return what these options lead to without held-out data, in words; empty: nothing."""
        consequences = {
            "the learning rate stays at its peak": self.schedule == "plateau",
            "the training does not end by itself": self.stop_after is not None,
            "the last weights are kept instead of the best": self.keep == "best",
        }
        return " and ".join(text for text, holds in consequences.items() if holds)

    @classmethod
    def parse(cls, options: dict[str, Any]) -> Self:
        """Return the options that keywords stand for.

        Parameters
        ----------
        options : dict
            Fields by name.

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

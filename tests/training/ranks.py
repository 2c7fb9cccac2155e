"""What each of two processes does in `test_together`: small trainings, one after the other.

Run as ``python -m tests.training.ranks FOLDER`` by a launcher; writes what happened to
``FOLDER/RANK.json``.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_unet.control import Control
from napari_unet.device import rank_and_size
from napari_unet.errors import TrainingError
from napari_unet.network.unet_config import UNetConfig
from napari_unet.training.checkpoint import load_checkpoint
from napari_unet.training.distributed import joined
from napari_unet.training.events import Finished, Stepped, Validated, Warned
from napari_unet.training.task import Batch
from napari_unet.training.trainer import train_network
from tests.training.toys import CONFIG, Toy, options

PLAIN = CONFIG.model_copy(update={"norm": "none"})
WIDER = UNetConfig(encoder=((4,),), bottom=(5,), decoder=((4,),))
DESCENT = {"optimiser": "sgd", "learning_rate": 0.1, "schedule": "constant", "open_ended": False}


class Drawing(Toy):
    """A toy that draws by numpy, as the real learners do, and remembers what it drew."""

    def __init__(self, config: UNetConfig = CONFIG, **kwargs: Any) -> None:
        super().__init__(config=config, **kwargs)
        self.random, self.drawn, self.tests = np.random.default_rng(0), [], 0

    def batch(self, size: int) -> Batch:
        self.sizes.append(size)
        self.on_batch(size)
        x = torch.from_numpy(
            self.random.normal(size=(size, 1, *self.input_shape)).astype(np.float32)
        )
        self.drawn.append(float(x.sum()))
        return examples(self, x)

    def validate(self, network, device, step):
        self.tests += 1
        return Validated(step, 1.0 + self.tests, "IoU", (0.5, None), 12)

    def state(self) -> dict[str, Any]:
        return {"random": self.random.bit_generator.state}

    def restore(self, state: dict[str, Any]) -> None:
        self.random.bit_generator.state = state["random"]


class Given(Drawing):
    """A toy that learns from what it is given, the same in every step."""

    def __init__(self, pixels: torch.Tensor) -> None:
        super().__init__(PLAIN)
        self.pixels = pixels

    def batch(self, size: int) -> Batch:
        return examples(self, self.pixels)


def examples(toy: Toy, x: torch.Tensor) -> Batch:
    cut = (x.shape[-1] - toy.output_shape[-1]) // 2
    return Batch(x, (x[:, 0, cut:-cut, cut:-cut] > 0).long())


def pixels(number: int) -> torch.Tensor:
    """Return the examples of a process."""
    generator = torch.Generator().manual_seed(10 + number)
    return torch.randn(2, 1, *Toy(config=PLAIN).input_shape, generator=generator)


def learn(toy: Toy, control: Control | None = None, resume=None, **fields: Any) -> dict[str, Any]:
    """Train; return what came of it as plain JSON, the weights bit for bit."""
    events = list(train_network(toy, options(threads=1, **fields), control, resume))
    finished = events[-1]
    assert isinstance(finished, Finished)
    return {
        "weights": {name: w.tolist() for name, w in finished.model.weights.items()},
        "rates": [e.learning_rate for e in events if isinstance(e, Stepped)],
        "losses": [e.loss for e in events if isinstance(e, Stepped)],
        "warnings": [e.message for e in events if isinstance(e, Warned)],
        "step": finished.step,
        "facts": finished.model.training,
        "drawn": getattr(toy, "drawn", []),
        "sizes": toy.sizes,
        "tests": getattr(toy, "tests", 0),
    }


def stopping(rank: int) -> dict[str, Any]:
    """Let the second process stop after its third batch."""
    control, toy = Control(), Drawing()
    toy.on_batch = lambda _: control.stop() if rank == 1 and len(toy.sizes) == 3 else None
    return learn(toy, control, steps=10_000)


class Spoilt(Drawing):
    """A toy whose second loss is not finite in the second process."""

    def loss(self, outputs, batch):
        loss = super().loss(outputs, batch)
        spoilt = len(self.drawn) == 2 and rank_and_size()[0] == 1
        return loss * float("nan") if spoilt else loss


def running_out(rank: int) -> dict[str, Any]:
    """Let memory run out in the second process where it draws four patches."""

    def out(size: int) -> None:
        if size == 4 and rank == 1:
            raise MemoryError

    return learn(Drawing(on_batch=out), steps=3, batch_size=4)


def error_of(toy: Toy) -> str:
    try:
        learn(toy, steps=3)
    except TrainingError as error:
        return str(error)
    return ""


def dying(rank: int) -> str:
    """Let the second process end in the middle of it."""

    def die(_: int) -> None:
        if rank == 1 and len(toy.sizes) == 2:
            os._exit(0)

    toy = Drawing(on_batch=die)
    return error_of(toy)


def main(folder: Path) -> None:
    rank, size = rank_and_size()
    saved = folder / f"{rank}.safetensors"
    tests = {"test_every": 1, "schedule": "plateau", "patience": 2}
    found: dict[str, Any] = {
        "size": size,
        "together": learn(Drawing(), steps=8, checkpoint=str(saved), **tests),
        "given": learn(Given(pixels(rank)), steps=3, averaging=0, **DESCENT),
        "stopped": stopping(rank),
        "spoilt": learn(Spoilt(), steps=4),
        "ran_out": running_out(rank),
        "unlike": error_of(Drawing(WIDER if rank else CONFIG)),
    }
    found["saved"] = saved.exists()
    state = load_checkpoint(folder / "0.safetensors")
    found["resumed"] = learn(Drawing(), resume=state, steps=12, **tests)
    path = folder / f"{rank}.json"
    path.write_text(json.dumps(found))
    found["dead"] = dying(rank)
    path.write_text(json.dumps(found))


if __name__ == "__main__":
    with joined():
        main(Path(sys.argv[1]))
        # One of them is gone: nothing is left to take leave of.
        os._exit(0)

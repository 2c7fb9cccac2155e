"""Several processes that learn one network together, each from patches of its own.

After each backward pass the gradients are averaged over the processes, so that all of them take
the same step (data parallelism; Li et al. 2020, arXiv:2006.15704). The processes are those of
torch's default process group; without one, nothing here does anything. The norms' running
statistics are averaged too; each process normalises by its own patches.

Decisions are taken together, else some would wait for ever for what others no longer send: any
process can stop or hold up all; the first alone keeps to the budget, sets the learning rate,
tests, and writes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous

from napari_unet.device import is_out_of_memory, rank_and_size
from napari_unet.errors import OutOfMemoryError, TrainingError
from napari_unet.training.options import TrainingOptions
from napari_unet.training.task import TrainingTask

LAUNCHED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""Variables by which torchrun and others tell a process which of several it is."""

PATIENCE = timedelta(hours=1)
"""How long one process may test or write while the others wait; who dies is noticed at once."""

NEVER = 2**62
"""Steps from one test to the next, where another process tests."""

FAR = 0x9E3779B1
"""Steps between the random streams of two processes, modulo the 32 bits a CPU takes of a seed."""


class ProcessGroup:
    """What the processes of a training tell each other.

    Every method that is not a property must be called by all of them, in the same order.

    Parameters
    ----------
    device : torch.device
        Where this process computes, and what its backend (gloo, NCCL) sends from.

    Attributes
    ----------
    rank, size : int
        Number of this process, from 0, and how many there are.
    """

    def __init__(self, device: torch.device) -> None:
        self.rank, self.size = rank_and_size()
        self.device = device
        self._met = False

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that tests, writes and decides."""
        return self.rank == 0

    @property
    def facts(self) -> dict[str, int]:
        """What a model says of it."""
        return {"processes": self.size} if self.size > 1 else {}

    def seed_for_rank(self, seed: int) -> int:
        """Return 32 bits of a seed, unlike those of the other processes."""
        return (seed + self.rank * FAR) % 2**32

    def part_of(self, options: TrainingOptions) -> TrainingOptions:
        """Return the options without what the first process does for all."""
        if self.is_main:
            return options
        endless = {"steps": None, "seconds": None, "stop_after": None, "test_every": NEVER}
        return options.model_copy(update={**endless, "checkpoint": None, "keep_history": False})

    def begin(self, learner: TrainingTask, network: nn.Module, average: nn.Module) -> None:
        """Take over the weights of the first process, and draw other patches than it.

        Raises
        ------
        TrainingError
            Where the networks are not of one size.
        """
        if self.size == 1:
            return
        self._network = network
        sizes = [t.numel() for t in self._shared()]
        self._bucket = torch.zeros(sum(sizes) + 2, device=self.device)
        self._places = torch.split(self._bucket[:-2], sizes)
        self._check_sizes(len(self._bucket))
        for tensor in (*network.state_dict().values(), *average.state_dict().values()):
            sent = tensor.contiguous()
            with _answering():
                dist.broadcast(sent, 0)
            tensor.copy_(sent)
        seed_rank(learner, self.rank)

    def any(self, flag: bool) -> bool:
        """Tell whether any process says so."""
        self._met = False
        return flag if self.size == 1 else self._most(float(flag))[0] > 0

    def broadcast(self, value: float) -> float:
        """Return what the first process says."""
        if self.size == 1:
            return value
        told = torch.tensor([value], dtype=torch.float64, device=self.device)
        with _answering():
            dist.broadcast(told, 0)
        return told.item()

    @torch.no_grad()
    def average(self, loss: Tensor) -> float:
        """Average gradients and the norms' statistics in place; return the mean loss.

        What is not finite in one process is finite in none.

        Raises
        ------
        MemoryError
            Where another process ran out of memory: all leave the step out.
        """
        if self.size == 1:
            return loss.item()
        shared = self._shared()
        for place, tensor in zip(self._places, shared, strict=True):
            place.copy_(tensor.reshape(-1))
        self._bucket[-2], self._bucket[-1] = loss, 0
        self._sum()
        if self._bucket[-1] > 0:
            raise RemoteProcessError
        self._bucket /= self.size
        for place, tensor in zip(self._places, shared, strict=True):
            tensor.copy_(place.view(tensor.shape))
        return self._bucket[-2].item()

    def skip_step(self, error: BaseException) -> None:
        """Tell the others, where memory ran out here, that the step is left out.

        Raises
        ------
        OutOfMemoryError
            Where the others have taken the step already.
        """
        if self.size == 1 or isinstance(error, RemoteProcessError):
            return
        if self._met:
            raise OutOfMemoryError(
                f"Memory ran out in process {self.rank}, and the others have gone on",
                todo="Choose a smaller network, smaller patches or fewer of them per step",
            ) from error
        self._bucket.zero_()
        self._bucket[-1] = 1
        self._sum()

    def _shared(self) -> list[Tensor]:
        """Return gradients, zeros for what has none, and the norms' running statistics."""
        weights = [p for p in self._network.parameters() if p.requires_grad]
        state = self._network.state_dict(keep_vars=True).values()
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in weights]
        return gradients + [
            t for t in state if t.is_floating_point() and not isinstance(t, nn.Parameter)
        ]

    def _sum(self) -> None:
        self._met = True
        with _answering():
            dist.all_reduce(self._bucket)

    def _most(self, *values: float) -> list[float]:
        told = torch.tensor(values, dtype=torch.float64, device=self.device)
        with _answering():
            dist.all_reduce(told, dist.ReduceOp.MAX)
        most: list[float] = told.tolist()
        return most

    def _check_sizes(self, size: int) -> None:
        largest, smallest = self._most(size, -size)
        if largest != -smallest:
            raise TrainingError(
                "The processes do not learn the same network",
                got=f"from {-smallest:.0f} to {largest:.0f} weights",
                todo="Start all of them with the same images and options",
            )


class RemoteProcessError(MemoryError):
    """Memory ran out in another process."""


def seed_rank(learner: TrainingTask, rank: int) -> None:
    """Let a learner draw patches that no other process draws; what is held out stays as it is.

    Its random numbers go on from another place of the same stream, far away.

    Parameters
    ----------
    learner : TrainingTask
        Draws by a numpy stream ``random`` and, where it has one, a count ``augmented``.
    rank : int
        Number of the process; the first draws what it would draw alone.
    """
    if not rank:
        return
    state = learner.state()
    stream = np.random.PCG64()
    stream.state = state["random"]
    state["random"] = stream.jumped(rank).state
    if "augmented" in state:
        state["augmented"] += rank * FAR
    learner.restore(state)


@contextmanager
def joined() -> Iterator[Callable[[], bool]]:
    """Be one of the processes that torchrun or another launcher started; alone, do nothing.

    In a group that is there already nothing is done either.

    Yields
    ------
    callable
        Returns True in the first process that calls it, and False in all that call it later.
    """
    launched = all(name in os.environ for name in LAUNCHED) and os.environ["WORLD_SIZE"] != "1"
    if not launched or not dist.is_available() or dist.is_initialized():
        yield lambda: True
        return
    store, rank, size = next(rendezvous("env://", timeout=PATIENCE))
    dist.init_process_group(store=store, rank=rank, world_size=size, timeout=PATIENCE)

    def is_first() -> bool:
        try:
            return bool(store.add("napari-unet-said", 1) == 1)
        except RuntimeError:  # who kept the store is gone
            return True

    yield is_first
    # Not where something failed: this could wait for who is gone.
    dist.destroy_process_group()


@contextmanager
def _answering() -> Iterator[None]:
    """Say what it means where the others do not answer."""
    try:
        yield
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        raise TrainingError(
            "Another process of this training has ended",
            got=str(error).splitlines()[0][:100],
            todo="See what it said",
        ) from error

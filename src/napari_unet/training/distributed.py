"""Several processes that train one network together, each on patches of its own.

After each backward pass the gradients are averaged over the processes, so that all take the same
step (data parallelism; Li et al. 2020, arXiv:2006.15704). The processes are those of torch's
default process group; without one, nothing here has an effect. The norms' running statistics are
averaged, too; each process normalises by its own patches.

Decisions are taken together, or some processes would wait for ever for what others do not send.
Any process can stop or pause all. Only the main process keeps the budget, sets the learning rate,
validates, and writes files.
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
"""Environment variables that torchrun and other launchers set in each process."""

PATIENCE = timedelta(hours=1)
"""How long a process may validate or write while the others wait; a dead one is noticed at once."""

NEVER = 2**62
"""Steps from one validation to the next in a process that does not validate."""

RANK_STRIDE = 0x9E3779B1
"""Distance of the seeds of two processes, modulo the 32 bits that a CPU takes of a seed."""


class ProcessGroup:
    """The communication between the processes of a training.

    The methods that communicate (`synchronise`, `any`, `broadcast`, `average_gradients`) must be
    called by all processes, in the same order.

    Parameters
    ----------
    device : torch.device
        Where this process computes, and where tensors are for the backend (gloo, NCCL).

    Attributes
    ----------
    rank : int
        Number of this process, from 0.
    size : int
        Number of processes.
    """

    def __init__(self, device: torch.device) -> None:
        self.rank, self.size = rank_and_size()
        self.device = device
        self._has_reduced = False

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that validates, writes and decides."""
        return self.rank == 0

    @property
    def metadata(self) -> dict[str, int]:
        """What is stored in the model."""
        return {"processes": self.size} if self.size > 1 else {}

    def seed_for_rank(self, seed: int) -> int:
        """Return 32 bits of a seed, unlike those of the other processes."""
        return (seed + self.rank * RANK_STRIDE) % 2**32

    def options_of_rank(self, options: TrainingOptions) -> TrainingOptions:
        """Return the options, in other processes without what the main process does for all."""
        if self.is_main:
            return options
        endless = {"steps": None, "seconds": None, "stop_after": None, "test_every": NEVER}
        return options.model_copy(update={**endless, "checkpoint": None, "keep_history": False})

    def synchronise(self, task: TrainingTask, network: nn.Module, average: nn.Module) -> None:
        """Take over the weights of the main process, and draw other patches than it.

        Parameters
        ----------
        task : TrainingTask
            Draws the patches of this process.
        network : Module
            The network that is trained.
        average : Module
            The average of its weights.

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
            with _peer_errors():
                dist.broadcast(sent, 0)
            tensor.copy_(sent)
        seed_rank(task, self.rank)

    def any(self, flag: bool) -> bool:
        """Tell whether the flag is set in any process."""
        self._has_reduced = False
        return flag if self.size == 1 else self._maxima(float(flag))[0] > 0

    def broadcast(self, value: float) -> float:
        """Return the value of the main process."""
        if self.size == 1:
            return value
        sent = torch.tensor([value], dtype=torch.float64, device=self.device)
        with _peer_errors():
            dist.broadcast(sent, 0)
        return sent.item()

    @torch.no_grad()
    def average_gradients(self, loss: Tensor) -> float:
        """Average gradients and the norms' statistics in place; return the mean loss.

        What is not finite in one process is afterwards finite in none.

        Raises
        ------
        MemoryError
            Where another process ran out of memory: the step is left out by all.
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
        """Tell the other processes that the step is left out, because memory ran out in this one.

        Raises
        ------
        OutOfMemoryError
            Where the other processes have taken the step already.
        """
        if self.size == 1 or isinstance(error, RemoteProcessError):
            return
        if self._has_reduced:
            raise OutOfMemoryError(
                f"Process {self.rank} ran out of memory, while the others continued",
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
        self._has_reduced = True
        with _peer_errors():
            dist.all_reduce(self._bucket)

    def _maxima(self, *values: float) -> list[float]:
        reduced = torch.tensor(values, dtype=torch.float64, device=self.device)
        with _peer_errors():
            dist.all_reduce(reduced, dist.ReduceOp.MAX)
        maxima: list[float] = reduced.tolist()
        return maxima

    def _check_sizes(self, size: int) -> None:
        largest, smallest = self._maxima(size, -size)
        if largest != -smallest:
            raise TrainingError(
                "The processes do not train the same network",
                got=f"from {-smallest:.0f} to {largest:.0f} weights",
                todo="Start all of them with the same images and options",
            )


class RemoteProcessError(MemoryError):
    """Memory ran out in another process."""


def seed_rank(task: TrainingTask, rank: int) -> None:
    """Let a task draw patches that no other process draws; what is held out stays the same.

    Its random numbers continue from a distant place of the same stream.

    Parameters
    ----------
    task : TrainingTask
        Its state has a numpy stream ``random`` and, perhaps, a counter ``augmented``.
    rank : int
        Number of the process; process 0 draws what it would draw alone.
    """
    if not rank:
        return
    state = task.state()
    stream = np.random.PCG64()
    stream.state = state["random"]
    state["random"] = stream.jumped(rank).state
    if "augmented" in state:
        state["augmented"] += rank * RANK_STRIDE
    task.restore(state)


@contextmanager
def joined() -> Iterator[Callable[[], bool]]:
    """Join the processes that torchrun or another launcher started, for a while.

    Where this process was not started by one, or is in a group already, nothing is done.

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
            return bool(store.add("napari-unet-errors", 1) == 1)
        except RuntimeError:  # the process that keeps the store has ended
            return True

    yield is_first
    # Not after an error: this could wait for a process that has ended.
    dist.destroy_process_group()


@contextmanager
def _peer_errors() -> Iterator[None]:
    """Turn errors of torch into one that says that another process has ended."""
    try:
        yield
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        raise TrainingError(
            "Another process of this training has ended",
            got=str(error).splitlines()[0][:100],
            todo="See the message of that process",
        ) from error

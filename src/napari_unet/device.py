"""Choosing where to compute, and with how many cores."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil

import psutil
import torch

from napari_unet.errors import InputError


def choose_device(name: str = "auto") -> torch.device:
    """Return the device to compute on.

    Parameters
    ----------
    name : {"auto", "cuda", "mps", "cpu"}
        "auto" takes the first of these that this computer has. Of several processes that learn
        together each takes a GPU of its own; Apple's cannot be shared.

    Raises
    ------
    InputError
        Where the named device is not there, or there are fewer GPUs than processes.
    """
    together = rank_and_size()[1] > 1
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available() and not together,
        "cpu": True,
    }
    if name == "auto":
        name = next(kind for kind, there in available.items() if there)
    if not available.get(name, False):
        raise InputError(
            f"This computer has no device {name!r} that torch can use",
            expected=" or ".join(kind for kind, there in available.items() if there),
            todo='Choose "auto"',
        )
    return _own_gpu() if name == "cuda" and together else torch.device(name)


def rank_and_size() -> tuple[int, int]:
    """Return which of the processes that learn together this is, from 0, and how many they are.

    They are those of torch's default process group; without one, this process is alone: (0, 1).
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return 0, 1
    return torch.distributed.get_rank(), torch.distributed.get_world_size()


def _own_gpu() -> torch.device:
    """Return the GPU of this process: that of its rank on this computer."""
    there = torch.cuda.device_count()
    # Without the variable each process may have been given just one GPU to see.
    local = int(os.environ.get("LOCAL_RANK", rank_and_size()[0] % there))
    if local >= there:
        raise InputError(
            "Each process needs a GPU of its own",
            got=f"process {local + 1} on a computer with {there}",
            todo="Start fewer processes, or compute on the CPU (device: cpu)",
        )
    return torch.device("cuda", local)


def describe_device(device: torch.device) -> str:
    """Return the device's name for people, such as "CPU" or "NVIDIA GeForce RTX 4090"."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return {"mps": "Apple GPU"}.get(device.type, device.type.upper())


@contextmanager
def using_threads(count: int | None) -> Iterator[int]:
    """Compute with `count` cores in this thread for a while; None leaves the number as it is."""
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)


def count_cores() -> int:
    """Return how many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


class FreeCores:
    """Tells how many cores nobody else computes on.

    Torch's threads wait for each other in every layer: on two cores of which one is wanted by
    another program, two threads are slower than one, and the other program is slower too.
    """

    LONG = 2.0
    """Seconds that are looked at together."""

    NEGLIGIBLE = 0.3
    """A core that others use this much of the time is still taken for free."""

    def __init__(self) -> None:
        self.cores = self.free = count_cores()
        self._before = self._times()

    def look(self) -> int:
        """Return the number of free cores, at least 1; found anew every few seconds."""
        if time.monotonic() - self._before[0] >= self.LONG:
            now = self._times()
            wall, busy, own = (b - a for a, b in zip(self._before, now, strict=True))
            self._before = now
            others = max(0.0, busy - own) / wall
            self.free = min(self.cores, max(1, self.cores - ceil(others - self.NEGLIGIBLE)))
        return self.free

    @staticmethod
    def _times() -> tuple[float, float, float]:
        """Return the time, and how long all and this process have computed, in core seconds."""
        everybody, me = psutil.cpu_times()._asdict(), psutil.Process().cpu_times()
        # Guests are counted in the time of their host as well.
        resting = ("idle", "iowait", "guest", "guest_nice")
        busy = sum(seconds for kind, seconds in everybody.items() if kind not in resting)
        return time.monotonic(), busy, me.user + me.system


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error of torch means that memory ran out, on any device."""
    # What the CPU says on Linux and macOS, on Windows, and what MPS and some calls of CUDA say.
    said = ("can't allocate memory", "not enough memory", "out of memory")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in said)
    )

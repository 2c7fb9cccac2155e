"""The device that torch computes on, the number of cores, and errors of memory."""

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
        "auto": the first of the others that this computer has. Of several processes that train
        together each takes a GPU of its own; an Apple GPU cannot be shared.

    Raises
    ------
    InputError
        Where this computer does not have the device, or has fewer GPUs than processes.
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
    """Return the number of this process, from 0, and the number of processes that train together.

    They are those of torch's default process group; without one: (0, 1).
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return 0, 1
    return torch.distributed.get_rank(), torch.distributed.get_world_size()


def _own_gpu() -> torch.device:
    """Return the GPU of this process: that of its rank on this computer."""
    count = torch.cuda.device_count()
    # Without the variable, a launcher may have made one GPU visible to each process.
    local = int(os.environ.get("LOCAL_RANK", rank_and_size()[0] % count))
    if local >= count:
        raise InputError(
            "Each process needs a GPU of its own",
            got=f"process {local + 1} on a computer with {count}",
            todo="Start fewer processes, or compute on the CPU (device: cpu)",
        )
    return torch.device("cuda", local)


def describe_device(device: torch.device) -> str:
    """Return the name of a device to show, such as "CPU" or "NVIDIA GeForce RTX 4090"."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return {"mps": "Apple GPU"}.get(device.type, device.type.upper())


@contextmanager
def using_threads(count: int | None) -> Iterator[int]:
    """Let torch use `count` threads within the context; None: as many as before.

    Yields
    ------
    int
        The number of threads.
    """
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
    """Measures how many cores are not used by other programs.

    Torch's threads wait for each other in every layer. On two cores of which another program uses
    one, two threads are slower than one, and the other program is slower, too.
    """

    INTERVAL = 2.0
    """Seconds that are averaged."""

    FIRST_INTERVAL = 0.25
    """Seconds that are averaged for the first measurement: a training begins with all cores."""

    NEGLIGIBLE = 0.3
    """A core that others use for this part of the time still counts as free."""

    def __init__(self) -> None:
        self.cores = self.free = count_cores()
        self._before = self._times()
        self._interval = self.FIRST_INTERVAL

    def measure(self) -> int:
        """Return the number of free cores, at least 1; measured every `INTERVAL` seconds."""
        if time.monotonic() - self._before[0] >= self._interval:
            now = self._times()
            passed, used = now[0] - self._before[0], now[1] - self._before[1]
            self._before = now
            self._interval = self.INTERVAL
            others = max(0.0, used) / passed
            self.free = min(self.cores, max(1, self.cores - ceil(others - self.NEGLIGIBLE)))
        return self.free

    @staticmethod
    def _times() -> tuple[float, float]:
        """Return the time, and the core seconds used by other processes."""
        everybody = psutil.cpu_times()._asdict()
        own = psutil.Process().cpu_times()
        # Guests are counted in the time of their host as well.
        not_busy = ("idle", "iowait", "guest", "guest_nice")
        busy = sum(seconds for kind, seconds in everybody.items() if kind not in not_busy)
        return time.monotonic(), busy - (own.user + own.system)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error of torch means that memory ran out, on any device."""
    # Of the CPU on Linux and macOS, on Windows, and of MPS and some calls of CUDA.
    messages = ("can't allocate memory", "not enough memory", "out of memory")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(message in str(error) for message in messages)
    )

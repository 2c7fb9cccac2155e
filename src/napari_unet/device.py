"""Choosing where to compute, and with how many cores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from napari_unet.errors import InputError


def choose_device(name: str = "auto") -> torch.device:
    """Return the device to compute on.

    Parameters
    ----------
    name : {"auto", "cuda", "mps", "cpu"}
        "auto" takes the first of these that this computer has.

    Raises
    ------
    InputError
        Where the named device is not there.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(kind for kind, there in available.items() if there))
    if not available.get(name, False):
        raise InputError(
            f"This computer has no device {name!r} that torch can use",
            expected=" or ".join(kind for kind, there in available.items() if there),
            todo='Choose "auto"',
        )
    return torch.device(name)


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


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error of torch means that memory ran out, on any device."""
    # What the CPU says on Linux and macOS, on Windows, and what MPS and some calls of CUDA say.
    said = ("can't allocate memory", "not enough memory", "out of memory")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in said)
    )

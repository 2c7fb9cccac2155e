"""One training by several processes: starting them, and letting one of them speak."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Annotated

import torch
import typer
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from napari_unet.cli.output import ERR, OUT, say
from napari_unet.device import choose_device, count_cores, rank_and_size
from napari_unet.errors import InputError, NapariUnetError
from napari_unet.training.distributed import joined

POLL, GRACE = 0.05, 10.0
"""Seconds between two looks at the processes, and how long they have to end when told to."""

Processes = Annotated[
    int,
    typer.Option(
        min=1,
        help="Processes of this computer that learn together, each from patches of its own, and "
        "each on a GPU of its own where there are GPUs.",
    ),
]


@contextmanager
def main_process_only() -> Iterator[None]:
    """Let the first of several processes speak for all, and errors be told once, in one line.

    Raises
    ------
    typer.Exit
        In place of our errors.
    """
    with joined() as is_first:
        OUT.quiet = ERR.quiet = rank_and_size()[0] > 0
        try:
            yield
        except NapariUnetError as error:
            ERR.quiet = not is_first()
            say(f"Error: {error}", "red")
            raise typer.Exit(1) from error
        finally:
            OUT.quiet = ERR.quiet = False


def launch_processes(number: int, device: str = "auto") -> None:
    """Have this very command done by several processes, and exit when they do.

    In one of several processes it does nothing, nor where there shall be one.

    Parameters
    ----------
    number : int
        How many.
    device : str
        Where they shall compute.

    Raises
    ------
    InputError
        Where there are fewer GPUs.
    typer.Exit
        With 0, or what the first process that failed ended with.
    """
    if number == 1 or rank_and_size()[1] > 1:
        return
    there = torch.cuda.device_count()
    if choose_device(device).type == "cuda" and number > there:
        raise InputError(
            "Each process needs a GPU of its own",
            got=f"{number} processes",
            expected=f"at most {there}",
            todo="Start fewer, or compute on the CPU (--device cpu)",
        )
    say(f"{number} processes learn together, from {number} times as many patches per step.")
    command = [sys.executable, "-m", "napari_unet", *sys.argv[1:]]
    raise typer.Exit(launch(command, number))


def launch(command: Sequence[str], number: int) -> int:
    """Run a command several times at once, as one group; return its exit status.

    What torchrun does on one computer, with its variables. torchrun itself reports a failure by
    a traceback of its own, and ends whoever takes longer than it likes to save after Ctrl-C.

    Parameters
    ----------
    command : sequence of str
        The program and its arguments.
    number : int
        How often.

    Returns
    -------
    int
        0, or what the first that failed ended with: then the others are ended too.
    """
    # Any free port; the store is where they find each other.
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    shared = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
        "WORLD_SIZE": str(number),
        "LOCAL_WORLD_SIZE": str(number),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
    }
    threads = {"OMP_NUM_THREADS": str(max(1, count_cores() // number))}
    workers: list[subprocess.Popen[bytes]] = []
    try:
        with _handing_on(workers) as told:
            for rank in map(str, range(number)):
                env = {**threads, **os.environ, **shared, "RANK": rank, "LOCAL_RANK": rank}
                # Ctrl-C reaches a session of its own through us alone, once.
                worker = subprocess.Popen(command, env=env, start_new_session=True)  # noqa: S603
                workers.append(worker)
            return _wait(workers, told)
    finally:
        _end(workers)


def _wait(workers: Sequence[subprocess.Popen[bytes]], told: Sequence[int]) -> int:
    """Wait until all have ended, or one has failed; return how.

    Raises
    ------
    SystemExit
        Where a signal told this process to end.
    """
    while True:
        if told:
            raise SystemExit(128 + told[0])
        codes = [worker.poll() for worker in workers]
        for code in codes:
            if code:
                return code if code > 0 else 128 - code
        if all(code == 0 for code in codes):
            return 0
        time.sleep(POLL)


def _end(workers: Sequence[subprocess.Popen[bytes]]) -> None:
    """End whoever is left, and leave nobody behind."""
    for worker in workers:
        worker.terminate()
    until = time.monotonic() + GRACE
    for worker in workers:
        with suppress(subprocess.TimeoutExpired):
            worker.wait(max(0.0, until - time.monotonic()))
        worker.kill()
        worker.wait()


@contextmanager
def _handing_on(workers: Sequence[subprocess.Popen[bytes]]) -> Iterator[list[int]]:
    """Hand Ctrl-C on to all, who then end in good order.

    Yields
    ------
    list of int
        The other signals that told this process to end. They are only noted: an exception in
        the midst of a start would leave behind a process that is not among `workers` yet.
    """
    told: list[int] = []

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        # Windows sends it to all of a console by itself.
        for worker in workers if os.name == "posix" else ():
            worker.send_signal(signal.SIGINT)

    def end(number: int, _frame: FrameType | None) -> None:
        told.append(number)

    before = {signal.SIGINT: signal.signal(signal.SIGINT, interrupt)}
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            before[getattr(signal, name)] = signal.signal(getattr(signal, name), end)
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""Training with several processes: starting them, and limiting output to the main process."""

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

POLL = 0.05
"""Interval at which the processes are checked, in seconds."""

END_TIMEOUT = 10.0
"""Seconds after which a process that was asked to end is killed."""

Processes = Annotated[
    int,
    typer.Option(
        min=1,
        help="Number of processes on this computer that train together, each on its own "
        "patches, and on its own GPU if there are GPUs.",
    ),
]


@contextmanager
def main_process_only() -> Iterator[None]:
    """Context manager in which only the main process writes, and an error is written once.

    Raises
    ------
    typer.Exit
        After an error of napari-unet, which was written in one line.
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
    """Run this command in several processes, and exit when they have ended.

    It does nothing for one process, and within one of several processes.

    Parameters
    ----------
    number : int
        Number of processes.
    device : str
        Device option of the command.

    Raises
    ------
    InputError
        If there are fewer GPUs than processes.
    typer.Exit
        With 0, or the exit status of the first process that failed.
    """
    if number == 1 or rank_and_size()[1] > 1:
        return
    available = torch.cuda.device_count()
    if choose_device(device).type == "cuda" and number > available:
        raise InputError(
            "Each process needs a GPU of its own",
            got=f"{number} processes",
            expected=f"at most {available}",
            todo="Start fewer processes, or compute on the CPU (--device cpu)",
        )
    say(f"Training with {number} processes, and {number} times as many patches per step.")
    command = [sys.executable, "-m", "napari_unet", *sys.argv[1:]]
    raise typer.Exit(launch(command, number))


def launch(command: Sequence[str], number: int) -> int:
    """Run a command in several processes of one group; return the exit status.

    It sets the environment variables of torchrun. torchrun itself is not used because it reports
    a failure by a traceback of its own, and kills processes that take long to save after Ctrl-C.

    Parameters
    ----------
    command : sequence of str
        The program and its arguments.
    number : int
        Number of processes.

    Returns
    -------
    int
        0, or the exit status of the first process that failed; then the others are ended.
    """
    # On any free port; by this store the processes find each other.
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
        with _forwarding_signals(workers) as received:
            for rank in map(str, range(number)):
                env = {**threads, **os.environ, **shared, "RANK": rank, "LOCAL_RANK": rank}
                # In a session of its own a process receives Ctrl-C only from this one, once.
                worker = subprocess.Popen(command, env=env, start_new_session=True)  # noqa: S603
                workers.append(worker)
            return _wait(workers, received)
    finally:
        _end(workers)


def _wait(workers: Sequence[subprocess.Popen[bytes]], received: Sequence[int]) -> int:
    """Wait until all processes have ended, or one has failed; return the exit status.

    Raises
    ------
    SystemExit
        If this process received a signal to end.
    """
    while True:
        if received:
            raise SystemExit(128 + received[0])
        codes = [worker.poll() for worker in workers]
        for code in codes:
            if code:
                return code if code > 0 else 128 - code
        if all(code == 0 for code in codes):
            return 0
        time.sleep(POLL)


def _end(workers: Sequence[subprocess.Popen[bytes]]) -> None:
    """End the processes that are still running; kill those that do not end in time."""
    for worker in workers:
        worker.terminate()
    until = time.monotonic() + END_TIMEOUT
    for worker in workers:
        with suppress(subprocess.TimeoutExpired):
            worker.wait(max(0.0, until - time.monotonic()))
        worker.kill()
        worker.wait()


@contextmanager
def _forwarding_signals(workers: Sequence[subprocess.Popen[bytes]]) -> Iterator[list[int]]:
    """Forward Ctrl-C to all processes, which then stop their training and save.

    Yields
    ------
    list of int
        Other signals to end that were received. They raise no exception here, which could leave
        a process running that is not in `workers` yet.
    """
    received: list[int] = []

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        # Windows itself sends it to all processes of a console.
        for worker in workers if os.name == "posix" else ():
            worker.send_signal(signal.SIGINT)

    def end(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    before = {signal.SIGINT: signal.signal(signal.SIGINT, interrupt)}
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            before[getattr(signal, name)] = signal.signal(getattr(signal, name), end)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

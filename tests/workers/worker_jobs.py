"""Jobs for a child that do as they are told; it imports them from here."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil

from napari_unet.data.source import open_source
from napari_unet.errors import InputError, OutOfMemoryError
from napari_unet.geometry.region import Region


class Unportable(Exception):
    def __init__(self, a, b):
        super().__init__(f"{a} {b}")
        self.lock = threading.Lock()


@dataclass(frozen=True)
class Say:
    """Yields these things, and its process's number first."""

    things: tuple[Any, ...] = ()

    def events(self, control):
        yield os.getpid()
        yield from self.things


@dataclass(frozen=True)
class Environment:
    """Yields a variable of its process's environment."""

    name: str

    def events(self, control):
        yield os.environ.get(self.name)


@dataclass(frozen=True)
class Fail:
    """Raises one error or the other, or dies."""

    how: str

    def events(self, control):
        yield "begun"
        match self.how:
            case "input":
                raise InputError("The image is odd", got="5", expected="4", todo="Even it out")
            case "memory":
                raise OutOfMemoryError("Too large", got="1 TB")
            case "runtime":
                raise RuntimeError("mat1 and mat2 do not fit")
            case "unportable":
                raise Unportable("cannot", "travel")
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Copy:
    """Reads a picture in pieces, and writes it into the target plus one; yields the target."""

    image: Any
    out: Any

    def events(self, control):
        image, out = open_source(self.image.data), self.out.out
        for z in range(image.shape[0]):
            piece = image.read(Region((z, 0, 0), (z + 1, *image.shape[1:])))
            out[z : z + 1] = piece + 1
            yield z
        yield out


@dataclass(frozen=True)
class Watch:
    """Tells of all that it is told, until it is stopped."""

    store: Any

    def events(self, control):
        before = None
        while not control.stopped:
            now = (self.store.values(), control.paused, control.view)
            if now != before:
                before = now
                yield now
            if question := control.asked():
                yield question
            time.sleep(0.01)
        yield "stopped"


@dataclass(frozen=True)
class Deaf:
    """Never looks at the control."""

    def events(self, control):
        yield os.getpid()
        time.sleep(1000)


@dataclass(frozen=True)
class Values:
    """Yields what is painted in a part of a store."""

    store: Any

    def events(self, control):
        yield np.array(self.store.read(Region((0, 0), self.store.shape)))


def gone(pid):
    """Whether a process ends within ten seconds."""
    for _ in range(200):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False

"""What two processes of ours tell each other.

Messages are pickles, between a parent and the child that it started, over a connection with a
secret of their own: nothing in them comes from a file or from anybody else. Pictures, results and
strokes are not copied into them. They stay where they are, in the viewer's process, and the other
one reads, writes and hears of changes piece by piece.
"""

from __future__ import annotations

import io
import pickle  # noqa: TID251 - see above
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.control import Question, Viewport
from napari_unet.data.annotations import AnnotationStore, Block
from napari_unet.geometry.region import Region


@dataclass(frozen=True, eq=False)
class Readable:
    """A picture that stays where it is: whatever `napari_unet.data.source.open_source` takes."""

    data: Any


@dataclass(frozen=True, eq=False)
class Writable:
    """An array for a result that stays where it is."""

    out: Any


@dataclass(frozen=True)
class Work:
    """Do this (to the child): an object with ``events(control)``."""

    job: Any


@dataclass(frozen=True)
class Steer:
    """The controls stand like this now (to the child)."""

    stopped: bool
    paused: bool
    view: Viewport | None


@dataclass(frozen=True)
class Ask:
    """Somebody asks this (to the child)."""

    question: Question


@dataclass(frozen=True, eq=False)
class Painted:
    """These blocks of a store are new; None where nothing is painted any more (to the child)."""

    number: int
    blocks: Mapping[tuple[int, ...], Block | None]


@dataclass(frozen=True)
class Read:
    """Send these regions of a picture (to the parent, who answers with a list of arrays)."""

    number: int
    regions: Sequence[Region]


@dataclass(frozen=True, eq=False)
class Write:
    """Put these values there (to the parent)."""

    number: int
    where: Any
    values: NDArray[Any]


@dataclass(frozen=True, eq=False)
class Happened:
    """The job yielded this (to the parent)."""

    event: Any


@dataclass(frozen=True, eq=False)
class Ended:
    """The job is over (to the parent), by an error where there is one."""

    error: Exception | None = None


def dumps(message: object, stands_for: Callable[[Any], Any]) -> bytes:
    """Return a message as bytes; what `stands_for` gives for a part of it goes in its place."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, part: Any) -> Any:
            return stands_for(part)

    buffer = io.BytesIO()
    Pickler(buffer, protocol=pickle.HIGHEST_PROTOCOL).dump(message)
    return buffer.getvalue()


def loads(message: bytes, stood_for: Callable[[Any], Any]) -> Any:
    """Return the message in these bytes; `stood_for` undoes what `stands_for` did."""

    class Unpickler(pickle.Unpickler):
        def persistent_load(self, token: Any) -> Any:
            return stood_for(token)

    return Unpickler(io.BytesIO(message)).load()


@dataclass(frozen=True)
class PictureToken:
    """Stands for a `Readable`."""

    number: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class TargetToken:
    """Stands for a `Writable`."""

    number: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True, eq=False)
class StrokesToken:
    """Stands for an `AnnotationStore`."""

    number: int
    shape: tuple[int, ...]
    spatial_ndim: int
    block: int
    zero_is_class: bool
    blocks: Mapping[tuple[int, ...], Block]

    def open(self) -> AnnotationStore:
        """Return a store that holds the same."""
        store = AnnotationStore(
            self.shape, self.spatial_ndim, block=self.block, zero_is_class=self.zero_is_class
        )
        store.update(self.blocks)
        return store

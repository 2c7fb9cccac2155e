"""What two processes of ours tell each other.

Messages are pickles, between a parent and the child that it started, over a connection with a
secret of their own: nothing in them comes from a file or from anybody else. Pictures, results and
strokes are not copied into them. They stay where they are, in the viewer's process, and the other
one reads, writes and hears of changes piece by piece.
"""

from __future__ import annotations

import io
import pickle  # noqa: TID251 - see above
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.control import Question, Viewport
from napari_unet.data.annotations import Annotations, AnnotationStore, Block
from napari_unet.data.source import Source, open_source
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
class ControlUpdate:
    """The controls stand like this now (to the child)."""

    stopped: bool
    paused: bool
    view: Viewport | None


@dataclass(frozen=True)
class PreviewRequest:
    """Somebody asks this (to the child)."""

    question: Question


@dataclass(frozen=True, eq=False)
class AnnotationUpdate:
    """These blocks of a store are new; None where nothing is painted any more (to the child)."""

    number: int
    blocks: Mapping[tuple[int, ...], Block | None]


@dataclass(frozen=True)
class ReadRequest:
    """Send these regions of a picture (to the parent, who answers with a list of arrays)."""

    number: int
    regions: Sequence[Region]


@dataclass(frozen=True, eq=False)
class WriteRequest:
    """Put these values there (to the parent)."""

    number: int
    where: Any
    values: NDArray[Any]


@dataclass(frozen=True, eq=False)
class JobEvent:
    """The job yielded this (to the parent)."""

    event: Any


@dataclass(frozen=True, eq=False)
class JobFinished:
    """The job is over (to the parent), by an error where there is one."""

    error: Exception | None = None


def dumps(message: object, persistent_id: Callable[[Any], Any]) -> bytes:
    """Return a message as bytes; what `persistent_id` gives for a part of it goes in its place."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, part: Any) -> Any:
            return persistent_id(part)

    buffer = io.BytesIO()
    Pickler(buffer, protocol=pickle.HIGHEST_PROTOCOL).dump(message)
    return buffer.getvalue()


def loads(message: bytes, persistent_load: Callable[[Any], Any]) -> Any:
    """Return the message in these bytes; `persistent_load` undoes what `persistent_id` did."""

    class Unpickler(pickle.Unpickler):
        def persistent_load(self, token: Any) -> Any:
            return persistent_load(token)

    return Unpickler(io.BytesIO(message)).load()


@dataclass(frozen=True)
class SourceToken:
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
class AnnotationsToken:
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


class SharedObjects:
    """Pictures, results and strokes of one job, by number."""

    def __init__(self) -> None:
        self._things: list[Any] = []
        self._sent: dict[int, Annotations] = {}

    def persistent_id(self, part: Any) -> Any:
        """Return what goes over the wire in place of a part; None where that is the part itself."""
        match part:
            case Readable():
                source = open_source(part.data)
                return SourceToken(self._keep(source), source.shape, source.dtype)
            case Writable():
                return TargetToken(self._keep(part.out), tuple(part.out.shape), part.out.dtype)
            case AnnotationStore():
                return self._strokes(part)
        return None

    def persistent_load(self, token: Any) -> Any:
        """Return what a token that came back stands for."""
        return self._things[token.number]

    def read(self, message: ReadRequest) -> list[Any]:
        """Return what the child wants to see."""
        source: Source = self._things[message.number]
        return [source.read(region) for region in message.regions]

    def write(self, message: WriteRequest) -> None:
        """Put what the child made in its place."""
        self._things[message.number][message.where] = message.values

    def painted(self) -> Iterator[AnnotationUpdate]:
        """Yield what was painted since this was last asked."""
        for number, before in self._sent.items():
            now = self._things[number].snapshot()
            if now.version != before.version:
                self._sent[number] = now
                yield AnnotationUpdate(number, now.changes_since(before))

    def _keep(self, thing: Any) -> int:
        self._things.append(thing)
        return len(self._things) - 1

    def _strokes(self, store: AnnotationStore) -> AnnotationsToken:
        now, number = store.snapshot(), self._keep(store)
        self._sent[number] = now
        return AnnotationsToken(
            number,
            store.shape,
            store.spatial_ndim,
            now.block_shape[-1],
            store.zero_is_class,
            now.blocks,
        )

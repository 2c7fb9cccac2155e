"""Messages between the viewer's process and the job server that it started.

Messages are pickled. That is safe because the connection is authenticated by a random key, and
nothing in them comes from a file or from another program. Images, results and annotations are not
copied into a message but replaced by tokens: they stay in the viewer's process, and the server
reads and writes regions of them, and receives changes.
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
    """An image that stays in the viewer's process.

    `data` is anything that `napari_unet.data.source.open_source` accepts; `name` is what errors
    call it.
    """

    data: Any
    name: str = ""

    @property
    def content(self) -> Any:
        """The array itself, or where it is read on demand, a source with the image's name."""
        if isinstance(self.data, np.ndarray):
            return self.data
        return open_source(self.data, name=self.name)


@dataclass(frozen=True, eq=False)
class Writable:
    """An array for a result, which stays in the viewer's process."""

    out: Any


@dataclass(frozen=True)
class Work:
    """To the server: run this job, an object with a method ``events(control)``."""

    job: Any


@dataclass(frozen=True)
class ControlUpdate:
    """To the server: the state of the controls has changed."""

    stopped: bool
    paused: bool
    view: Viewport | None
    left: bool = False


@dataclass(frozen=True)
class PreviewRequest:
    """To the server: a question for the job."""

    question: Question


@dataclass(frozen=True, eq=False)
class AnnotationUpdate:
    """To the server: changed blocks of an annotation store; None for removed blocks."""

    number: int
    blocks: Mapping[tuple[int, ...], Block | None]


@dataclass(frozen=True)
class ReadRequest:
    """To the viewer: read regions of an image; answered by a `ReadReply`."""

    number: int
    regions: Sequence[Region]


@dataclass(frozen=True, eq=False)
class ReadReply:
    """To the server: the content of the regions of a `ReadRequest`."""

    arrays: Sequence[NDArray[Any]]


@dataclass(frozen=True, eq=False)
class WriteRequest:
    """To the viewer: write values into a result."""

    number: int
    where: Any
    values: NDArray[Any]


@dataclass(frozen=True, eq=False)
class JobEvent:
    """To the viewer: an event of the job."""

    event: Any


@dataclass(frozen=True, eq=False)
class JobFinished:
    """To the viewer: the job has ended, possibly by an error."""

    error: Exception | None = None


def dumps(message: object, persistent_id: Callable[[Any], Any]) -> bytes:
    """Serialise a message.

    Parameters
    ----------
    message : object
        The message.
    persistent_id : callable
        Returns a token that replaces a part of the message, or None to keep the part.

    Returns
    -------
    bytes
    """

    class Pickler(pickle.Pickler):
        def persistent_id(self, part: Any) -> Any:
            return persistent_id(part)

    buffer = io.BytesIO()
    Pickler(buffer, protocol=pickle.HIGHEST_PROTOCOL).dump(message)
    return buffer.getvalue()


def loads(message: bytes, persistent_load: Callable[[Any], Any]) -> Any:
    """Deserialise a message.

    Parameters
    ----------
    message : bytes
        From :func:`dumps`.
    persistent_load : callable
        Returns the object for a token.

    Returns
    -------
    object
    """

    class Unpickler(pickle.Unpickler):
        def persistent_load(self, token: Any) -> Any:
            return persistent_load(token)

    return Unpickler(io.BytesIO(message)).load()


@dataclass(frozen=True)
class SourceToken:
    """Replaces a `Readable` in a message."""

    number: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class TargetToken:
    """Replaces a `Writable` in a message."""

    number: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True, eq=False)
class AnnotationsToken:
    """Replaces an `AnnotationStore` in a message."""

    number: int
    shape: tuple[int, ...]
    spatial_ndim: int
    block: int
    zero_is_class: bool
    blocks: Mapping[tuple[int, ...], Block]

    def open(self) -> AnnotationStore:
        """Return a store with the same labels."""
        store = AnnotationStore(
            self.shape, self.spatial_ndim, block=self.block, zero_is_class=self.zero_is_class
        )
        store.update(self.blocks)
        return store


class SharedObjects:
    """Images, results and annotations of one job, which stay in the viewer's process."""

    def __init__(self) -> None:
        self._objects: list[Any] = []
        self._sent: dict[int, Annotations] = {}

    def persistent_id(self, part: Any) -> Any:
        """Return the token that replaces a part of a message; None to keep the part."""
        match part:
            case Readable():
                source = open_source(part.content)
                return SourceToken(self._register(source), source.shape, source.dtype)
            case Writable():
                return TargetToken(self._register(part.out), tuple(part.out.shape), part.out.dtype)
            case AnnotationStore():
                return self._annotations_token(part)
        return None

    def persistent_load(self, token: Any) -> Any:
        """Return the object for a token that the server sent back."""
        return self._objects[token.number]

    def read(self, message: ReadRequest) -> ReadReply:
        """Read the requested regions of an image."""
        source: Source = self._objects[message.number]
        return ReadReply([source.read(region) for region in message.regions])

    def write(self, message: WriteRequest) -> None:
        """Write values into a result."""
        self._objects[message.number][message.where] = message.values

    def annotation_updates(self) -> Iterator[AnnotationUpdate]:
        """Yield the changes of all annotations since the last call."""
        for number, before in self._sent.items():
            now = self._objects[number].snapshot()
            if now.version != before.version:
                self._sent[number] = now
                yield AnnotationUpdate(number, now.changes_since(before))

    def _register(self, shared: Any) -> int:
        self._objects.append(shared)
        return len(self._objects) - 1

    def _annotations_token(self, store: AnnotationStore) -> AnnotationsToken:
        now = store.snapshot()
        number = self._register(store)
        self._sent[number] = now
        return AnnotationsToken(
            number,
            store.shape,
            store.spatial_ndim,
            now.block_shape[-1],
            store.zero_is_class,
            now.blocks,
        )

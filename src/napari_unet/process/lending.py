"""The parent's side: what a child works with, and stays here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from napari_unet.data.annotations import Annotations, AnnotationStore
from napari_unet.data.source import Source, open_source
from napari_unet.process.wire import (
    Painted,
    PictureToken,
    Read,
    Readable,
    StrokesToken,
    TargetToken,
    Writable,
    Write,
)


class Lending:
    """Pictures, results and strokes of one job, by number."""

    def __init__(self) -> None:
        self._things: list[Any] = []
        self._sent: dict[int, Annotations] = {}

    def stands_for(self, part: Any) -> Any:
        """Return what goes over the wire in place of a part; None where that is the part itself."""
        match part:
            case Readable():
                source = open_source(part.data)
                return PictureToken(self._keep(source), source.shape, source.dtype)
            case Writable():
                return TargetToken(self._keep(part.out), tuple(part.out.shape), part.out.dtype)
            case AnnotationStore():
                return self._strokes(part)
        return None

    def stood_for(self, token: Any) -> Any:
        """Return what a token that came back stands for."""
        return self._things[token.number]

    def read(self, message: Read) -> list[Any]:
        """Return what the child wants to see."""
        source: Source = self._things[message.number]
        return [source.read(region) for region in message.regions]

    def write(self, message: Write) -> None:
        """Put what the child made in its place."""
        self._things[message.number][message.where] = message.values

    def painted(self) -> Iterator[Painted]:
        """Yield what was painted since this was last asked."""
        for number, before in self._sent.items():
            now = self._things[number].snapshot()
            if now.version != before.version:
                self._sent[number] = now
                yield Painted(number, now.changes_since(before))

    def _keep(self, thing: Any) -> int:
        self._things.append(thing)
        return len(self._things) - 1

    def _strokes(self, store: AnnotationStore) -> StrokesToken:
        now, number = store.snapshot(), self._keep(store)
        self._sent[number] = now
        return StrokesToken(
            number,
            store.shape,
            store.spatial_ndim,
            now.block_shape[-1],
            store.zero_is_class,
            now.blocks,
        )

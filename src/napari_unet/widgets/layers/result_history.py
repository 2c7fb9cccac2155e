"""The results of one image, one after the other: the newest is seen, the one before is hidden."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary, WeakSet, ref
from zlib import crc32

import numpy as np
from napari.components import LayerList
from napari.layers import Image, Labels, Layer

from napari_unet.widgets.layers.provenance import RESULT, is_result

PREVIOUS = " (previous)"
"""What is appended to the name of the result before the newest one."""

EDITED = " (edited)"
"""What is appended to the name of a result that the user has edited, once there is a newer one."""


class HiddenLayers:
    """Layers that were hidden to make room for others, and are shown again later."""

    def __init__(self) -> None:
        self._layers: WeakSet[Layer] = WeakSet()

    def hide(self, layers: Iterable[Layer]) -> None:
        """Hide those layers that are visible, in addition to those that were hidden before."""
        for layer in layers:
            if layer.visible:
                layer.visible = False
                self._layers.add(layer)

    def show_again(self) -> None:
        """Show the layers that were hidden, and forget them."""
        layers, self._layers = self._layers, WeakSet()
        for layer in layers:
            layer.visible = True


class ResultRecord:
    """The layers of one prediction, and whether the user wants to keep them.

    It refers to the layers weakly, and exists as long as the main one.

    Parameters
    ----------
    image : Image
        The layer that was predicted.
    layers : sequence of Layer
        The layers of the result, with the names that they are given first; the last one is the
        main one.
    task : str
        The task of the model.

    Attributes
    ----------
    task : str
        The task of the model.
    complete : bool
        Whether all of the image was predicted.
    edited : bool
        Whether the user or another plugin has changed the data of the main layer. Changes in
        place, of which no layer tells, are found by `check_content`.
    suffix : str
        What was appended to the names last.
    """

    def __init__(self, image: Image, layers: Sequence[Layer], task: str) -> None:
        self._image = ref(image)
        self._main = ref(layers[-1])
        self._first_names = WeakKeyDictionary({layer: layer.name for layer in layers})
        self._names = WeakKeyDictionary(self._first_names)
        self._ours = False
        self._digests: dict[int, int] = {}
        self.task = task
        self.complete = False
        self.edited = False
        self.suffix = ""
        _records[layers[-1]] = self
        events = layers[-1].events
        for name in ("paint", "labels_update", "data"):
            if name in events.emitters:
                getattr(events, name).connect(self._data_changed)

    @property
    def image(self) -> Image | None:
        """The layer that was predicted; None where it no longer exists."""
        return self._image()

    @property
    def main(self) -> Layer | None:
        """The labels, or the last layer of the image; None where it no longer exists."""
        return self._main()

    @property
    def layers(self) -> list[Layer]:
        """The layers that still exist, from the bottom to the top."""
        return list(self._first_names)

    @property
    def renamed(self) -> bool:
        """Whether the user has renamed a layer."""
        return any(layer.name != name for layer, name in self._names.items())

    @property
    def kept(self) -> bool:
        """Whether the user has edited, renamed, locked, predicted or learned from a layer."""
        main = self.main
        in_use = main in _in_use or any(record.image is main for record in _records.values())
        return self.edited or self.renamed or in_use or any(layer.locked for layer in self.layers)

    def rename(self, layers: LayerList, suffix: str) -> None:
        """Append something to the names that the layers were given first.

        Parameters
        ----------
        layers : LayerList
            The layers of the viewer, none of which has the same name afterwards.
        suffix : str
            What to append.
        """
        self.suffix = suffix
        for layer, first in self._first_names.items():
            others = {other.name for other in layers if other is not layer}
            layer.name = _free_name(first + suffix, others)
        self.note_names()

    def note_names(self) -> None:
        """Take the present names for those that this plugin has given."""
        self._names.update({layer: layer.name for layer in self._first_names})

    def note_content(self, planes: slice = slice(None)) -> None:
        """Take what the main layer holds now for what this plugin has written.

        Parameters
        ----------
        planes : slice
            Where it has written, along the first axis.
        """
        self._digests |= self._content(planes)

    def check_content(self, planes: slice = slice(None)) -> None:
        """Find out whether anybody has changed the main layer's array in place.

        Parameters
        ----------
        planes : slice
            Where to look, along the first axis.
        """
        if self._digests and not self.edited:
            found = self._content(planes)
            self.edited = any(self._digests.get(i) != digest for i, digest in found.items())

    def _content(self, planes: slice) -> dict[int, int]:
        """Return a checksum of each plane along the first axis; none of a lazy array."""
        data = None if self.main is None else self.main.data
        if not isinstance(data, np.ndarray):
            return {}
        where = range(*planes.indices(len(data)))
        return {i: crc32(np.ascontiguousarray(data[i]).tobytes()) for i in where}

    def _data_changed(self, event: Any = None) -> None:  # noqa: ARG002 - napari passes it
        self.edited = self.edited or not self._ours


_records: WeakKeyDictionary[Layer, ResultRecord] = WeakKeyDictionary()
"""The record of each main layer, from the oldest to the newest."""

_in_use: WeakSet[Layer] = WeakSet()
"""Layers that a training has learned from."""


_channels: WeakKeyDictionary[Layer, WeakSet[Layer]] = WeakKeyDictionary()
"""The layers of all channels of an image, by that of its first channel."""


def note_channels(channels: Sequence[Image]) -> None:
    """Take note of the layers of an image: what is made of it lies above all of them.

    Parameters
    ----------
    channels : sequence of Image
        One, or one for each channel. Elsewhere the first one stands for the image.
    """
    _channels[channels[0]] = WeakSet(channels)


def keep_layers(layers: Iterable[Layer | None]) -> None:
    """Remove none of these layers when a newer result comes, for a training learns from them."""
    _in_use.update(layer for layer in layers if layer is not None)


@contextmanager
def unedited(layer: Layer) -> Iterator[None]:
    """Replace the data of a result within this context; the result is not edited by that."""
    record = _records.get(layer)
    if record is None:
        yield
        return
    record.check_content()
    record._ours = True
    try:
        yield
    finally:
        record._ours = False
        record.note_content()


@contextmanager
def written(layer: Layer, planes: slice = slice(None)) -> Iterator[None]:
    """Write into the array of a result in place within this context; it is not edited by that.

    Parameters
    ----------
    layer : Layer
        The main layer of a result; of any other nothing is noted.
    planes : slice
        Where is written, along the first axis.
    """
    record = _records.get(layer)
    if record is not None:
        record.check_content(planes)
    yield
    if record is not None:
        record.note_content(planes)


def is_edited(layer: Layer) -> bool:
    """Tell whether anybody else has changed the data of a result, be it in place."""
    record = _records.get(layer)
    if record is None:
        return False
    record.check_content()
    return record.edited


def add_copy(layer: Layer, copy: Layer) -> None:
    """Take note that a layer is a changed copy of a result, and is a result of the same image."""
    record = _records.get(layer)
    if record is not None and record.image is not None:
        made = ResultRecord(record.image, [copy], record.task)
        made.complete = record.complete
        made.note_content()


def results_on(layers: LayerList, image: Image) -> list[ResultRecord]:
    """Return the results of an image of which the main layer is in the viewer, oldest first."""
    records = list(_records.values())
    return [r for r in records if r.image is image and r.main is not None and r.main in layers]


def covered_layers(layers: LayerList, image: Image, *, labels: bool) -> list[Layer]:
    """Return the layers of older results that a new layer upon an image is to be seen without.

    Parameters
    ----------
    layers : LayerList
        The layers of the viewer.
    image : Image
        The image.
    labels : bool
        Whether the new layer holds labels, which lie upon a predicted image as upon the image
        itself; a new image covers all other results.
    """
    records = results_on(layers, image)
    covered = [r for r in records if not labels or isinstance(r.main, Labels)]
    return [layer for record in covered for layer in record.layers if layer in layers]


def topmost_on(layers: LayerList, image: Image) -> Layer:
    """Return the layer above which a new result or preview of an image belongs.

    These are the results that lie directly upon the image, and any visible one elsewhere; live
    previews belong above all of them.

    Parameters
    ----------
    layers : LayerList
        The layers of the viewer.
    image : Image
        The image.
    """
    if image not in layers:
        return image
    channels = _channels.get(image, ())
    place = max(layers.index(layer) for layer in (image, *channels) if layer in layers)
    while place + 1 < len(layers) and _is_final(layers[place + 1]):
        place += 1
    results = [layer for record in results_on(layers, image) for layer in record.layers]
    seen = [layers.index(layer) for layer in results if layer in layers and layer.visible]
    top: Layer = layers[max([place, *seen])]
    return top


class ResultReplacement:
    """Replaces the older results of an image by a new one, or takes that back.

    At first the older ones are hidden and renamed. When the new one is finished, the latest
    complete one among the older stays, hidden, and the others are removed; those that the user
    wants to keep all stay. Only results of the same task replace each other.

    Parameters
    ----------
    layers : LayerList
        The layers of the viewer.
    image : Image
        The layer that is predicted.
    new : ResultRecord
        The new result, of which the layers are not in the viewer yet.
    """

    def __init__(self, layers: LayerList, image: Image, new: ResultRecord) -> None:
        self._layers = layers
        self._new = new
        self._older = [r for r in results_on(layers, image) if r.task == new.task]
        self._check()
        self._suffixes = [record.suffix for record in self._older]
        self._hidden = HiddenLayers()
        labels = isinstance(new.main, Labels)
        self._hidden.hide(covered_layers(layers, image, labels=labels))
        for record in self._older:
            self._name(record)

    def finish(self, *, complete: bool) -> None:
        """Remove what the new result replaces.

        Parameters
        ----------
        complete : bool
            Whether all of the image was predicted.
        """
        self._new.complete = complete
        self._new.note_content()
        self._check()
        unkept = [record for record in self._older if not record.kept]
        best = [record for record in unkept if record.complete] or unkept
        for record in unkept:
            if record is not best[-1]:
                self._remove(record)
        for record in self._older:
            self._name(record)

    def undo(self) -> None:
        """Show and name the older results as before."""
        self._hidden.show_again()
        for record, suffix in zip(self._older, self._suffixes, strict=True):
            if record.suffix != suffix and not record.renamed:
                record.rename(self._layers, suffix)

    def _check(self) -> None:
        for record in self._older:
            record.check_content()

    def _name(self, record: ResultRecord) -> None:
        if record.renamed:
            return
        if record.edited:
            record.rename(self._layers, EDITED)
        elif not record.kept:
            record.rename(self._layers, PREVIOUS)

    def _remove(self, record: ResultRecord) -> None:
        for layer in record.layers:
            if layer in self._layers:
                was_active = layer is self._layers.selection.active
                self._layers.remove(layer)
                if was_active:
                    self._layers.selection.active = self._new.main


def _is_final(layer: Layer) -> bool:
    """Tell whether a layer is a result, and no live preview."""
    return is_result(layer) and "preview" not in layer.metadata[RESULT]


def _free_name(wanted: str, taken: set[str]) -> str:
    """Return a name that is not taken: the wanted one, or with a number as napari appends it."""
    name, number = wanted, 1
    while name in taken:
        name = f"{wanted} [{number}]"
        number += 1
    return name

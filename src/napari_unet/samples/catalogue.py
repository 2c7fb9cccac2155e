"""The samples by name; each is computed once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from napari_unet.errors import InputError
from napari_unet.samples import cells2d, volume3d
from napari_unet.samples.sample import Sample

_BUILDERS: dict[str, Callable[[], Sample]] = {
    "cells2d": cells2d.build,
    "volume3d": volume3d.build,
}


def names() -> tuple[str, ...]:
    """Return the names of all samples.

    Examples
    --------
    >>> names()
    ('cells2d', 'volume3d')
    """
    return tuple(_BUILDERS)


def sample(name: str) -> Sample:
    """Return a sample with arrays of its own, which may be changed.

    Parameters
    ----------
    name : str
        One of :func:`names`.

    Returns
    -------
    Sample
        Image, strokes and truth; the same at every call.

    Raises
    ------
    InputError
        If there is no sample of that name.

    Examples
    --------
    >>> tissue = sample("cells2d")
    >>> tissue.image.shape, tissue.strokes.shape, tissue.class_names
    ((512, 512, 3), (512, 512), {1: 'gland', 2: 'stroma', 3: 'lumen'})
    """
    if name not in _BUILDERS:
        raise InputError(
            "There is no sample of that name",
            got=repr(name),
            expected=" or ".join(map(repr, names())),
        )
    return _built(name).copy()


@cache
def _built(name: str) -> Sample:
    return _BUILDERS[name]()

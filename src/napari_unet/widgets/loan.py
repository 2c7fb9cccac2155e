"""Layers borrowed for a while: what they look like is shared, and given back as it was."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from napari.layers import Image

LEAST_COMMON = 0.02
"""Contrast limits that have less in common, as a part of all they span, are of unlike units."""

SHARED = ("contrast_limits", "gamma")


class Loan:
    """Some images whose look may be changed, for it is known what it was.

    Parameters
    ----------
    images : iterable of Image
        What is borrowed.
    """

    def __init__(self, images: Iterable[Image]) -> None:
        self._looks = [(image, _look(image)) for image in images]
        self._sharing: list[Image] = []

    @property
    def images(self) -> list[Image]:
        """What is borrowed."""
        return [image for image, _ in self._looks]

    def share_contrast(self, images: Iterable[Image]) -> None:
        """Give images the contrast of the first one; from now on they change it together."""
        self.part()
        self._sharing = list(images)
        for image in self._sharing:
            for name in SHARED:
                _set(image, name, getattr(self._sharing[0], name))
        for emitter in self._emitters():
            emitter.connect(self._spread)

    def part(self) -> None:
        """Let each image have its own contrast again; what it is now stays."""
        for emitter in self._emitters():
            emitter.disconnect(self._spread)
        self._sharing = []

    def give_back(self) -> None:
        """Make the borrowed images look as they did; those that were removed as well."""
        self.part()
        for image, look in self._looks:
            for name, value in look.items():
                _set(image, name, value)
        self._looks = []

    def _emitters(self) -> list[Any]:
        return [getattr(image.events, name) for image in self._sharing for name in SHARED]

    def _spread(self, event: Any) -> None:
        for image in self._sharing:
            for name in SHARED:
                _set(image, name, getattr(event.source, name))


def contrast_is_common(one: Image, other: Image) -> bool:
    """Tell whether two images can be seen with one contrast: no colours, and of like values."""
    if one.rgb or other.rgb:
        return False
    (a, b), (c, d) = one.contrast_limits, other.contrast_limits
    return bool(min(b, d) - max(a, c) >= LEAST_COMMON * (max(b, d) - min(a, c)))


def _look(image: Image) -> dict[str, Any]:
    # The range comes after the limits, which widen it where they have to.
    names = ("visible", *SHARED, "contrast_limits_range")
    return {name: getattr(image, name) for name in names}


def _set(image: Image, name: str, value: Any) -> None:
    """Set what differs: napari draws anew whatever is set."""
    if getattr(image, name) != value:
        setattr(image, name, value)

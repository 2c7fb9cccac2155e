"""Packages of models are read and written in another process, for that takes torch and more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_unet.control import Control
from napari_unet.model import TrainedModel
from napari_unet.process.wire import Readable

PACKAGE = ".zip"
"""How the names of packages end."""


@dataclass(frozen=True)
class ImportJob:
    """Read a model from a BioImage.IO package."""

    path: str

    def events(self, control: Control) -> Iterator[tuple[str, TrainedModel]]:  # noqa: ARG002
        """Yield the name of the package, and the model."""
        from napari_unet.exchange.load import import_bioimageio

        model = import_bioimageio(self.path)
        model.digest  # noqa: B018 - computed once, and not in the GUI's thread
        yield Path(self.path).stem, model


@dataclass(frozen=True, eq=False)
class ExportJob:
    """Write a model as a BioImage.IO package.

    Parameters
    ----------
    model : TrainedModel
        The model.
    path : str
        Where to.
    image : Readable, optional
        Its middle is the example in the package.
    request : Request, optional
        How that image is read.
    """

    model: TrainedModel
    path: str
    image: Readable | None = None
    request: Any = None

    def events(self, control: Control) -> Iterator[Path]:  # noqa: ARG002 - not to be stopped
        """Yield where it was written."""
        from napari_unet.exchange.export import export_bioimageio

        image = None if self.image is None else self.image.data
        yield export_bioimageio(self.model, self.path, image=image, request=self.request)

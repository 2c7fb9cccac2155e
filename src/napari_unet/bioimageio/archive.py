"""A package as it lies on the disk: its description and its files. Nothing of it is executed."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import zipfile
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_unet.errors import InputError, ModelFileError

DOCUMENTS = ("bioimageio.yaml", "rdf.yaml", "model.yaml")
"""Names that a package's description may have, or end in."""


class Package:
    """A package of bioimage.io, opened: a .zip or a folder.

    What it says is read with bioimage.io's own library, which downloads nothing and looks at no
    other file meanwhile. Descriptions of format 0.4 are read as 0.5.

    Parameters
    ----------
    path : path-like
        The .zip, the folder, or the description in it.

    Attributes
    ----------
    about : bioimageio.spec.model.v0_5.ModelDescr
        What it says.

    Raises
    ------
    InputError
        Where it is no package of a model, or its description is not valid.
    """

    about: Any

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._zip = _opened(self.path) if self.path.is_file() and not _is_text(self.path) else None
        try:
            self.about = self._described()
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._zip is not None:
            self._zip.close()

    def read(self, file: Any) -> bytes:
        """Return the content of a file that the description names.

        Parameters
        ----------
        file : FileDescr
            With its source, and its sum where the description has one.

        Raises
        ------
        InputError
            Where it lies on the web: nothing is downloaded.
        ModelFileError
            Where it is not there, or damaged.
        """
        name = str(getattr(file.source, "path", file.source))
        if "://" in str(file.source):
            raise InputError(
                "A file of the package lies on the web, and nothing is downloaded here",
                got=str(file.source),
                todo="Download the whole package as a .zip, and import that",
            )
        content = self._content(name)
        if file.sha256 and hashlib.sha256(content).hexdigest() != str(file.sha256):
            raise ModelFileError(f"{name} in {self.path.name} is damaged", got="another SHA-256")
        return content

    def array(self, file: Any) -> NDArray[Any] | None:
        """Return an array that the description names; None where it has none or it is not here."""
        if file is None:
            return None
        try:
            array: NDArray[Any] = np.load(io.BytesIO(self.read(file)), allow_pickle=False)
        except (InputError, ModelFileError, ValueError, EOFError):
            return None
        return array

    def _content(self, name: str) -> bytes:
        try:
            if self._zip is not None:
                return self._zip.read(name)
            folder = self._folder.resolve()
            place = (folder / name).resolve()
            if not place.is_relative_to(folder):
                raise InputError("A file of the package lies outside of it", got=name)
            return place.read_bytes()
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise ModelFileError(f"{self.path.name} lacks a file", got=f"no {name}") from error

    @property
    def _folder(self) -> Path:
        return self.path if self.path.is_dir() else self.path.parent

    def _described(self) -> Any:
        from bioimageio.spec import InvalidDescr, load_description
        from bioimageio.spec.model.v0_5 import ModelDescr

        source = self._zip or self._document()
        about = load_description(source, format_version="latest", perform_io_checks=False)
        if isinstance(about, InvalidDescr):
            reason = " ".join((about.get_reason() or "").split())[:300]
            raise InputError(f"The description of {self.path.name} is not valid", got=reason)
        if not isinstance(about, ModelDescr):
            raise InputError(
                f"{self.path.name} is no package of a model",
                got=f"a {getattr(about, 'type', 'description')}",
            )
        return about

    def _document(self) -> Path:
        if self.path.is_file():
            return self.path
        found = [f for end in DOCUMENTS for f in sorted(self._folder.glob(f"*{end}"))]
        if not found:
            raise InputError(
                "There is no package of a model",
                got=str(self.path),
                expected="a .zip, or a folder with rdf.yaml",
            )
        return found[0]


def _is_text(path: Path) -> bool:
    return path.suffix in (".yaml", ".yml")


def _opened(path: Path) -> zipfile.ZipFile:
    """Open a .zip that holds a description."""
    try:
        package = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path.name} is no package of a model",
            got=str(error),
            expected="a .zip of bioimage.io",
        ) from error
    if not any(name.endswith(DOCUMENTS) for name in package.namelist()):
        package.close()
        raise InputError(f"{path.name} is no package of a model", got="no rdf.yaml in it")
    return package


def in_folder(files: dict[str, bytes]) -> tempfile.TemporaryDirectory[str]:
    """Write files into a folder of their own, which is gone when it is closed."""
    folder = tempfile.TemporaryDirectory()
    try:
        for name, content in files.items():
            Path(folder.name, Path(name).name).write_bytes(content)
    except BaseException:
        folder.cleanup()
        raise
    return folder


LIBRARIES = ("onnx", "onnxruntime", "bioimageio.spec.model.v0_5")


def need_libraries() -> None:
    """Check that packages can be written and read here.

    Raises
    ------
    InputError
        Where a library is missing; the message says how to install it.
    """
    # It logs to stderr whatever it reads; what matters comes to us as a description or an error.
    os.environ.setdefault("BIOIMAGEIO_LOG_LEVEL", "ERROR")
    for name in LIBRARIES:
        try:
            import_module(name)
        except ImportError as error:
            raise InputError(
                "BioImage.IO packages need libraries that are not installed",
                got=f"no {name.partition('.')[0]}",
                todo='Run: pip install "napari-unet-live[bioimageio]"',
            ) from error

"""The files of a package, in a .zip or a folder, and its description. Nothing in it is executed."""

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
"""Names, or endings of names, of the file with a package's description."""


class Package:
    """An open package of bioimage.io: a .zip or a folder.

    Its description is read by the library of bioimage.io, which downloads nothing and opens no
    other file. Format 0.4 is converted to 0.5.

    Parameters
    ----------
    path : path-like
        The .zip, the folder, or the description in it.

    Attributes
    ----------
    description : bioimageio.spec.model.v0_5.ModelDescr
        Its description.

    Raises
    ------
    InputError
        Where it is no package of a model, or its description is not valid.
    """

    description: Any

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._zip = (
            _open_zip(self.path) if self.path.is_file() and not _is_text(self.path) else None
        )
        try:
            self.description = self._read_description()
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
            Its source, and its SHA-256 where the description has one.

        Raises
        ------
        InputError
            Where its source is on the web, because nothing is downloaded.
        ModelFileError
            Where it is missing or damaged.
        """
        name = str(getattr(file.source, "path", file.source))
        if "://" in str(file.source):
            raise InputError(
                "A file of the package is on the web, and napari-unet does not download files",
                got=str(file.source),
                todo="Download the whole package as a .zip, and import that",
            )
        content = self._content(name)
        if file.sha256 and hashlib.sha256(content).hexdigest() != str(file.sha256):
            raise ModelFileError(f"{name} in {self.path.name} is damaged", got="another SHA-256")
        return content

    def array(self, file: Any) -> NDArray[Any] | None:
        """Return an array that the description names; None where there is none or it is missing."""
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
            path = (folder / name).resolve()
            if not path.is_relative_to(folder):
                raise InputError("The package refers to a file outside of itself", got=name)
            return path.read_bytes()
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise ModelFileError(
                f"A file is missing in {self.path.name}", got=f"no {name}"
            ) from error

    @property
    def _folder(self) -> Path:
        return self.path if self.path.is_dir() else self.path.parent

    def _read_description(self) -> Any:
        from bioimageio.spec import InvalidDescr, load_description
        from bioimageio.spec.model.v0_5 import ModelDescr

        source = self._zip or self._document()
        description = load_description(source, format_version="latest", perform_io_checks=False)
        if isinstance(description, InvalidDescr):
            reason = " ".join((description.get_reason() or "").split())[:300]
            raise InputError(f"The description of {self.path.name} is not valid", got=reason)
        if not isinstance(description, ModelDescr):
            raise InputError(
                f"{self.path.name} is not a model package",
                got=f"a {getattr(description, 'type', 'description')}",
            )
        return description

    def _document(self) -> Path:
        if self.path.is_file():
            return self.path
        found = [f for end in DOCUMENTS for f in sorted(self._folder.glob(f"*{end}"))]
        if not found:
            raise InputError(
                "There is no model package",
                got=str(self.path),
                expected="a .zip, or a folder with rdf.yaml",
            )
        return found[0]


def _is_text(path: Path) -> bool:
    return path.suffix in (".yaml", ".yml")


def _open_zip(path: Path) -> zipfile.ZipFile:
    """Open a .zip with a description in it."""
    try:
        package = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path.name} is not a model package",
            got=str(error),
            expected="a .zip of bioimage.io",
        ) from error
    if not any(name.endswith(DOCUMENTS) for name in package.namelist()):
        package.close()
        raise InputError(f"{path.name} is not a model package", got="no rdf.yaml in it")
    return package


def in_folder(files: dict[str, bytes]) -> tempfile.TemporaryDirectory[str]:
    """Return a temporary folder with these files, by name."""
    folder = tempfile.TemporaryDirectory()
    try:
        for name, content in files.items():
            Path(folder.name, Path(name).name).write_bytes(content)
    except BaseException:
        folder.cleanup()
        raise
    return folder


LIBRARIES = ("onnx", "onnxruntime", "bioimageio.spec.model.v0_5")
"""Modules of the optional dependencies that packages need."""


def need_libraries() -> None:
    """Check that the libraries for reading and writing packages are installed.

    Raises
    ------
    InputError
        Where one is missing; the message says how to install it.
    """
    # The library logs everything it reads to stderr; its errors are returned to us anyway.
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

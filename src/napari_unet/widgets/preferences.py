"""What the panel remembers from one day to the next, and where it keeps what it makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import QSettings, QStandardPaths

NAME = "napari-unet-live"


def default_folder() -> Path:
    """Return where runs are kept unless another folder is chosen: among the user's own data."""
    place = QStandardPaths.StandardLocation.GenericDataLocation
    return Path(QStandardPaths.writableLocation(place), NAME, "runs")


def store() -> QSettings:
    """Return where preferences are written."""
    return QSettings(NAME, "panel")


class Preference:
    """One value that is remembered, as text; what nobody set is not written.

    Parameters
    ----------
    key : str
        Such as ``"runs/folder"``.
    """

    def __init__(self, key: str) -> None:
        self.key = key

    def text(self) -> str | None:
        """Return what is remembered, None if nothing is."""
        found: Any = store().value(self.key)
        return None if found is None else str(found)

    def is_on(self, default: bool) -> bool:
        """Return what is remembered as yes or no."""
        text = self.text()
        return default if text is None else text == "yes"

    def remember(self, value: str | bool) -> None:
        """Write another value."""
        text = ("yes" if value else "no") if isinstance(value, bool) else value
        store().setValue(self.key, text)

"""The exceptions of napari-unet.

None derives from :class:`RuntimeError`: a generator worker of superqt that raises one reports
neither an error nor its end, and the panel would wait for ever.
"""

from __future__ import annotations

from typing import Any


class NapariUnetError(Exception):
    """Base of every error that napari-unet raises on purpose.

    The message is one line made for the person who reads it: what is wrong, what was found, what
    was expected, what to do.

    Parameters
    ----------
    what : str
        What is wrong, as a sentence without its full stop.
    got : object, optional
        What was found.
    expected : object, optional
        What would have been right.
    todo : str, optional
        What the reader can do about it.

    Examples
    --------
    >>> print(InputError("The image is empty", got="shape (0, 5)", todo="Open another one"))
    The image is empty (got shape (0, 5)). Open another one.
    """

    def __init__(
        self, what: str, *, got: object = None, expected: object = None, todo: str = ""
    ) -> None:
        facts = [f"got {got}"] * (got is not None) + [f"expected {expected}"] * (
            expected is not None
        )
        message = what + (f" ({', '.join(facts)})" if facts else "") + "."
        super().__init__(message + (f" {todo.rstrip('.')}." if todo else ""))

    def __reduce__(self) -> tuple[Any, ...]:
        """Let it be copied into another process, with all that it says."""
        return _again, (type(self), str(self), self.__dict__)


def _again(kind: type[NapariUnetError], message: str, state: dict[str, Any]) -> NapariUnetError:
    error = kind(message)
    error.args = (message,)
    error.__dict__.update(state)
    return error


class InputError(NapariUnetError, ValueError):
    """What the user handed in cannot be used as it is."""


class ModelFileError(NapariUnetError, OSError):
    """A file is no model of ours, or a damaged one."""


class TrainingError(NapariUnetError):
    """The training could not go on."""


class OutOfMemoryError(TrainingError, MemoryError):
    """The device has not enough memory for the smallest step that would do."""

"""The exceptions of napari-unet.

None derives from :class:`RuntimeError`: a generator worker of superqt that raises one emits neither
an error nor its end, and the panel would wait for ever.
"""

from __future__ import annotations

from typing import Any


class NapariUnetError(Exception):
    """Base class of the errors that napari-unet raises on purpose.

    The message is one line for the user: what is wrong, what was found, what was expected, and
    what to do.

    Parameters
    ----------
    what : str
        What is wrong, a sentence without its full stop.
    got : object, optional
        What was found.
    expected : object, optional
        What would be valid.
    todo : str, optional
        What the user can do.

    Examples
    --------
    >>> print(InputError("The image is empty", got="shape (0, 5)", todo="Open another one"))
    The image is empty (got shape (0, 5)). Open another one.
    """

    def __init__(
        self, what: str, *, got: object = None, expected: object = None, todo: str = ""
    ) -> None:
        facts = []
        if got is not None:
            facts.append(f"got {got}")
        if expected is not None:
            facts.append(f"expected {expected}")
        message = f"{what} ({', '.join(facts)})." if facts else f"{what}."
        if todo:
            message += f" {todo.rstrip('.')}."
        super().__init__(message)

    def __reduce__(self) -> tuple[Any, ...]:
        """Let the error be pickled, with its message and notes."""
        return _rebuilt, (type(self), str(self), self.__dict__)


def _rebuilt(kind: type[NapariUnetError], message: str, state: dict[str, Any]) -> NapariUnetError:
    error = kind(message)
    error.args = (message,)
    error.__dict__.update(state)
    return error


class UnlikeTrainingWarning(UserWarning):
    """An image is unlike those that a model learned from, so its result may be wrong."""


class InputError(NapariUnetError, ValueError):
    """Input of the user that cannot be used."""


class ModelFileError(NapariUnetError, OSError):
    """A file that is not a model of napari-unet, or is damaged."""


class TrainingError(NapariUnetError):
    """A training that cannot continue."""


class OutOfMemoryError(TrainingError, MemoryError):
    """The device does not have enough memory for the smallest possible step."""

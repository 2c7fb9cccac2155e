"""Values as text that the user reads and writes: lists, mappings, names and counts.

Lists are written ``64, 64``, nested ones ``32, 32; 64, 64``, and mappings ``1=0.5``.
"""

from __future__ import annotations

import re
from typing import Any


def read_list(text: str, depth: int = 1) -> Any:
    """Return the tuple that a text stands for; words that are no numbers stay strings.

    Parameters
    ----------
    text : str
        Numbers separated by commas or blanks; with ``depth=2`` groups of these separated by
        semicolons.
    depth : {0, 1, 2}
        Levels of nesting of the tuple; 0 is a single value.

    Examples
    --------
    >>> read_list("32, 32; 64 64", depth=2), read_list("0.5"), read_list("none", depth=0)
    (((32, 32), (64, 64)), (0.5,), None)
    """
    if depth == 2:
        return tuple(read_list(part) for part in text.split(";") if part.strip())
    if depth == 1:
        return tuple(_number(word) for word in text.replace(",", " ").split())
    word = text.strip().lower()
    return None if word in ("", "none") else _number(word)


def write_list(value: Any) -> str:
    """Return the text that stands for a value.

    Examples
    --------
    >>> write_list(((32, 32), (64, 64))), write_list((0.5,)), write_list(None)
    ('32, 32; 64, 64', '0.5', '')
    """
    if value is None:
        return ""
    if not isinstance(value, tuple):
        return str(value)
    joint = "; " if value and isinstance(value[0], tuple) else ", "
    return joint.join(write_list(part) for part in value)


def read_mapping(text: str) -> dict[Any, Any]:
    """Return the mapping that a text stands for; words that are no numbers stay strings.

    Examples
    --------
    >>> read_mapping("1=2, 7=0.5"), read_mapping("")
    ({1: 2, 7: 0.5}, {})
    """
    pairs = (part.partition("=")[::2] for part in text.split(",") if part.strip())
    return {_number(key.strip()): _number(value.strip()) for key, value in pairs}


def write_mapping(value: dict[Any, Any]) -> str:
    """Return the text that stands for a mapping.

    Examples
    --------
    >>> write_mapping({1: 2, 7: 0.5})
    '1=2, 7=0.5'
    """
    return ", ".join(f"{key}={part}" for key, part in value.items())


def _number(word: str) -> Any:
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word


def humanise(name: str) -> str:
    """Return the name of a field as a label.

    Examples
    --------
    >>> humanise("learning_rate")
    'Learning rate'
    """
    return name.replace("_", " ").capitalize()


NAMES = {
    "adamw": "AdamW",
    "augment": "Augmentation",
    "auto": "Automatic",
    "blind_spot": "Blind spots",
    "ce": "Cross-entropy",
    "ce+dice": "Cross-entropy + Dice",
    "cpu": "CPU",
    "cuda": "CUDA",
    "elu": "ELU",
    "gelu": "GELU",
    "l1": "L1",
    "l2": "L2",
    "leaky_relu": "Leaky ReLU",
    "lines_x": "Lines along x",
    "lines_y": "Lines along y",
    "mean_sd": "Mean and SD",
    "mps": "Apple GPU",
    "ms_ssim": "MS-SSIM",
    "ndim": "Dimensions",
    "relu": "ReLU",
    "sgd": "SGD",
    "silu": "SiLU",
    "ssim": "SSIM",
}
"""Labels of choices and fields that `humanise` would not get right."""


def named(value: object) -> str:
    """Return the label of a choice or a field.

    Examples
    --------
    >>> named("relu"), named("valid"), named(3)
    ('ReLU', 'Valid', '3')
    """
    text = str(value)
    return NAMES.get(text) or humanise(text)


LONG_WORD = re.compile(r"[^\s<>&/\\\"=;]{25,}")
"""A word that would not fit on a line; paths and HTML may be broken already where they need it."""

PART = 12
"""Characters of a long word that stay together."""

BREAK = "\u200b"
"""A zero-width space, at which a line may be broken."""


def breakable(text: str) -> str:
    """Return a text in which lines can be broken within long words, such as names of files.

    Examples
    --------
    >>> breakable("“nuclei”"), breakable("a" * 30).split(BREAK)
    ('“nuclei”', ['aaaaaaaaaaaa', 'aaaaaaaaaaaa', 'aaaaaa'])
    """

    def broken(found: re.Match[str]) -> str:
        word = found.group()
        return BREAK.join(word[start : start + PART] for start in range(0, len(word), PART))

    return LONG_WORD.sub(broken, text)


def sizes(shape: tuple[int, ...]) -> str:
    """Return a shape as text.

    Examples
    --------
    >>> sizes((20, 176, 176))
    '20 × 176 × 176'
    """
    return " × ".join(map(str, shape))

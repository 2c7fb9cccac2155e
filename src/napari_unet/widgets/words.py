"""Numbers and names as people read them."""

from __future__ import annotations


def clock(seconds: float) -> str:
    """Return a duration in hours, minutes and seconds.

    Examples
    --------
    >>> clock(31.4), clock(3723)
    ('0:31', '1:02:03')
    """
    minutes, rest = divmod(round(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def duration(seconds: float) -> str:
    """Return how long something took.

    Examples
    --------
    >>> duration(0.44), duration(59.6), duration(3723)
    ('0.4 s', '60 s', '1:02:03')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 100 else clock(seconds)


def humanise(name: str) -> str:
    """Return a field's name as a label.

    Examples
    --------
    >>> humanise("learning_rate")
    'Learning rate'
    """
    return name.replace("_", " ").capitalize()


NAMES = {
    "augment": "Augmentation",
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
    "mean_sd": "Mean and deviation",
    "mps": "Apple GPU",
    "ms_ssim": "MS-SSIM",
    "ndim": "Dimensions",
    "relu": "ReLU",
    "silu": "SiLU",
    "ssim": "SSIM",
}


def named(value: object) -> str:
    """Return the name of a choice or a field as people know it.

    Examples
    --------
    >>> named("relu"), named("valid"), named(3)
    ('ReLU', 'Valid', '3')
    """
    text = str(value)
    return NAMES.get(text) or humanise(text)


def count(number: int, what: str) -> str:
    """Return a number of things.

    Examples
    --------
    >>> count(1, "thread"), count(1240, "pixel")
    ('1 thread', '1,240 pixels')
    """
    return f"{number:,} {what}" + "s" * (number != 1)


def sizes(shape: tuple[int, ...]) -> str:
    """Return a shape.

    Examples
    --------
    >>> sizes((20, 176, 176))
    '20 × 176 × 176'
    """
    return " × ".join(map(str, shape))

"""The groups in which the options of all tasks are shown, by forms and by the command line."""

from __future__ import annotations

from collections.abc import Iterable

GROUPS: dict[str, tuple[str, ...]] = {
    "Length": ("seconds", "steps", "open_ended"),
    "Classes": ("zero", "merge_labels", "class_names", "class_colors"),
    "Image": (
        "axes",
        "channel_axis",
        "channel_names",
        "rgb",
        "spacing",
        "region",
        "normalise",
        "intensities",
        "border",
        "wrap",
        "planes",
        "align",
    ),
    "Network": ("size", "network", "fast", "filters", "padding", "dropout", "readout"),
    "Learning": (
        "method",
        "loss",
        "focal_gamma",
        "tversky_alpha",
        "weigh_classes",
        "class_weights",
        "balance",
        "forest",
        "image_first",
        "hidden",
        "replacement",
        "patch",
        "batch_size",
        "seed",
    ),
    "Optimiser": (
        "optimiser",
        "learning_rate",
        "schedule",
        "decay_factor",
        "decay_every",
        "patience",
        "first_cycle",
        "cycle_growth",
        "lowest_rate",
        "momentum",
        "weight_decay",
        "clip_gradient",
        "output_penalty",
    ),
    "Validation": ("held_out", "split", "test_every", "stop_after"),
    "Augmentation": ("augment", "turns"),
    "Output": (
        "keep",
        "averaging",
        "calibrate",
        "own_share",
        "keep_history",
        "checkpoint",
        "checkpoint_seconds",
    ),
    "Computer": ("device", "threads", "make_way", "read_ahead"),
}
"""Names of options by group: the groups in their order, and the options in theirs."""


def group_of(name: str) -> str | None:
    """Return the group of an option; None if it has none.

    Examples
    --------
    >>> group_of("dropout"), group_of("thread_count")
    ('Network', None)
    """
    return next((group for group, names in GROUPS.items() if name in names), None)


def in_order(names: Iterable[str]) -> list[str]:
    """Return options in the order of the groups; those of no group come last.

    Examples
    --------
    >>> in_order(["threads", "loss", "dropout"])
    ['dropout', 'loss', 'threads']
    """
    places = {name: place for place, name in enumerate(sum(GROUPS.values(), ()))}
    return sorted(names, key=lambda name: places.get(name, len(places)))

"""What is worth saying about a training, in plain words, and what would help.

The rules are careful: held-out strokes are few, so their loss is noisy, and in the first seconds
it may jump. Advice that comes too late costs little; advice that is wrong is never read again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Literal

from napari_unet.training.events import (
    ClassesGrew,
    Started,
    Stepped,
    StrokesChanged,
    Validated,
    Warned,
)
from napari_unet.training.metrics import Table, recall, shares, truths

NOT_FINITE = "was not finite"
"""How the trainer's warning of a step that was left out reads."""

FEW_AFTER, FEW_PIXELS, FEW_SHARE, ENOUGH_PIXELS = 20.0, 50, 1 / 50, 1000
"""Seconds of patience; pixels that are few; a share of the largest class that is; enough anyway."""

LEARNED_AFTER, LASTING_STEPS, LASTING_SECONDS = 150, 50, 10.0
"""Steps before the table of what was learned means anything; how long a finding has to last."""

MISREAD, LEARNED, CONFUSED, RISING = 0.5, 0.7, 0.25, 0.05
"""Recall of strokes that contradict; of others that do not; share taken for another; gain."""

GAIN, LEAST_GAIN = 0.02, 0.002
"""A lower loss than this, relative and absolute, is none worth waiting for."""

PATIENCE, PATIENCE_SHARE = 60.0, 0.4
"""Seconds, or part of the time gone, without a gain before more training is called useless."""

IMAGE_SHARE = 0.1
"""Of the gain that counts, what counts where the result is an image: most of such a loss is noise
that nobody can tell beforehand, and what is learned is small beside it."""

RISE, LEAST_RISE, FALL, SMOOTHED = 1.15, 0.02, 0.95, 9
"""Validation loss over its best, training loss against then, and validations in a median."""


BY_HEART = {
    True: "It learns your strokes by heart: more strokes elsewhere will help",
    False: "It learns the pixels by heart: more images, or a smaller network, will help",
}

WHAT_HELPS = {
    True: "New strokes where it is wrong will.",
    False: "Stop it; if the result is not good enough, try a larger network.",
}
"""By whether something is painted."""


@dataclass(frozen=True, slots=True)
class Advice:
    """One line for the user.

    Parameters
    ----------
    key : str
        The same for the same situation; a newer line with this key replaces an older one.
    message : str
        What is the matter and what would help.
    kind : {"info", "warning"}
        Whether something is wrong, or could merely be better.
    classes : tuple of str
        The names of the classes it speaks of.
    """

    key: str
    message: str
    kind: Literal["info", "warning"] = "info"
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Test:
    """A validation, and when it was."""

    step: int
    elapsed: float
    loss: float
    training: float


class Adviser:
    """Listens to the events of one training, in their order, and speaks up where it helps.

    Each line is said once; it may come again when its cause had gone in the meantime.
    """

    def __init__(self) -> None:
        self._names: tuple[str, ...] = ()
        self._counts: tuple[int, ...] = ()
        self._held_out: tuple[float, ...] = ()
        self._step, self._elapsed, self._endless = 0, 0.0, False
        self._loss: float | None = None
        self._left_out, self._counted = 0, True
        self._painted = True
        self._said: set[str] = set()
        self._strokes_changed()

    def feed(self, event: object) -> list[Advice]:
        """Take the next event, of whatever kind; return what is to be said now.

        Parameters
        ----------
        event : TrainingEvent
            Others are of no interest.

        Returns
        -------
        list of Advice
            Mostly empty.
        """
        match event:
            case Started() | ClassesGrew():
                self._painted = bool(event.class_names)
                self._know(event.class_names, event.counts)
            case StrokesChanged():
                self._know(self._names, event.counts)
            case Stepped():
                return list(self._stepped(event))
            case Warned() if NOT_FINITE in event.message:
                return list(self._not_finite())
            case Validated():
                return list(self._judge(event))
        return []

    def _know(self, names: tuple[str, ...], counts: tuple[int, ...]) -> None:
        """Take other strokes; where a class has got more, it may be called few again."""
        for name, before, now in zip(self._names, self._counts, counts, strict=False):
            if now > before:
                self._said.discard(f"few:{name}")
        self._names, self._counts, self._counted = names, counts, False
        self._strokes_changed()

    def _strokes_changed(self) -> None:
        """Begin anew: what was found about other strokes is void."""
        self._said = {key for key in self._said if key.startswith(("few:", "not finite"))}
        self._since: dict[str, tuple[int, float, float]] = {}
        self._tests: list[_Test] = []
        self._best: tuple[float, _Test] | None = None
        self._changed = self._step

    def _stepped(self, event: Stepped) -> Iterator[Advice]:
        self._step, self._elapsed = event.step, event.elapsed
        self._endless = event.progress is None
        before = event.loss if self._loss is None else self._loss
        self._loss = 0.95 * before + 0.05 * event.loss
        if not self._counted and self._elapsed >= FEW_AFTER:
            self._counted = True
            yield from self._few_strokes()

    def _say(
        self,
        key: str,
        message: str,
        kind: Literal["info", "warning"] = "info",
        classes: Sequence[str] = (),
    ) -> Iterator[Advice]:
        if key not in self._said:
            self._said.add(key)
            yield Advice(key, message, kind, tuple(classes))

    def _lasts(
        self, key: str, holds: bool, level: float = 0, seconds: float = LASTING_SECONDS
    ) -> bool:
        """Tell whether something has been found all the time for so long, without rising."""
        if not holds:
            self._since.pop(key, None)
            return False
        step, elapsed, first = self._since.setdefault(key, (self._step, self._elapsed, level))
        if level > first + RISING:
            self._since[key] = (self._step, self._elapsed, level)
            return False
        return self._step - step >= LASTING_STEPS and self._elapsed - elapsed >= seconds

    def _not_finite(self) -> Iterator[Advice]:
        self._left_out += 1
        if self._left_out > 1:
            yield from self._say(
                "not finite",
                "Steps were left out again and again, for the loss was not finite: choose a lower "
                "learning rate, and look for extreme pixels in the image.",
                "warning",
            )

    def _judge(self, event: Validated) -> Iterator[Advice]:
        held_out = truths(event.confusion)
        if held_out != self._held_out:
            self._strokes_changed()
        self._held_out = held_out
        training = event.loss if self._loss is None else self._loss
        self._tests.append(_Test(event.step, self._elapsed, event.loss, training))
        long_enough = event.step - self._changed >= LEARNED_AFTER
        if long_enough and len(event.learned) == len(self._names) > 1:
            alike: set[str] = set()
            yield from self._look_alike(event.learned, alike)
            yield from self._contradicting(event.learned, alike)
        yield from self._by_heart()
        yield from self._no_gain()

    def _few_strokes(self) -> Iterator[Advice]:
        few = min(ENOUGH_PIXELS, max(FEW_PIXELS, FEW_SHARE * max(self._counts, default=0)))
        known = self._held_out if len(self._held_out) == len(self._counts) else self._counts
        for name, count, held_out in zip(self._names, self._counts, known, strict=True):
            if max(count, held_out) < few:
                text = f"“{name}” has few strokes ({_pixels(count)}): paint more of it."
                yield from self._say(f"few:{name}", text, classes=(name,))

    def _look_alike(self, learned: Table, alike: set[str]) -> Iterator[Advice]:
        parts = shares(learned)
        for a, first in enumerate(self._names):
            for b, second in enumerate(self._names[:a]):
                taken = min(parts[a][b] or 0.0, parts[b][a] or 0.0)
                key, holds = f"alike:{second}:{first}", taken > CONFUSED
                alike |= {first, second} if holds else set()
                if self._lasts(key, holds, -taken):
                    yield from self._say(
                        key,
                        f"“{second}” and “{first}” look alike to the network: paint more of both "
                        "where they differ most, or make them one class.",
                        classes=(second, first),
                    )

    def _contradicting(self, learned: Table, alike: set[str]) -> Iterator[Advice]:
        found = recall(learned)
        others = max((r for r in found if r is not None), default=0.0)
        for name, hit in zip(self._names, found, strict=True):
            misread = hit is not None and hit < MISREAD and others >= LEARNED and name not in alike
            if self._lasts(f"contradict:{name}", misread, hit or 0.0):
                yield from self._say(
                    f"contradict:{name}",
                    f"Strokes of “{name}” contradict the image or each other: look at them again.",
                    "warning",
                    (name,),
                )

    def _by_heart(self) -> Iterator[Advice]:
        """Say so where it gets better on what it learns from, and worse on what is held out."""
        latest = self._tests[-SMOOTHED:]
        if len(latest) < SMOOTHED:
            return
        smooth, now = median(t.loss for t in latest), latest[-1]
        if self._best is None or smooth < self._best[0]:
            self._best = smooth, latest[SMOOTHED // 2]
        best, then = self._best
        noise = _noise([t.loss for t in self._tests[-3 * SMOOTHED :]])
        rises = smooth - best > max((RISE - 1) * best, LEAST_RISE, 2 * noise)
        falls = now.training < FALL * then.training
        if self._lasts("by heart", rises and falls, seconds=2 * LASTING_SECONDS):
            self._said.add("no gain")  # it would say the same in other words
            yield from self._say(
                "by heart",
                f"{BY_HEART[self._painted]}; the best moment was at step {then.step:,}.",
                "warning",
            )

    def _no_gain(self) -> Iterator[Advice]:
        """Say so where the loss now is what it was long ago.

        Only without a budget: a learning rate that falls brings its gain at the end.
        """
        wait = max(PATIENCE, PATIENCE_SHARE * self._elapsed)
        third, now = wait / 3, self._elapsed
        before = [t.loss for t in self._tests if abs(now - wait - t.elapsed) <= third / 2]
        recent = [t.loss for t in self._tests if t.elapsed > now - third]
        whole = self._tests[0].elapsed <= now - wait - third / 2
        if not (self._endless and whole and len(before) > 2 and len(recent) > 2):
            return
        level = median(before)
        share = 1.0 if self._painted else IMAGE_SHARE
        gain, least = level - median(recent), share * max(GAIN * level, LEAST_GAIN)
        doubt = _noise(recent) * (1 / len(before) + 1 / len(recent)) ** 0.5
        if gain > 3 * max(least, doubt):
            self._said.discard("no gain")
        if self._lasts("no gain", gain < least, seconds=third / 2):
            yield from self._say(
                "no gain",
                f"No gain for {_minutes(wait)}: more training brings nothing. "
                f"{WHAT_HELPS[self._painted]}",
            )


def _noise(losses: Sequence[float]) -> float:
    """Return the standard deviation from test to test, robustly: trends and jumps do not count."""
    return 1.05 * median(abs(b - a) for a, b in pairwise(losses))


def _pixels(count: int) -> str:
    return f"{count:,} pixel" + "s" * (count != 1)


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"

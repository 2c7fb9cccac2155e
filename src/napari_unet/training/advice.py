"""Advice about a running training, in plain words: what is wrong and what would help.

The rules are cautious. Few pixels are held out, so the validation loss is noisy, and it may jump
in the first seconds. Late advice costs little; wrong advice is never read again.
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
from napari_unet.training.metrics import Table, shares, truths

NOT_FINITE = "was not finite"
"""Part of the trainer's warning that a step was left out."""

FEW_AFTER = 20.0
"""Few labels: seconds after a change of the labels before they are called few."""

FEW_PIXELS = 50
"""Few labels: fewer pixels of a class than this are few."""

FEW_SHARE = 1 / 50
"""Few labels: fewer pixels than this part of the largest class are few, too."""

ENOUGH_PIXELS = 1000
"""Few labels: so many pixels are enough, however many other classes have."""

TABLE_AFTER = 150
"""Alike and contradicting classes: steps before the training's confusion table is meaningful."""

LASTING_STEPS = 50
"""Steps that a finding has to last before it is reported."""

LASTING_SECONDS = 10.0
"""Seconds that a finding has to last before it is reported, where no others are given."""

RISING = 0.05
"""Rise of the measure of a finding above which it improves by itself and is not reported yet."""

LOW_RECALL = 0.5
"""Contradicting labels: the recall of the class is lower than this."""

HIGH_RECALL = 0.7
"""Contradicting labels: the recall of another class is at least this."""

CONFUSED_SHARE = 0.25
"""Alike classes: more than this part of each of the two is taken for the other."""

SMOOTHED = 9
"""Overfitting: validations in a running median of the loss."""

RISE = 1.15
"""Overfitting: least ratio of the smoothed validation loss to its best."""

LEAST_RISE = 0.02
"""Overfitting: least difference of the smoothed validation loss to its best."""

FALL = 0.95
"""Overfitting: largest ratio of the training loss to what it was at the best validation."""

GAIN = 0.02
"""No gain: part of the validation loss that it has to fall to make waiting worth while."""

LEAST_GAIN = 0.002
"""No gain: absolute fall of the validation loss that counts, where that part is less."""

PATIENCE = 60.0
"""No gain: seconds that are waited for a gain, at least."""

PATIENCE_SHARE = 0.4
"""No gain: part of the time so far that is waited for a gain, at least."""

IMAGE_GAIN_FACTOR = 0.1
"""No gain: factor on the gain that counts, where the result is an image. Most of such a loss is
noise that cannot be predicted, and what is still learned is small beside it."""

LOSS_WEIGHT = 0.05
"""Weight of a step in the moving average of the training loss."""

OVERFITTING_ADVICE = {
    True: "The network overfits to your strokes: more strokes in other places will help",
    False: "The network overfits to the image: more images, or a smaller network, will help",
}
"""By whether labels are learned from."""

NO_GAIN_ADVICE = {
    True: "New strokes where the result is wrong will.",
    False: "Stop the training; if the result is not good enough, try a larger network.",
}
"""By whether labels are learned from."""


@dataclass(frozen=True, slots=True)
class Advice:
    """One sentence for the user.

    Parameters
    ----------
    key : str
        Names the situation; newer advice with this key replaces older advice.
    message : str
        What is wrong and what would help.
    kind : {"info", "warning"}
        "warning" if something is wrong, "info" if it could be better.
    classes : tuple of str
        Names of the classes that it is about.
    """

    key: str
    message: str
    kind: Literal["info", "warning"] = "info"
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Validation:
    """A validation: its loss, and step, time and training loss at that moment."""

    step: int
    elapsed: float
    loss: float
    training: float


@dataclass(frozen=True, slots=True)
class _Finding:
    """Since when something has been found, and its measure then."""

    step: int
    elapsed: float
    level: float


class Adviser:
    """Gives advice from the events of one training, in their order.

    Each piece of advice is given once, and again where its cause had disappeared meanwhile.
    """

    def __init__(self) -> None:
        self._names: tuple[str, ...] = ()
        self._counts: tuple[int, ...] = ()
        self._held_out: tuple[float, ...] = ()
        self._step = 0
        self._elapsed = 0.0
        self._endless = False
        self._loss: float | None = None
        self._steps_left_out = 0
        self._counts_checked = True
        self._has_labels = True
        self._given: set[str] = set()
        self._forget_findings()

    @property
    def standing(self) -> frozenset[str]:
        """The keys of the advice that was given and whose cause has not disappeared."""
        return frozenset(self._given)

    def feed(self, event: object) -> list[Advice]:
        """Process the next event; return the advice to give now.

        Parameters
        ----------
        event : TrainingEvent
            Of whatever kind.

        Returns
        -------
        list of Advice
            Usually empty.
        """
        match event:
            case Started() | ClassesGrew():
                self._has_labels = bool(event.class_names)
                self._set_counts(event.class_names, event.counts)
            case StrokesChanged():
                self._set_counts(self._names, event.counts)
            case Stepped():
                return list(self._after_step(event))
            case Warned() if NOT_FINITE in event.message:
                return list(self._after_bad_step())
            case Validated():
                return list(self._after_validation(event))
        return []

    def _set_counts(self, names: tuple[str, ...], counts: tuple[int, ...]) -> None:
        """Take over new counts of labels; where a class has more, it may be called few again."""
        for name, before, now in zip(self._names, self._counts, counts, strict=False):
            if now > before:
                self._given.discard(f"few:{name}")
        self._names = names
        self._counts = counts
        self._counts_checked = False
        self._forget_findings()

    def _forget_findings(self) -> None:
        """Forget what was found about other labels."""
        self._given = {key for key in self._given if key.startswith(("few:", "not finite"))}
        self._findings: dict[str, _Finding] = {}
        self._validations: list[_Validation] = []
        self._best: tuple[float, _Validation] | None = None
        self._labels_changed_at = self._step

    def _after_step(self, event: Stepped) -> Iterator[Advice]:
        self._step, self._elapsed = event.step, event.elapsed
        self._endless = event.progress is None
        before = event.loss if self._loss is None else self._loss
        self._loss = (1 - LOSS_WEIGHT) * before + LOSS_WEIGHT * event.loss
        if not self._counts_checked and self._elapsed >= FEW_AFTER:
            self._counts_checked = True
            yield from self._few_strokes()

    def _give(
        self,
        key: str,
        message: str,
        kind: Literal["info", "warning"] = "info",
        classes: Sequence[str] = (),
    ) -> Iterator[Advice]:
        if key not in self._given:
            self._given.add(key)
            yield Advice(key, message, kind, tuple(classes))

    def _lasts(
        self, key: str, holds: bool, level: float = 0, seconds: float = LASTING_SECONDS
    ) -> bool:
        """Tell whether a finding has lasted long enough, without improving by itself.

        Parameters
        ----------
        key : str
            Names the finding.
        holds : bool
            Whether it is found now.
        level : float
            The measure of the finding; while it rises, it improves by itself.
        seconds : float
            How long it has to last, besides `LASTING_STEPS`.
        """
        if not holds:
            self._findings.pop(key, None)
            return False
        now = _Finding(self._step, self._elapsed, level)
        since = self._findings.setdefault(key, now)
        if level > since.level + RISING:
            self._findings[key] = now
            return False
        return now.step - since.step >= LASTING_STEPS and now.elapsed - since.elapsed >= seconds

    def _after_bad_step(self) -> Iterator[Advice]:
        self._steps_left_out += 1
        if self._steps_left_out > 1:
            yield from self._give(
                "not finite",
                "Several steps were skipped because the loss was not finite: choose a lower "
                "learning rate, and check the image for extreme pixel values.",
                "warning",
            )

    def _after_validation(self, event: Validated) -> Iterator[Advice]:
        held_out = truths(event.confusion)
        if held_out != self._held_out:
            self._forget_findings()
        self._held_out = held_out
        training = event.loss if self._loss is None else self._loss
        self._validations.append(_Validation(event.step, self._elapsed, event.loss, training))
        long_enough = event.step - self._labels_changed_at >= TABLE_AFTER
        if long_enough and len(event.learned) == len(self._names) > 1:
            alike: set[str] = set()
            yield from self._look_alike(event.learned, alike)
            yield from self._contradicting(event.learned, alike)
        yield from self._overfitting()
        yield from self._no_gain()

    def _few_strokes(self) -> Iterator[Advice]:
        few = min(ENOUGH_PIXELS, max(FEW_PIXELS, FEW_SHARE * max(self._counts, default=0)))
        known = self._held_out if len(self._held_out) == len(self._counts) else self._counts
        for name, count, held_out in zip(self._names, self._counts, known, strict=True):
            if max(count, held_out) < few:
                text = f"“{name}” has few strokes ({_pixels(count)}): paint more of it."
                yield from self._give(f"few:{name}", text, classes=(name,))

    def _look_alike(self, learned: Table, alike: set[str]) -> Iterator[Advice]:
        """Advise on pairs of classes that are taken for each other; add their names to `alike`."""
        parts = shares(learned)
        for a, first in enumerate(self._names):
            for b, second in enumerate(self._names[:a]):
                taken = min(parts[a][b] or 0.0, parts[b][a] or 0.0)
                key = f"alike:{second}:{first}"
                confused = taken > CONFUSED_SHARE
                if confused:
                    alike |= {first, second}
                if self._lasts(key, confused, -taken):
                    yield from self._give(
                        key,
                        f"The network confuses “{second}” and “{first}”: paint more of both "
                        "where they differ most, or merge them into one class.",
                        classes=(second, first),
                    )

    def _contradicting(self, learned: Table, alike: set[str]) -> Iterator[Advice]:
        """Advise on classes not in `alike` that are missed where they were learned from."""
        found = [row[k] for k, row in enumerate(shares(learned))]
        others = max((r for r in found if r is not None), default=0.0)
        for name, hit in zip(self._names, found, strict=True):
            missed = hit is not None and hit < LOW_RECALL and others >= HIGH_RECALL
            if self._lasts(f"contradict:{name}", missed and name not in alike, hit or 0.0):
                yield from self._give(
                    f"contradict:{name}",
                    f"Some strokes of “{name}” seem to be wrong, or contradict each other: "
                    "check them.",
                    "warning",
                    (name,),
                )

    def _overfitting(self) -> Iterator[Advice]:
        """Advise where the training loss falls while the validation loss rises."""
        latest = self._validations[-SMOOTHED:]
        if len(latest) < SMOOTHED:
            return
        smooth = median(v.loss for v in latest)
        now = latest[-1]
        if self._best is None or smooth < self._best[0]:
            self._best = smooth, latest[SMOOTHED // 2]
        best, then = self._best
        noise = _noise([v.loss for v in self._validations[-3 * SMOOTHED :]])
        rises = smooth - best > max((RISE - 1) * best, LEAST_RISE, 2 * noise)
        falls = now.training < FALL * then.training
        if self._lasts("by heart", rises and falls, seconds=2 * LASTING_SECONDS):
            self._given.add("no gain")  # it would mean the same
            yield from self._give(
                "by heart",
                f"{OVERFITTING_ADVICE[self._has_labels]}; the best state was at step "
                f"{then.step:,}.",
                "warning",
            )

    def _no_gain(self) -> Iterator[Advice]:
        """Advise where the validation loss is what it was long ago.

        Only without a budget: a falling learning rate brings its gain at the end.
        """
        wait = max(PATIENCE, PATIENCE_SHARE * self._elapsed)
        third = wait / 3
        now = self._elapsed
        before = [v.loss for v in self._validations if abs(now - wait - v.elapsed) <= third / 2]
        recent = [v.loss for v in self._validations if v.elapsed > now - third]
        whole = self._validations[0].elapsed <= now - wait - third / 2
        if not (self._endless and whole and len(before) > 2 and len(recent) > 2):
            return
        level = median(before)
        share = 1.0 if self._has_labels else IMAGE_GAIN_FACTOR
        gain = level - median(recent)
        least = share * max(GAIN * level, LEAST_GAIN)
        doubt = _noise(recent) * (1 / len(before) + 1 / len(recent)) ** 0.5
        if gain > 3 * max(least, doubt):
            self._given.discard("no gain")
        if self._lasts("no gain", gain < least, seconds=third / 2):
            yield from self._give(
                "no gain",
                f"No improvement for {_minutes(wait)}: more training will not help. "
                f"{NO_GAIN_ADVICE[self._has_labels]}",
            )


def _noise(losses: Sequence[float]) -> float:
    """Return the standard deviation from one loss to the next, robust to trends and jumps."""
    return 1.05 * median(abs(b - a) for a, b in pairwise(losses))


def _pixels(count: int) -> str:
    return "1 pixel" if count == 1 else f"{count:,} pixels"


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"

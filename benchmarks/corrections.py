"""Accuracy over time while a painter corrects: the live U-Net against the random forest.

A simulated painter begins with two strokes a class and then paints, every 15 s, at the worst
place of the planes he works on (`painter.correct`). Scores are of other planes, on which nothing
is ever painted.

- ``vnc``: `vnc_sstem`, painted on slices 0, 7 and 14, scored on 3, 10 and 17 by the mean IoU of
  membrane, mitochondrion and rest.
- ``dsb``: `dsb2018`, 26 fluorescence images of 256 x 256 pixels; painted on 6 and scored on 20 by
  the IoU of the nuclei, averaged over images. (The background's is high whatever is done.)

Time is what passes inside the training's iterator: its set-up, steps, validations and
snapshots. What the painter, the scores and the forest take does not count; the training stands
still meanwhile, and without a budget nothing that it learns depends on the clock. The forest is
grown anew for every row, from exactly the strokes that the U-Net has, and its time is not
counted at all. ``--pace 10`` counts ten steps as a second instead, for a computer that is busy
with other things. With ``--guide unet`` the corrections answer the U-Net's mistakes, which favours
it slightly; with ``--guide forest`` they answer the forest's, which favours that.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from forest import fit_forest, predict_forest
from numpy.typing import NDArray
from painter import Labels, correct, load_stack, mean_iou, paint
from skimage.io import imread

import napari_unet
from napari_unet.control import Control
from napari_unet.data.annotations import AnnotationStore
from napari_unet.geometry.region import Region
from napari_unet.model import TrainedModel
from napari_unet.training.events import Snapshot, TrainingEvent

Guide = Literal["unet", "forest"]
FIRST_STROKES = 2  # of each class, on one plane


@dataclass(frozen=True)
class Material:
    """Pictures, their truth, and which planes are painted on and which are scored.

    Both arrays are uint8 of shape (plane, y, x); `scored` are the classes that count.
    """

    image: NDArray[np.uint8]
    truth: Labels
    paint_on: list[int]
    test: list[int]
    scored: list[int]
    spacing: tuple[float, float]

    def score(self, predicted: Labels) -> float:
        """Return the mean IoU of the test planes, shape (test plane, y, x)."""
        classes = int(self.truth.max())
        table = mean_iou(self.truth[self.test], predicted, classes)
        return float(np.nanmean(table[:, [c - 1 for c in self.scored]]))


def load_vnc(data: Path) -> Material:
    """Read the fly's nerve cord."""
    image, truth = load_stack(data / "vnc_sstem")
    return Material(image, truth, [0, 7, 14], [3, 10, 17], [1, 2, 3], (4.6, 4.6))


def load_dsb(data: Path, painted: int = 6, tested: int = 20, side: int = 256) -> Material:
    """Read images of nuclei, always the same ones: 1 nucleus, 2 background."""
    folder = data / "dsb2018"
    with (folder / "index.csv").open() as file:
        rows = [r for r in csv.DictReader(file) if r["type"] == "fluo"]
    names = sorted(r["id"] for r in rows if r["h"] == r["w"] == str(side))
    chosen = np.random.default_rng(0).choice(names, painted + tested, replace=False)
    image = np.stack([imread(folder / "fluo/images" / f"{name}.tif") for name in chosen])
    nuclei = np.stack([imread(folder / "fluo/labels" / f"{name}.tif") for name in chosen]) > 0
    truth = np.where(nuclei, 1, 2).astype(np.uint8)
    numbers = list(range(painted + tested))
    return Material(image, truth, numbers[:painted], numbers[painted:], [1], (1.0, 1.0))


SETS: dict[str, tuple[str, Callable[[Path], Material]]] = {
    "vnc": ("vnc_sstem", load_vnc),
    "dsb": ("dsb2018", load_dsb),
}


class Painting:
    """The strokes so far, as an array for the forest and as a store for the training."""

    def __init__(self, material: Material, seed: int) -> None:
        self.material, self.seed = material, seed
        self.turn, self.number = 0, 0
        shape = material.truth.shape
        self.labels = np.zeros(shape, np.uint8)
        self.store = AnnotationStore(shape, 2)
        first = material.paint_on[:1]
        window = (0, 0, *shape[1:])
        begun = paint(material.truth, FIRST_STROKES, seed=seed, slices=first, window=window)
        self._add(begun[material.paint_on])
        self.number = FIRST_STROKES * len(np.unique(material.truth[first]))

    def correct(self, said: Labels) -> None:
        """Correct an answer, given for the planes that are painted on."""
        on = self.material.paint_on
        strokes = correct(self.material.truth[on], said, self.labels[on], self.turn, seed=self.seed)
        self.turn += 1
        self.number += len(np.unique(strokes[strokes > 0]))
        self._add(strokes)

    def _add(self, strokes: Labels) -> None:
        for z, plane in zip(self.material.paint_on, strokes, strict=True):
            np.copyto(self.labels[z], plane, where=plane > 0)
            region = Region((z, 0, 0), (z + 1, *plane.shape))
            self.store.write(region, self.labels[z][None])


class LiveTraining:
    """A training without an end, and a clock that runs only while it does.

    With `pace`, it is the clock of a computer that takes so many steps a second.
    """

    def __init__(
        self,
        material: Material,
        store: AnnotationStore,
        seed: int,
        threads: int,
        pace: float | None,
    ) -> None:
        self.control, self.pace = Control(), pace
        self._elapsed, self.step = 0.0, 0
        self._events = napari_unet.train(
            material.image,
            store,
            ndim=2,
            seed=seed,
            spacing=material.spacing,
            open_ended=True,
            threads=threads,
            control=self.control,
        )

    @property
    def clock(self) -> float:
        """Seconds of training so far."""
        return self.step / self.pace if self.pace else self._elapsed

    def model_at(self, seconds: float) -> TrainedModel:
        """Train until the clock shows so much; return what the averaged weights then know."""
        while self.clock < seconds:
            self._next()
        self.control.ask("keep")
        while not isinstance(event := self._next(), Snapshot):
            pass
        return event.model

    def close(self) -> None:
        """End the training."""
        self.control.stop()
        for _ in self._events:
            pass

    def _next(self) -> TrainingEvent:
        began = time.perf_counter()
        event = next(self._events)
        self._elapsed += time.perf_counter() - began
        self.step = getattr(event, "step", self.step)
        return event


@dataclass(frozen=True)
class Row:
    """What is known of one moment."""

    seconds: float
    strokes: int
    steps: int
    unet: float
    forest: float

    def __str__(self) -> str:
        head = f"{self.seconds:6.1f} {self.strokes:8d} {self.steps:7d}"
        return f"{head} {self.unet:8.3f} {self.forest:8.3f} {self.unet / self.forest:8.3f}"


HEAD = "  time  strokes   steps    U-Net   forest    ratio"


def run(
    material: Material,
    guide: Guide,
    seed: int,
    times: Sequence[float],
    threads: int = 2,
    pace: float | None = None,
) -> Iterator[Row]:
    """Train, paint and score; yield a row for every correction."""
    painting = Painting(material, seed)
    training = LiveTraining(material, painting.store, seed, threads, pace)
    planes = material.test + material.paint_on
    n = len(material.test)
    for seconds in times:
        model = training.model_at(seconds)
        said = napari_unet.predict(model, material.image[planes])
        forest = fit_forest(material.image, painting.labels, seed=seed)
        # Only a guide is asked about what is painted on: forests are slow to answer.
        asked = planes if guide == "forest" else material.test
        answered, _ = predict_forest(forest, material.image, asked)
        scores = material.score(said[:n]), material.score(answered[:n])
        yield Row(training.clock, painting.number, training.step, *scores)
        painting.correct((answered if guide == "forest" else said)[n:])
    training.close()


def _options(arguments: Sequence[str] | None) -> Any:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--every", type=float, default=15.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--guide", nargs="+", choices=["unet", "forest"], default=["unet"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pace", type=float, help="count time in steps, so many a second")
    return parser.parse_args(arguments)


def _print_mean(runs: list[list[Row]]) -> None:
    """Print the mean over the seeds, moment by moment."""
    print(f"mean of {len(runs)}\n{HEAD}")
    for rows in zip(*runs, strict=True):
        seconds, strokes, steps, unet, forest = np.mean(
            [[r.seconds, r.strokes, r.steps, r.unet, r.forest] for r in rows], axis=0
        )
        print(Row(seconds, round(strokes), round(steps), unet, forest), flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table for every set, guide and seed, and their means."""
    chosen = _options(arguments)
    times = np.arange(chosen.every, chosen.seconds + 1e-6, chosen.every).tolist()
    for name in chosen.sets:
        folder, load = SETS[name]
        if not (chosen.data / folder).is_dir():
            print(f"skipped: {chosen.data / folder} is not there")
            continue
        material = load(chosen.data)
        for guide in chosen.guide:
            runs: list[list[Row]] = []
            for seed in chosen.seeds:
                print(f"{name}, corrections guided by {guide}, seed {seed}\n{HEAD}", flush=True)
                runs.append([])
                for row in run(material, guide, seed, times, chosen.threads, chosen.pace):
                    runs[-1].append(row)
                    print(row, flush=True)
            _print_mean(runs)


if __name__ == "__main__":
    main()

"""Whether an image is like those that a model learned from: what is said before it is believed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from napari_unet.data.normalisation import IGNORED_SCALE, Normalisation
from napari_unet.data.pixel_statistics import ChannelStatistics
from napari_unet.model import TrainedModel
from napari_unet.network.onnx import PROGRAM

FAR_INTENSITIES = 0.4
"""Largest distance of a percentile from that of the training, in the range of the training and as
the mean over channels, that is like it. Within eight sets of images it is at most 0.34 after the
normalisation, and 0.9 where fluorescence is inverted."""

FAR_NOISE = 4.0
"""Ratio of noise, after the normalisation, to that of the training that is unlike it; within eight
sets of images it is at most 2.9."""

FARTHER = 1.2
"""Distance, as a multiple of the largest among the training's own images, that is unlike them."""

FAR_SPACING = 1.5
"""Ratio of voxel sizes, image to training or the reverse, that is unlike it."""


GLOBAL_OPERATIONS = (b"InstanceNormalization", b"GroupNormalization", b"GlobalAveragePool")
"""Operations of ONNX graphs whose result at one voxel depends on all others of the tile."""


class ImageChecks:
    """Collects in what the images of a prediction differ from those of the training.

    Parameters
    ----------
    model : TrainedModel
        The model that predicts.
    spacing : tuple of float, optional
        Distance between voxels per spatial axis, where it is known.
    """

    def __init__(self, model: TrainedModel, spacing: Sequence[float] | None = None) -> None:
        self._model = model
        self._images = 0
        self._found: dict[str, list[tuple[int, ...]]] = {}
        self._general = tuple(spacing_differences(model.spacing, spacing or ()))

    def add_tiles(self, tiles: int) -> None:
        """Note in how many tiles an image is predicted, which matters to some imported networks.

        Parameters
        ----------
        tiles : int
            Number of tiles per image.
        """
        program = self._model.weights.get(PROGRAM)
        if tiles < 2 or program is None:
            return
        content = program.tobytes()
        if any(name in content for name in GLOBAL_OPERATIONS):
            message = (
                "The imported network normalises by all that it sees at once, so its result "
                f"depends on how an image is cut, here into {tiles} tiles. Set the tile as large "
                "as the image where memory allows."
            )
            self._general = (*self._general, message)

    def add(
        self, index: tuple[int, ...], statistics: Sequence[ChannelStatistics], used: Normalisation
    ) -> None:
        """Check an image.

        Parameters
        ----------
        index : tuple of int
            Its index along the loop axes.
        statistics : sequence of ChannelStatistics
            What was measured of it, per channel.
        used : Normalisation
            What it is normalised by.
        """
        self._images += 1
        for text in image_differences(statistics, used, self._model.normalisation):
            self._found.setdefault(text, []).append(index)

    @property
    def messages(self) -> tuple[str, ...]:
        """Return one sentence for each kind of difference; empty where there is none."""
        return (*self._general, *(self._with_place(*item) for item in self._found.items()))

    def _with_place(self, text: str, indices: Sequence[tuple[int, ...]]) -> str:
        if self._images == 1:
            return f"{text}."
        first = ", ".join(map(str, indices[0]))
        return f"{text} ({len(indices)} of {self._images} images, first at {first})."


def image_differences(
    statistics: Sequence[ChannelStatistics], used: Normalisation, trained: Normalisation
) -> Iterator[str]:
    """Yield in what an image differs from those that a model learned from.

    Parameters
    ----------
    statistics : sequence of ChannelStatistics
        What was measured of the image, per channel.
    used : Normalisation
        What it is normalised by.
    trained : Normalisation
        That of the model; one without `reference` says only whether there is anything to see.

    Yields
    ------
    str
        A sentence without its full stop.
    """
    if all(not channel.finite for channel in statistics):
        yield "The image has no finite pixels, so its result means nothing"
        return
    if all(channel.low == channel.high and not channel.noise for channel in statistics):
        yield "Almost all pixels of the image have one value, so its result means little"
        return
    if trained.reference:
        yield from _unlike_reference(statistics, used, trained)


def _unlike_reference(
    statistics: Sequence[ChannelStatistics], used: Normalisation, trained: Normalisation
) -> Iterator[str]:
    """Yield in what an image, normalised, differs from what was measured in the training."""
    pairs = zip(statistics, trained.reference, trained.scale, strict=True)
    known = [(here, there) for here, there, scale in pairs if scale < IGNORED_SCALE]
    faint = [there.shows_contrast and not here.shows_contrast for here, there in known]
    if faint and all(faint):
        yield (
            "Hardly anything stands out from the noise, unlike in the training: the image is "
            "almost empty, or very dim"
        )
        return
    intensities, noise = trained.distance(statistics, used)
    if intensities > max(FAR_INTENSITIES, FARTHER * trained.variety[0]):
        yield (
            "Its dark and bright pixels are distributed unlike those of the training: the image "
            "has another contrast or other content"
        )
    if noise > max(FAR_NOISE, FARTHER * trained.variety[1]):
        yield f"It is {noise:.0f} times as noisy as the images of the training"


def spacing_differences(trained: Sequence[float], here: Sequence[float]) -> Iterator[str]:
    """Yield in what voxel sizes differ, where both are known: 1 is what everything begins with.

    Parameters
    ----------
    trained, here : sequence of float
        Distance between voxels per spatial axis, in the training and in the image.

    Yields
    ------
    str
        One sentence.
    """
    here = tuple(here)[-len(trained) :] if trained else ()
    known = len(trained) == len(here) > 0 and all(v > 0 for v in (*trained, *here))
    if not known or set(trained) == {1} or set(here) == {1}:
        return
    factors = [a / b for a, b in zip(trained, here, strict=True)]
    larger = max(factors)
    smaller = 1 / min(factors)
    if max(larger, smaller) > FAR_SPACING:
        most = f"{larger:.2g} times larger" if larger >= smaller else f"{smaller:.2g} times smaller"
        yield f"Objects appear {most} here than in the training: the size of a pixel differs."

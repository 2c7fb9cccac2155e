"""What can be set where the result is an image. Knows no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from napari_unet.tasks.network_options import NetworkOptions

LossName = Literal["l1", "l2", "ssim", "ms_ssim"]
Method = Literal["auto", "blind_spot", "lines_x", "lines_y", "neighbours"]


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError("must be odd, so that the picture is in the middle")
    return value


def _some(losses: dict[LossName, float]) -> dict[LossName, float]:
    if not losses or min(losses.values()) <= 0:
        raise ValueError("needs at least one loss, and weights above 0")
    return losses


Losses = Annotated[dict[LossName, float], AfterValidator(_some)]


def _l1() -> dict[LossName, float]:
    return {"l1": 1.0}


class ImageOptions(NetworkOptions):
    """Options of all trainings whose result is an image."""

    filters: bool = Field(False, description="Add fixed filters on several scales.")
    padding: Literal["valid", "same"] = Field(
        "same", description="Valid convolutions, or padded ones that keep the size."
    )
    learning_rate: float = Field(
        3e-3, gt=0, le=1, description="Highest learning rate of the schedule."
    )
    planes: Annotated[int, Field(ge=1, le=15), AfterValidator(_odd)] | None = Field(
        None,
        description="Neighbouring planes that a 2D network sees together to give the middle one "
        "(2.5D); odd. Empty: 1, but denoising chooses.",
    )
    wrap: tuple[Literal["z", "y", "x"], ...] = Field(
        (), description="Axes that go round, such as an angle; `border` is of the others."
    )
    turns: Literal["all", "mirror", "none"] = Field(
        "all",
        description="What is learned from is mirrored, or also turned, at random; none where "
        "left and right, or above and below, are not alike.",
    )
    held_out: float = Field(
        0.05,
        ge=0,
        le=0.5,
        description="Part of the pixels, or of the images, kept for validation.",
    )


class DenoiseOptions(ImageOptions):
    """All that can be set about learning to denoise from noisy images alone."""

    method: Method = Field(
        "auto",
        description="Blind spots: each pixel from its surroundings. Lines: for noise that is "
        "alike along x or y. Neighbours: each plane or frame from the next, where they show the "
        "same scene. Auto measures the image and says what it chose.",
    )
    normalise: Literal["auto", "photon", "mean_sd", "percentile", "none"] = Field(
        "auto",
        description="How pixels are brought to a common range. Photon: so that noise that grows "
        "with the brightness is the same everywhere; auto chooses it where the noise does.",
    )
    hidden: float = Field(
        0.05, gt=0, le=0.5, description="Part of the pixels hidden in each step (blind spots)."
    )
    replacement: Literal["neighbour", "median"] = Field(
        "neighbour",
        description="What hidden pixels are replaced by: a random neighbour (Noise2Void), or the "
        "median of the neighbours (as in N2V2).",
    )
    own_share: float | Literal["auto"] = Field(
        "auto",
        description="How much of each pixel itself goes into the result (blind spots never see "
        "it); auto: of each frequency as much as the measured noise allows.",
    )


class RestoreOptions(ImageOptions):
    """All that can be set about learning from pairs of images."""

    normalise: Literal["mean_sd", "percentile", "none"] = Field(
        "mean_sd", description="How pixels are brought to a common range."
    )
    loss: Losses = Field(
        default_factory=_l1,
        description="Losses and their weights: l1, l2, ssim, ms_ssim.",
    )
    readout: Literal["linear", "softplus"] = Field(
        "linear", description="Softplus: the result is never negative."
    )
    turns: Literal["all", "mirror", "none"] = Field(
        "mirror",
        description="What is learned from is mirrored, or also turned, at random; none where "
        "left and right, or above and below, are not alike.",
    )
    align: bool = Field(
        True, description="Measure whether the images of a pair are shifted, and say so."
    )


class InpaintOptions(ImageOptions):
    """All that can be set about learning to fill in."""

    normalise: Literal["mean_sd", "percentile", "none"] = Field(
        "mean_sd", description="How pixels are brought to a common range."
    )
    loss: Losses = Field(
        default_factory=_l1,
        description="Losses and their weights: l1, l2, ssim, ms_ssim.",
    )
    turns: Literal["all", "mirror", "none"] = Field(
        "mirror",
        description="What is learned from is mirrored, or also turned, at random; none where "
        "left and right, or above and below, are not alike.",
    )

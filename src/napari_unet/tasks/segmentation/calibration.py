"""How often each class really is: estimated from the image, not from the strokes.

Strokes say nothing of frequencies: whoever paints as much membrane as background teaches a
network that both are equally common, and it then finds the rare one everywhere. The frequencies
in the image itself follow from the network's own answers by expectation maximisation: Saerens,
Latinne and Decaestecker 2002, doi:10.1162/089976602753284446. We take the first of its steps
only: further ones gain little, and a network that knows little yet lets them run to one class.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_unet.model import TrainedModel
from napari_unet.network.blocks import Network

CALIBRATION = "calibration"
"""Key in a model's `training`: by which factor calibration made each class more likely."""

MAX_FACTOR = 4.0
"""A class is made at most so many times more or less likely."""

MIN_FREQUENCY = 1e-6
"""Frequency that a class with no weight in the loss counts as."""


def frequency_factors(probabilities: Tensor, trained: Tensor) -> Tensor:
    """Return by how much each class is more frequent in the image than in the training.

    Parameters
    ----------
    probabilities : Tensor
        (voxels, classes): the network's output, at voxels from all over the image.
    trained : Tensor
        (classes,): frequencies in what it was trained on, positive, summing to 1.

    Returns
    -------
    Tensor
        (classes,): from a quarter to 4.
    """
    return (probabilities.mean(0) / trained).clamp(1 / MAX_FACTOR, MAX_FACTOR)


@torch.no_grad()
def shift_head(network: Network, factors: Tensor) -> None:
    """Make each class so many times more likely, by the bias of the network's head if it has one.

    Parameters
    ----------
    network : Network
        Changed in place.
    factors : Tensor
        (classes,), positive.
    """
    bias = network.head.bias
    if bias is None:  # a network without biases has nothing to shift
        return
    # With a stem, each class has a channel for every voxel of a block, class by class.
    bias += factors.log().repeat_interleave(network.config.block_volume).to(bias)


def stored_factors(model: TrainedModel | None, classes: int) -> Tensor:
    """Return by which factor calibration made each class of a model more likely.

    Parameters
    ----------
    model : TrainedModel or None
        The model; None: nothing is calibrated.
    classes : int
        Number of classes now, those of the model first.

    Returns
    -------
    Tensor
        (classes,): 1 for classes that the model does not know.
    """
    known = [] if model is None else model.training.get(CALIBRATION, [])
    factors = torch.ones(classes)
    factors[: len(known)] = torch.tensor(known, dtype=factors.dtype)
    return factors


class ClassFrequencies:
    """How often each class was learned from, to be compared with how often the image has it.

    Parameters
    ----------
    factors : Tensor
        (classes,): those of the model that the training started from; see `stored_factors`.

    Attributes
    ----------
    voxels : Tensor
        (classes,), float64: number of voxels that were learned from.
    factors : Tensor
        (classes,): used for classes of which nothing was learned.
    """

    def __init__(self, factors: Tensor) -> None:
        self.voxels = torch.zeros(len(factors), dtype=torch.float64)
        self.factors = factors

    def add_classes(self, count: int) -> None:
        """Add so many classes, of which nothing was learned."""
        self.voxels = torch.cat([self.voxels, self.voxels.new_zeros(count)])
        self.factors = nn.functional.pad(self.factors, (0, count), value=1.0)

    def factors_for(
        self, probabilities: Tensor, annotated: Tensor, weights: Tensor | None
    ) -> Tensor:
        """Return by how much each class is more frequent in the image than in the training.

        Until something was learned of every annotated class, and for classes that are not
        annotated, the factors of the model that the training started from stay.

        Parameters
        ----------
        probabilities : Tensor
            (voxels, classes): the network's output, at voxels of the image.
        annotated : Tensor
            (classes,), bool: which classes are annotated.
        weights : Tensor, optional
            (classes,): weights in the loss; None: all alike.

        Returns
        -------
        Tensor
            (classes,), positive.
        """
        learned = self.voxels > 0
        factors = self.factors.clone()
        if learned.any() and bool(learned[annotated].all()):
            # As if the classes that were not learned had had their equal share.
            share = learned.float().mean()
            weighted = self.voxels if weights is None else self.voxels * weights
            frequencies = (weighted[learned] / weighted.sum()).float()
            trained = frequencies.clamp(min=MIN_FREQUENCY) * share
            factors[learned] = frequency_factors(probabilities[:, learned], trained)
        return factors

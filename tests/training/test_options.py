"""Options refuse what makes no sense, and say which and why."""

from __future__ import annotations

import pytest

from napari_unet.errors import InputError
from napari_unet.training.options import TrainingOptions


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"step": 5}, r"Option step: extra inputs are not permitted \(got 5, expected one of sec"),
        ({"steps": 0}, r"Option steps: input should be greater than or equal to 1 \(got 0\)"),
        ({"seconds": 0}, "Option seconds: input should be greater than 0"),
        ({"seconds": "long"}, "Option seconds: .*valid number"),
        ({"seed": -1}, "Option seed"),
        ({"seed": 2**32}, "Option seed"),
        ({"averaging": 1}, "Option averaging: input should be less than 1"),
        ({"device": "tpu"}, "Option device: .*'auto', 'cpu', 'cuda' or 'mps'"),
        ({"threads": 0}, "Option threads"),
        ({"batch_size": 1.5}, "Option batch_size: .*integer"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        TrainingOptions.parse(options)


def test_the_largest_seed_works():
    assert TrainingOptions.parse({"seed": 2**32 - 1}).seed == 2**32 - 1


@pytest.mark.parametrize("name", TrainingOptions.model_fields)
def test_every_option_is_explained(name):
    description = TrainingOptions.model_fields[name].description
    assert description
    assert description.endswith(".")

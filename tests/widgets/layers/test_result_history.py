"""Results that somebody has changed are kept, however it was done."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_unet.widgets.layers.result_history import (
    ResultRecord,
    ResultReplacement,
    is_edited,
    written,
)


@pytest.fixture
def viewer():
    return ViewerModel()


def predicted(viewer, image, data):
    """Put a result upon an image, as a prediction does."""
    layer = (Image if data.dtype.kind == "f" else Labels)(data, name="result")
    replacement = ResultReplacement(
        viewer.layers, image, ResultRecord(image, [layer], str(data.dtype.kind))
    )
    viewer.layers.append(layer)
    replacement.finish(complete=True)
    return layer


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
@pytest.mark.parametrize("shape", [(20, 30), (3, 20, 30)])
def test_a_change_in_place_that_no_layer_tells_of_is_kept(viewer, kind, shape):
    image = viewer.add_image(np.zeros(shape), name="picture")
    first = predicted(viewer, image, np.zeros(shape, kind))
    first.data[..., 3:5, 4] = 1  # by a script, without an event
    for _ in range(3):
        predicted(viewer, image, np.zeros(shape, kind))
    assert first in viewer.layers
    assert first.name.endswith("(edited)")
    assert first.data.sum() == first.data[..., 3:5, 4].size
    assert len(viewer.layers) == 4  # besides the image the edited one, the last and the one before


def test_what_this_plugin_writes_is_no_change(viewer):
    image = viewer.add_image(np.zeros((20, 30)), name="picture")
    first = predicted(viewer, image, np.zeros((20, 30), np.uint8))
    with written(first, slice(4, 6)):
        first.data[4:6] = 1
    assert not is_edited(first)
    first.data[5, 5] = 2
    with written(first, slice(5, 8)):
        first.data[6:8] = 1
    assert is_edited(first)


def test_unchanged_results_are_replaced(viewer):
    image = viewer.add_image(np.zeros((20, 30)), name="picture")
    layers = [predicted(viewer, image, np.full((20, 30), k, np.uint8)) for k in range(4)]
    assert [layer in viewer.layers for layer in layers] == [False, False, True, True]

"""Images and masks of every type that microscopes and annotators write."""

from __future__ import annotations

import numpy as np
import pytest

import napari_unet
from tests.tasks.segmentation.test_segment import FAST, halves


@pytest.mark.parametrize(
    ("pixels", "indices"),
    [("uint8", "uint8"), ("uint16", "int32"), ("int32", "uint16"), ("float32", "uint8")],
)
def test_every_type_of_image_and_mask_is_learned_and_predicted(pixels, indices):
    image, labels = halves(noise=0.1)
    image = np.stack([image, -image], -1) * 30 + 100  # two channels, last
    image, labels = image.astype(pixels), (labels * 30).astype(indices)  # classes 90 and 210
    model = napari_unet.fit(image, labels, **{**FAST, "steps": 60}, channel_axis=-1, threads=1)
    result = napari_unet.predict(model, image, channel_axis=-1)
    assert result.shape == labels.shape
    assert set(np.unique(result)) <= {90, 210}
    assert (result == labels)[labels > 0].mean() > 0.9


@pytest.mark.parametrize("indices", ["uint8", "uint16", "int32"])
def test_zero_is_background_or_no_class(indices):
    image, labels = halves()
    mask = np.where(labels == 7, 1, 0).astype(indices)
    model = napari_unet.fit(image, mask, **FAST, zero="background")
    assert [c.value for c in model.classes] == [0, 1]
    with pytest.raises(napari_unet.InputError, match="Only one class is painted"):
        napari_unet.fit(image, mask, **FAST)


def test_an_image_and_a_mask_of_unlike_size_are_refused():
    image, labels = halves()
    with pytest.raises(napari_unet.InputError, match="differ in shape"):
        napari_unet.fit(image, labels[:-1], **FAST)

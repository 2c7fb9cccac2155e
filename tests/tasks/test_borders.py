"""How an image goes on beyond its border: set once, kept with the model, the same in any tiles."""

from __future__ import annotations

import numpy as np
import pytest

import napari_unet
from tests.tasks.segmentation.test_segment import FAST, halves


@pytest.mark.parametrize("border", ["mirror", "edge", "zero", "wrap"])
def test_tiles_do_not_show_and_the_file_remembers(tmp_path, border):
    image, labels = halves((60, 72))
    model = napari_unet.fit(image, labels, **FAST, border=border, threads=1)
    path = model.save(tmp_path / "m")
    loaded = napari_unet.load_model(path)
    assert loaded.input_spec.border == border
    whole = napari_unet.predict(loaded, image, output="probabilities", threads=1)
    tiled = napari_unet.predict(loaded, image, output="probabilities", tile=(32, 40), threads=1)
    np.testing.assert_allclose(tiled, whole, atol=1e-5)


def test_borders_differ_at_the_border_alone():
    image, labels = halves((60, 72))
    base = napari_unet.fit(image, labels, **FAST, threads=1)
    context = base.config.geometry[0].context // 2
    results = {}
    for border in ("mirror", "zero"):
        model = base.with_facts(input_spec=type(base.input_spec)(border=border))
        results[border] = napari_unet.predict(model, image, output="probabilities", threads=1)
    different = np.abs(results["mirror"] - results["zero"]).max(0) > 0
    assert different.any()
    assert not different[context:-context, context:-context].any()

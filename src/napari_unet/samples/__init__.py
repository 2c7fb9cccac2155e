"""Samples that ship: a picture, some strokes on it, and the labels they should lead to.

Nothing here downloads anything: one picture is part of scikit-image, the other is computed.
"""

from napari_unet.samples.catalogue import names, sample
from napari_unet.samples.layers import LayerData, layer_data, open_cells2d, open_volume3d
from napari_unet.samples.sample import Sample

__all__ = [
    "LayerData",
    "Sample",
    "layer_data",
    "names",
    "open_cells2d",
    "open_volume3d",
    "sample",
]

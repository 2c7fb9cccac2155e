"""Samples that come with the package: an image, strokes on it, and the true labels.

Nothing is downloaded: one image is part of scikit-image, the other is computed.
"""

from napari_unet.samples.catalogue import names, sample
from napari_unet.samples.layers import LayerTuple, layer_data, open_cells2d, open_volume3d
from napari_unet.samples.sample import Sample

__all__ = [
    "LayerTuple",
    "Sample",
    "layer_data",
    "names",
    "open_cells2d",
    "open_volume3d",
    "sample",
]

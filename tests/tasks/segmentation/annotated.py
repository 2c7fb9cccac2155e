"""An image with its labels, opened as the tasks do."""

from __future__ import annotations

from napari_unet.data.annotations import AnnotationStore
from napari_unet.data.sampling import AnnotatedImage
from napari_unet.tasks.segmentation.data import check_classes, open_all_annotated
from napari_unet.tasks.segmentation.options import SegmentOptions


def open_annotated(
    image: object, labels: object, ndim: int, options: SegmentOptions
) -> AnnotatedImage:
    (annotated,) = open_all_annotated([image], [labels], ndim, options)
    if not isinstance(labels, AnnotationStore):
        check_classes([annotated], options)
    return annotated

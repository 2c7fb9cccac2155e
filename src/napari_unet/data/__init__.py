"""Pictures, painted labels and what is drawn from them for training.

Nothing here imports torch but :mod:`~napari_unet.data.augment`.
"""

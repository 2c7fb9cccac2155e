"""Pictures, painted labels and what is drawn from them for training.

Nothing here imports torch but what changes patches: the augmentation, and the turns of images.
"""

"""Reading images and annotations, and preparing training patches.

Only the augmentation and the flips import torch.
"""

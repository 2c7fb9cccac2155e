"""Noise of an image: its model, its structure, and checks of what denoising took out."""

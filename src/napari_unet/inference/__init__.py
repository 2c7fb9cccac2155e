"""Prediction of images in tiles, exactly as in one piece, within the free memory."""

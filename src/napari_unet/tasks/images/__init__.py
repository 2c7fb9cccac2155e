"""Tasks whose result is an image: denoise, restore, fill in."""

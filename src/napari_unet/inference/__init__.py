"""Tiled prediction: exact, seamless, within the memory there is."""

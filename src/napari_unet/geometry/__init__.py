"""The arithmetic of shapes, regions, tiles and axes, in plain integers."""

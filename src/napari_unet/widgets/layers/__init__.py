"""napari's layers: reading them, making them, and how they are shown."""

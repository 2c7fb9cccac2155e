"""Qt alone: threads, style and text; nothing of napari and nothing of the task."""

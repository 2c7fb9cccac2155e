"""The task that finds classes, from strokes painted on an image."""

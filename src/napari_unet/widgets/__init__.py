"""The plugin for napari: one panel per viewer, with a Train and a Predict page.

Importing this package loads neither napari nor Qt. Its folders, from the top down:

- `panel` : both pages in a dock, and the commands of the manifest.
- `train`, `predict` : the pages.
- `forms` : editors of options, and combo boxes of layers and models.
- `layers` : layers made for results and previews, and the view of them.
- `qt` : threads, style and text, without a layer.
"""

"""The command line: ``napari-unet demo | train | denoise | restore | inpaint | predict | …``."""

from __future__ import annotations


def main() -> None:
    """Run the command line, and exit with its status."""
    # Not before a command runs: the options of `train` are read off the task's, which know torch.
    from napari_unet.cli.all import app

    app()

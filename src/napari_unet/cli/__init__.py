"""The command line: ``napari-unet demo | train | predict | sizes | info``."""

from __future__ import annotations


def main() -> None:
    """Run the command line, and exit with its status."""
    # Not before a command runs: the options of `train` are read off the task's, which know torch.
    from napari_unet.cli.commands import app

    app()

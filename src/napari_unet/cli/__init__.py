"""The command line: ``napari-unet demo | train | denoise | restore | inpaint | predict | …``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer


def load_app() -> typer.Typer:
    """Return the program with all of its commands; this imports torch."""
    # Each module adds its commands to the program when it is imported.
    from napari_unet.cli import demo, models, refine, runs, training  # noqa: F401
    from napari_unet.cli.commands import app

    return app


def main() -> None:
    """Run the command line, and exit with its status."""
    load_app()()

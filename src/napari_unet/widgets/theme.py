"""The colours of napari's present theme, for what style sheets do not reach."""

from __future__ import annotations

from dataclasses import dataclass

from napari.utils.theme import get_theme


@dataclass(frozen=True)
class Palette:
    """Colours as ``#rrggbb``.

    The first ones are the theme's own; napari has none for curves, so these come in two shades,
    for dark and for light backgrounds.
    """

    background: str
    foreground: str
    primary: str
    secondary: str
    text: str
    warning: str
    error: str
    accent: str
    on_accent: str
    contrast: str

    @classmethod
    def of(cls, theme_id: str) -> Palette:
        """Return the colours of a theme of napari, such as ``"dark"``."""
        theme = get_theme(theme_id)
        names = ("background", "foreground", "primary", "secondary", "text", "warning")
        own = {name: getattr(theme, name).as_hex(format="long") for name in names}
        dark = theme.type == "dark"
        return cls(
            **own,
            error="#e0485e" if dark else "#c4122f",
            accent="#4ea8f0" if dark else "#1a6fb8",
            on_accent="#10161d" if dark else "#ffffff",
            contrast="#f5a742" if dark else "#c26a00",
        )

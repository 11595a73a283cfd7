"""SVG elements whose text and attributes are always escaped."""

from __future__ import annotations

from markupsafe import Markup, escape

__all__ = ["element", "percent"]


def element(tag: str, *children: object, **attributes: object) -> Markup:
    """One element. Attribute names have `_` for `-`, and a trailing `_` is dropped.

    Children that aren't `Markup` are text and become escaped; None children and attributes are
    left out.
    """
    written = Markup("").join(
        Markup(' {}="{}"').format(name.rstrip("_").replace("_", "-"), value)
        for name, value in attributes.items()
        if value is not None
    )
    inner = Markup("").join(escape(child) for child in children if child is not None)
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(tag), written, inner)


def percent(share: float) -> str:
    """A coordinate along the width, which stays true however wide the page is."""
    return f"{100 * share:.2f}%"

"""Dots and whiskers for rows of a table: one track a row, all on one axis.

Positions along a track are percentages, so that a chart fills whatever width it gets while its
marks keep their size. Kinds differ by shape as well as by colour: ours is a filled disc, the best
baseline a hollow square, the others small dots, an upper bound a diamond.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from antiphon.report.reading import Difference, Figure
from antiphon.report.scales import Number, Scale
from antiphon.report.svg import element, percent

__all__ = ["Kind", "Mark", "axis", "swatch", "track"]

Kind = Literal["ours", "best", "other", "bound"]

ROW_PX = 28
APART_PX = 11
BEYOND_PX = 30
SHAPES = {
    "ours": element("circle", r=5),
    "best": element("rect", x=-4, y=-4, width=8, height=8),
    "other": element("circle", r=3),
    "bound": element("path", d="M0-5.5 5.5 0 0 5.5-5.5 0z"),
}


@dataclass(frozen=True)
class Mark:
    """A figure on a track."""

    value: float | None
    low: float | None
    high: float | None
    kind: Kind = "other"

    @classmethod
    def of(cls, found: Figure | Difference, kind: Kind = "other") -> Mark:
        """From a figure or a difference."""
        value = found.difference if isinstance(found, Difference) else found.value
        return cls(value, found.low, found.high, kind)


def track(scale: Scale, marks: Sequence[Mark], zero: bool = False) -> Markup:
    """The marks of one row; decorative, since the row's cells say the same in figures.

    Args:
        scale: shared by all rows of the table.
        marks: drawn one below the other.
        zero: whether to draw the line at zero, for differences.
    """
    there = [mark for mark in marks if mark.value is not None]
    height = ROW_PX + APART_PX * max(0, len(there) - 1)
    first = height / 2 - APART_PX * (len(there) - 1) / 2
    return element(
        "svg",
        *_grid(scale, height),
        _vertical(scale, 0.0, height, "zero") if zero else None,
        *(_mark(scale, mark, first + APART_PX * row) for row, mark in enumerate(there)),
        class_="track",
        height=height,
        aria_hidden="true",
        focusable="false",
    )


def axis(scale: Scale) -> Markup:
    """The ticks' names, below the last row."""
    names = (
        element("text", scale.name(tick), x=percent(scale.at(tick)), y=16, text_anchor="middle")
        for tick in scale.ticks
    )
    return element(
        "svg",
        *(_tick(scale, tick) for tick in scale.ticks),
        *names,
        class_="track axis",
        height=22,
        aria_hidden="true",
        focusable="false",
    )


def swatch(kind: Kind) -> Markup:
    """A mark for the legend."""
    whisker = element("line", x1=-10, x2=10, y1=0, y2=0, class_=f"whisker {kind}")
    return element(
        "svg",
        whisker,
        element("g", SHAPES[kind], class_=f"mark {kind}"),
        class_="swatch",
        width=24,
        height=14,
        viewBox="-12 -7 24 14",
        aria_hidden="true",
        focusable="false",
    )


def _grid(scale: Scale, height: Number) -> list[Markup]:
    return [_vertical(scale, tick, height, "grid") for tick in scale.ticks]


def _vertical(scale: Scale, value: Number, height: Number, class_: str) -> Markup:
    # longer than the row, which cuts them, so that they run on from row to row
    x = percent(scale.at(value))
    return element("line", x1=x, x2=x, y1=-BEYOND_PX, y2=height + BEYOND_PX, class_=class_)


def _tick(scale: Scale, tick: float) -> Markup:
    x = percent(scale.at(tick))
    return element("line", x1=x, x2=x, y1=0, y2=4, class_="grid")


def _mark(scale: Scale, mark: Mark, y: Number) -> Markup:
    value = mark.value or 0.0
    whisker = None
    if mark.low is not None and mark.high is not None:
        ends = percent(scale.at(mark.low)), percent(scale.at(mark.high))
        whisker = element("line", x1=ends[0], x2=ends[1], y1=y, y2=y, class_=f"whisker {mark.kind}")
    # a shape can't have a percentage in its path; a nested viewport can stand at one
    shape = element(
        "svg",
        SHAPES[mark.kind],
        x=percent(scale.at(value)),
        y=y,
        width=1,
        height=1,
        overflow="visible",
        class_=f"mark {mark.kind}",
    )
    return Markup("").join(part for part in (whisker, shape) if part is not None)

"""Lines over an axis, each named at its end, so that no legend is needed.

The drawing fills whatever width it gets: lines live in a viewport that stretches, names and ticks
stand outside of it at percentages and keep their size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from antiphon.report.scales import Number, Scale
from antiphon.report.svg import element, percent
from antiphon.report.tracks import Kind

__all__ = ["Curve", "curves", "spread"]

HEIGHT_PX = 280
NAME_PX = 16
UNITS = 1000
"""Size of the stretching viewport."""


@dataclass(frozen=True)
class Curve:
    """A line: its name, its points, and an interval around it where there is one."""

    name: str
    x: Sequence[Number]
    y: Sequence[Number]
    kind: Kind
    low: Sequence[Number] = ()
    high: Sequence[Number] = ()


def curves(
    identity: str,
    title: str,
    description: str,
    lines: Sequence[Curve],
    x: Scale,
    y: Scale,
) -> Markup:
    """A chart of lines.

    Args:
        identity: unique on the page.
        title: what it is, for who can't see it.
        description: what it shows, for who can't see it.
        lines: drawn in this order, the last on top.
        x: the axis to the right.
        y: the axis upward.
    """
    stretched = element(
        "svg",
        *(_band(line, x, y) for line in lines if line.low and line.high),
        *(_line(line, x, y) for line in lines),
        width="100%",
        height=HEIGHT_PX,
        viewBox=f"0 0 {UNITS} {UNITS}",
        preserveAspectRatio="none",
        overflow="visible",
    )
    return element(
        "svg",
        element("title", title, id=f"{identity}-title"),
        element("desc", description, id=f"{identity}-desc"),
        *_ticks(x, y),
        stretched,
        *_names(lines, x, y),
        class_="curves",
        id=identity,
        width="100%",
        height=HEIGHT_PX,
        role="img",
        aria_labelledby=f"{identity}-title {identity}-desc",
    )


def spread(wanted: Sequence[Number], apart: Number, low: Number, high: Number) -> list[Number]:
    """Places nearest to those wanted, in their order, at least `apart` from each other.

    They stay within [low, high] as long as there is room for all.
    """
    order = sorted(range(len(wanted)), key=lambda n: (wanted[n], n))
    blocks: list[
        tuple[Number, int]
    ] = []  # sum of (wanted - own offset) and size of touching places
    for n in order:
        total, size = wanted[n], 1
        while blocks and blocks[-1][0] / blocks[-1][1] + apart * blocks[-1][1] > total / size:
            above, many = blocks.pop()
            total, size = above + total - size * many * apart, size + many
        blocks.append((total, size))
    placed = [t / size + apart * i for t, size in blocks for i in range(size)]
    # what stands out at an end pushes the rest back
    for i in range(len(placed)):
        placed[i] = max(placed[i], low + apart * i)
    for i in range(len(placed)):
        placed[-1 - i] = min(placed[-1 - i], high - apart * i)
    places: list[Number] = [0.0] * len(wanted)
    for n, place in zip(order, placed, strict=True):
        places[n] = place
    return places


def _points(x: Scale, y: Scale, xs: Sequence[Number], ys: Sequence[Number]) -> list[str]:
    pairs = zip(xs, ys, strict=True)
    return [f"{UNITS * x.at(a):.1f},{UNITS * (1 - y.at(b)):.1f}" for a, b in pairs]


def _line(line: Curve, x: Scale, y: Scale) -> Markup:
    return element(
        "polyline",
        points=" ".join(_points(x, y, line.x, line.y)),
        class_=f"line {line.kind}",
        vector_effect="non-scaling-stroke",
    )


def _band(line: Curve, x: Scale, y: Scale) -> Markup:
    there, back = _points(x, y, line.x, line.high), _points(x, y, line.x, line.low)
    points = " ".join([*there, *reversed(back)])
    return element("polygon", points=points, class_=f"band {line.kind}")


def _ticks(x: Scale, y: Scale) -> list[Markup]:
    drawn = []
    for tick in y.ticks:
        at = HEIGHT_PX * (1 - y.at(tick))
        drawn.append(element("line", x1=0, x2="100%", y1=at, y2=at, class_="grid"))
        name = element("text", y.name(tick), x=0, dx=-8, y=at, dy="0.35em", text_anchor="end")
        drawn.append(name)
    for tick in x.ticks:
        at_x = percent(x.at(tick))
        ends = {"y1": HEIGHT_PX, "y2": HEIGHT_PX + 5}
        drawn.append(element("line", x1=at_x, x2=at_x, class_="grid", **ends))
        name = element("text", x.name(tick), x=at_x, y=HEIGHT_PX + 19, text_anchor="middle")
        drawn.append(name)
    return drawn


def _names(lines: Sequence[Curve], x: Scale, y: Scale) -> list[Markup]:
    ends = [HEIGHT_PX * (1 - y.at(line.y[-1])) for line in lines]
    places = spread(ends, NAME_PX, 0, HEIGHT_PX)
    drawn = []
    for line, end, place in zip(lines, ends, places, strict=True):
        leader = element("line", x1=3, y1=end, x2=14, y2=place, class_="leader")
        name = element("text", line.name, x=18, y=place, dy="0.35em", class_=f"name {line.kind}")
        at = percent(x.at(line.x[-1]))
        drawn.append(element("svg", leader, name, x=at, width=1, height=1, overflow="visible"))
    return drawn

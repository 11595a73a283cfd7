"""What each section of the page shows, ready for the template."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from antiphon.figures import KS
from antiphon.report import words
from antiphon.report.curves import Curve, curves
from antiphon.report.dots import (
    DotTable,
    difference_table,
    figure_table,
    kind_of,
    models_table,
    slice_table,
)
from antiphon.report.reading import MAIN_METRICS, Difference, Reading
from antiphon.report.scales import Number, Scale
from antiphon.report.words import Labels

__all__ = ["Chart", "context", "loss", "models", "recall", "slices", "traits"]


@dataclass(frozen=True)
class Chart:
    """A drawing and the figures that it shows."""

    svg: Markup
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]


def loss(reading: Reading) -> Chart | None:
    """Loss against chance, step by step."""
    found = reading.loss
    if found is None:
        return None
    lines = [
        Curve(f"chance {found.chance[-1]:.2f}", found.step, found.chance, "bound"),
        Curve(f"loss {found.loss[-1]:.2f}", found.step, found.loss, "ours"),
    ]
    x = Scale.over(found.step, padded=False)
    y = Scale.over([*found.loss, *found.chance], zero=False)
    description = (
        f"From {found.loss[0]:.2f} nats at step {found.step[0]} to {found.loss[-1]:.2f} at step "
        f"{found.step[-1]}; chance is {found.chance[-1]:.2f}."
    )
    svg = curves("loss-chart", "Training loss and chance by step", description, lines, x, y)
    rows = [
        (words.count(step), f"{own:.3f}", f"{chance:.3f}", f"{chance - own:.3f}")
        for step, own, chance in zip(found.step, found.loss, found.chance, strict=True)
    ]
    return Chart(svg, ("Step", "Loss", "Chance", "Gained"), rows)


def models(reading: Reading) -> list[DotTable]:
    """All models by the main metrics."""
    found = [
        models_table(reading, name, f"{words.metric(name)} over all queries")
        for name in MAIN_METRICS
    ]
    return [table for table in found if table is not None]


def recall(reading: Reading) -> Chart | None:
    """Recall against k, a line a model."""
    given: Mapping[str, Any] = reading.json["curves"]
    order = [n for n in reversed(reading.models(MAIN_METRICS[1])) if _complete(given.get(n))]
    if not order:
        return None
    ks = given[order[0]]["k"]
    lines = []
    for name in sorted(order, key=lambda n: n == reading.subject):
        one = given[name]
        kind = kind_of(reading, name, MAIN_METRICS[1])
        bounds: tuple[Sequence[Number], Sequence[Number]] = ((), ())
        if kind == "ours" and None not in (*one["low"], *one["high"]):
            bounds = one["low"], one["high"]
        lines.append(Curve(words.model(name), one["k"], one["value"], kind, *bounds))
    x = Scale.over(ks, log=True, most_ticks=8)
    y = Scale.over([v for line in lines for v in (*line.y, *line.high)])
    last = ", ".join(f"{line.name} {words.figure(line.y[-1])}" for line in reversed(lines))
    svg = curves(
        "recall-chart",
        "Recall against the length of the list, by model",
        f"At {ks[-1]}: {last}.",
        lines,
        x,
        y,
    )
    rows = [
        (line.name, *(words.figure(value) for value in line.y))
        for line in sorted(lines, key=lambda line: -line.y[-1])
    ]
    return Chart(svg, ("Model", *(f"recall@{k}" for k in ks)), rows)


def slices(reading: Reading, labels: Labels | None) -> list[tuple[str, DotTable]]:
    """The subject beside the best baseline, by group of slices."""
    titles = {"history": "By length of history", "targets": "By what was asked for"}
    return [
        (titles.get(group.kind, f"By {group.name}"), slice_table(reading, group, metric, labels))
        for group in reading.groups()
        if group.kind != "all"
        for metric in MAIN_METRICS[:1]
    ]


def context(reading: Reading, labels: Labels | None) -> list[tuple[str, DotTable]]:
    """The subject under other contexts, and what the true one lifts, overall and by slice."""
    metric = MAIN_METRICS[0]
    shown = words.metric(metric)
    under = {way: reading.under(way, "all", metric) for way in words.WAYS}
    if under["on"].value is None:
        return []
    figures = {words.WAYS[way][0]: one for way, one in under.items() if one.value is not None}
    notes = dict(words.WAYS.values())
    heads = ("Asked under", "Figure and 95% interval", shown)
    found = [
        (
            "The same queries, four contexts",
            figure_table(f"{shown} by context", heads, figures, notes, [words.WAYS["on"][0]]),
        )
    ]
    lifts = {
        f"over {words.WAYS[w][0].lower()}": reading.lift(w, "all", metric)
        for w in list(words.WAYS)[1:]
    }
    found.append(
        (
            "What the true context adds",
            difference_table(
                f"Lift of {shown}", ("True context", "Lift and 95% interval", "Lift"), lifts, {}
            ),
        )
    )
    parts = [p for group in reading.groups() if group.kind == "context" for p in group.slices]
    by_slice: dict[str, Difference] = {}
    sizes: dict[str, str] = {}
    for part in parts:
        one = reading.lift("unknown", part, metric)
        if one.outcome != "empty":
            by_slice[name := words.part(part, labels)] = one
            sizes[name] = words.plural(reading.slices[part]["queries"], "query", "queries")
    if by_slice:
        heads = ("Queries with", "Lift over unknown and 95% interval", "Lift")
        caption = f"Lift of {shown} over an unknown context"
        found.append(("Where it adds it", difference_table(caption, heads, by_slice, sizes)))
    return found


def traits(reading: Reading) -> list[tuple[str, str, DotTable]]:
    """Popularity, coverage and repetition: a title, what it means, and the models."""
    depth = KS[-1]
    wanted = (
        (
            "popularity_rank",
            depth,
            0,
            True,
            "Popularity",
            "Mean rank, by training plays, of the items in the lists; 1 is the most played. The "
            "further to the right, the further into the catalogue.",
        ),
        (
            "coverage",
            depth,
            3,
            False,
            "Coverage",
            "Share of the catalogue that stands in somebody’s list.",
        ),
        (
            "repetition",
            KS[0],
            3,
            False,
            "Artist repetition",
            "Share of a list whose artist stands above it already.",
        ),
    )
    found = []
    for name, k, decimals, log, title, text in wanted:
        metric = f"{name}_at_{k}"
        table = models_table(
            reading,
            metric,
            words.metric(metric),
            ranked_by=MAIN_METRICS[0],
            decimals=decimals,
            log=log,
        )
        if table is not None:
            found.append((title, text, table))
    return found


def _complete(curve: Mapping[str, Any] | None) -> bool:
    return bool(curve) and all(
        value is not None and math.isfinite(value) for value in (curve or {})["value"]
    )

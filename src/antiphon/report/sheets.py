"""Every figure of an evaluation as tables, slice by slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from antiphon.report import words
from antiphon.report.dots import kind_of
from antiphon.report.reading import MAIN_METRICS, Reading
from antiphon.report.words import Labels

__all__ = ["Sheet", "sheets"]


@dataclass(frozen=True)
class Sheet:
    """All figures of one slice: rows are models, columns metrics by depth."""

    name: str
    description: str
    sizes: str
    empty: bool
    metrics: Sequence[tuple[str, Sequence[int]]]
    rows: Sequence[tuple[str, str, Sequence[tuple[str, str]]]]


def sheets(reading: Reading, labels: Labels | None) -> list[Sheet]:
    """Every figure of the evaluation, slice by slice."""
    by_metric: dict[str, list[int]] = {}
    for name in reading.metrics():
        stem, _, k = name.rpartition("_at_")
        by_metric.setdefault(stem, []).append(int(k))
    columns = [(f"{stem}_at_{k}", stem) for stem, ks in by_metric.items() for k in ks]
    found = []
    for part, size in reading.slices.items():
        rows = []
        for name in [] if reading.is_empty(part) else reading.models(MAIN_METRICS[0], part):
            cells = []
            for metric, stem in columns:
                digits = 1 if stem == "popularity_rank" else words.DIGITS
                one = reading.figure(name, part, metric)
                cells.append((words.figure(one.value, digits), words.interval(one, digits)))
            rows.append((words.model(name), kind_of(reading, name, MAIN_METRICS[0], part), cells))
        sizes = ", ".join(
            words.plural(size[what + "s" if what != "query" else "queries"], what, many)
            for what, many in (("query", "queries"), ("user", "users"), ("target", "targets"))
        )
        found.append(
            Sheet(
                words.part(part, labels),
                size.get("description", ""),
                sizes,
                reading.is_empty(part),
                [(words.METRICS.get(stem, stem), ks) for stem, ks in by_metric.items()],
                rows,
            )
        )
    return found

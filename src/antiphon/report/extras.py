"""The parts of an evaluation that not every one has: gates, published figures, overlap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from antiphon.figures import KS
from antiphon.report import words
from antiphon.report.reading import Figure, Reading

__all__ = ["Gates", "Lists", "gates", "lists", "published"]


@dataclass(frozen=True)
class Likeness:
    """How alike lists are: cells are figures and their intervals."""

    name: str
    pairs: str
    cells: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Lists:
    """How alike lists are under different contexts."""

    heads: Sequence[str]
    rows: Sequence[Likeness]
    note: str


@dataclass(frozen=True)
class Gate:
    """One gate and what came of it."""

    name: str
    result: str
    sign: str
    text: str


@dataclass(frozen=True)
class Gates:
    """All gates."""

    summary: str
    rows: Sequence[Gate]


@dataclass(frozen=True)
class PublishedRow:
    """A model's figures; `note` says whose they are."""

    name: str
    note: str
    kind: str
    cells: Sequence[str]


@dataclass(frozen=True)
class Published:
    """Published figures beside this run's.

    Attributes:
        source: where they were published.
        heads: the metrics.
        rows: the models.
        differs: in what this run was judged otherwise; where there is anything, the figures don't
            compare.
    """

    source: str
    heads: Sequence[str]
    rows: Sequence[PublishedRow]
    differs: Sequence[str]


def lists(reading: Reading) -> Lists | None:
    """How alike a user's lists are under different contexts; None where it wasn't measured."""
    given: Mapping[str, Mapping[str, Any]] = reading.json.get("lists") or {}
    names = {
        "same_user": "Two contexts of one user",
        **{f"{way}": f"True against {words.WAYS[way][0].lower()}" for way in list(words.WAYS)[1:]},
    }
    columns = {f"overlap_at_{k}": f"overlap@{k}" for k in (KS[0], KS[-1])}
    columns["rank_biased_overlap"] = "rank-biased overlap"
    rows = []
    for key, one in given.items():
        if one.get("pairs"):
            cells = [Figure.of(one.get(column)) for column in columns]
            shown = [(words.figure(c.value, 3), words.interval(c, 3)) for c in cells]
            rows.append(Likeness(names.get(key, key), words.count(one["pairs"]), shown))
    if not rows:
        return None
    note = (
        "1 is the same list, 0 nothing in common; averaged over pairs of lists that were asked "
        "under different contexts. Overlap@k is the share of the first k that both have; "
        "rank-biased overlap (persistence 0.9) weighs the top of the lists most."
    )
    return Lists(["Lists compared", "Pairs", *columns.values()], rows, note)


def gates(reading: Reading) -> Gates | None:
    """The gates that the config asks for; None where gates weren't looked at."""
    given: Mapping[str, Mapping[str, Any]] | None = reading.json.get("gates")
    if given is None:
        return None
    rows = []
    for name, gate in given.items():
        result, sign = ("passed", "✓") if gate["passed"] else ("failed", "✗")
        rows.append(Gate(name.replace("_", " "), result, sign, str(gate["sentence"])))
    passed = sum(row.result == "passed" for row in rows)
    summary = f"{passed} passed, {len(rows) - passed} failed" if rows else "the config sets none"
    return Gates(summary, rows)


def published(reading: Reading) -> Published | None:
    """Published figures among those of this run, best first; None where there are none."""
    given: Mapping[str, Any] = reading.json.get("published") or {}
    figures: Mapping[str, Mapping[str, float]] = given.get("figures") or {}
    metrics = list(dict.fromkeys(name for one in figures.values() for name in one))
    if not metrics:
        return None
    found: list[tuple[str, str, str, list[float | None]]] = [
        (name, "published", "other", [one.get(metric) for metric in metrics])
        for name, one in figures.items()
    ]
    found += [
        (
            words.model(name),
            "this run",
            "ours" if name == reading.subject else "own",
            [reading.figure(name, "all", metric).value for metric in metrics],
        )
        for name in reading.models(metrics[0])
    ]
    found.sort(key=lambda row: -(row[3][0] or 0.0))
    rows = [
        PublishedRow(name, note, kind, [words.figure(value) for value in values])
        for name, note, kind, values in found
    ]
    heads = [words.metric(metric) for metric in metrics]
    return Published(str(given.get("source", "")), heads, rows, list(given.get("differs") or ()))

"""Runs side by side, from their evaluation.json alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from antiphon.errors import EvaluationError
from antiphon.report import words
from antiphon.report.reading import MAIN_METRICS, Difference, Figure, Reading
from antiphon.report.words import Labels

__all__ = ["compare_runs"]

FORMAT_VERSION = 1
PERMITTED = ("seed", "resamples", "interval", "known_events")
"""Parts of the protocol that may differ without changing what was asked."""
BESIDE = ("recall_at_10", "mrr_at_10", "hit_rate_at_10", "coverage_at_100")

Json = dict[str, Any]


def compare_runs(
    runs: Sequence[tuple[str, Mapping[str, Any]]], *, labels: Labels | None = None
) -> tuple[RenderableType, Json]:
    """Set the models under judgement of several runs side by side; the first is the reference.

    Args:
        runs: names and parsed evaluation.json of at least two runs.
        labels: what to call slices.

    Returns:
        What a person reads, and the same as JSON:
        `{format_version, runs: [{name, model, protocol, hashes, best_baseline, context_lift}],
        warnings: [sentence], figures: {slice: {metric: [{value, low, high, difference, apart}]}}}`,
        a cell a run. `difference` is against the first run; `apart` says whether the two intervals
        don't overlap, which is stricter than a paired comparison: that needs both models in one
        evaluation.

    Raises:
        EvaluationError: fewer than two runs, an evaluation of another version, or one without a
            model.
    """
    if len(runs) < 2:
        raise EvaluationError(
            "there is nothing to compare", received=f"{len(runs)} runs", allowed="two runs or more"
        )
    readings = [Reading(evaluation) for _, evaluation in runs]
    names = [name for name, _ in runs]
    for name, reading in zip(names, readings, strict=True):
        if reading.subject is None:
            raise EvaluationError(
                "a run to compare holds no model, only baselines",
                received=name,
                hint="evaluate it with its trained model",
            )
    parts = list(dict.fromkeys(part for reading in readings for part in reading.slices))
    metrics = list(dict.fromkeys(metric for reading in readings for metric in reading.metrics()))
    document: Json = {
        "format_version": FORMAT_VERSION,
        "runs": [
            {
                "name": name,
                "model": reading.subject,
                "protocol": dict(reading.protocol),
                "hashes": dict(reading.hashes),
                "best_baseline": _over_baselines(reading),
                "context_lift": _lifts(reading),
            }
            for name, reading in zip(names, readings, strict=True)
        ],
        "warnings": _warnings(names, readings),
        "figures": {
            part: {metric: _cells(readings, part, metric) for metric in metrics} for part in parts
        },
    }
    return _shown(document, labels), document


def _over_baselines(reading: Reading) -> dict[str, Json]:
    """By how much each run's model is better than its best baseline, over all queries."""
    return {m: asdict(reading.against("best_baseline", "all", m)) for m in MAIN_METRICS}


def _lifts(reading: Reading) -> dict[str, Json]:
    """What each run's model gains by knowing the context, over all queries."""
    return {m: asdict(reading.lift("unknown", "all", m)) for m in MAIN_METRICS}


def _cells(readings: Sequence[Reading], part: str, metric: str) -> list[Json]:
    figures = [reading.figure(reading.subject or "", part, metric) for reading in readings]
    first = figures[0]
    return [
        {
            "value": one.value,
            "low": one.low,
            "high": one.high,
            "difference": _less(one.value, first.value) if n else None,
            "apart": _apart(one, first) if n else None,
        }
        for n, one in enumerate(figures)
    ]


def _warnings(names: Sequence[str], readings: Sequence[Reading]) -> list[str]:
    first = readings[0]
    found = []
    for name, other in zip(names[1:], readings[1:], strict=True):
        for key, what in (("log", "another log"), ("prepared", "another preparation of the log")):
            if first.hashes.get(key) != other.hashes.get(key):
                found.append(
                    f"{name} was judged on {what} than {names[0]}: their figures don't compare"
                )
                break
        other_ways = [
            f"{key.replace('_', ' ')} {words.spell(theirs)}, not {words.spell(ours)}"
            for key in dict.fromkeys([*first.protocol, *other.protocol])
            if key not in PERMITTED
            and (ours := first.protocol.get(key)) != (theirs := other.protocol.get(key))
        ]
        if other_ways:
            found.append(f"{name} was judged otherwise than {names[0]}: {'; '.join(other_ways)}")
    return found


def _shown(document: Json, labels: Labels | None) -> Group:
    parts: list[RenderableType] = [
        Text(f"warning: {warning}", style="yellow") for warning in document["warnings"]
    ]
    names = [run["name"] for run in document["runs"]]
    overall = _table("all queries", "metric", names)
    for metric in (*MAIN_METRICS, *BESIDE):
        if cells := document["figures"]["all"].get(metric):
            overall.add_row(words.metric(metric), *_row(cells))
    for key, of in (("best_baseline", "over its best baseline"), ("context_lift", "by context")):
        for metric in MAIN_METRICS:
            gains = [Difference.of(run[key][metric]) for run in document["runs"]]
            if any(gain.difference is not None for gain in gains):
                overall.add_row(f"{words.metric(metric)} {of}", *_gains(gains))
    by_slice = _table(f"{words.metric(MAIN_METRICS[0])} by slice", "slice", names)
    for part, figures in document["figures"].items():
        cells = figures.get(MAIN_METRICS[0], [])
        if part == "all" or not cells:
            continue
        name = Text(words.part(part, labels))
        if any(cell["value"] is not None for cell in cells):
            by_slice.add_row(name, *_row(cells))
        else:
            by_slice.add_row(name, "empty", style="dim")
    note = Text(
        f"Differences are against {names[0]}; ▲ and ▼ where the two 95% intervals don't overlap.",
        style="dim",
    )
    return Group(*parts, overall, by_slice, note)


def _table(title: str, head: str, names: Sequence[str]) -> Table:
    table = Table(title=Text(title), title_justify="left", title_style="", box=box.SIMPLE_HEAD)
    table.add_column(head, overflow="fold")
    for n, name in enumerate(names):
        table.add_column(Text(name), justify="right", overflow="fold")
        if n:
            table.add_column("difference", justify="right", no_wrap=True)
    return table


def _row(cells: Sequence[Json]) -> list[RenderableType]:
    row: list[RenderableType] = []
    for n, cell in enumerate(cells):
        found = Figure.of(cell)
        bounds = words.tight(found)
        row.append(Text.assemble(words.figure(found.value), (f" {bounds}", "dim")))
        if n:
            row.append(_difference(cell))
    return row


def _gains(gains: Sequence[Difference]) -> list[RenderableType]:
    row: list[RenderableType] = []
    for n, gain in enumerate(gains):
        bounds = words.tight(gain)
        row.append(Text.assemble(words.signed(gain.difference), (f" {bounds}", "dim")))
        if n:
            row.append("")
    return row


def _difference(cell: Json) -> Text:
    difference, text = cell["difference"], words.signed(cell["difference"])
    if not cell["apart"] or not difference:
        return Text(f"{text}  ")
    sign, colour = ("▲", "green") if difference > 0 else ("▼", "red")
    return Text(f"{text} {sign}", style=colour)


def _less(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else float(f"{one - other:.6g}")


def _apart(one: Figure, other: Figure) -> bool | None:
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return None
    return one.low > other.high or one.high < other.low

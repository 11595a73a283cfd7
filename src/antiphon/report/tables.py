"""The evaluation on the terminal: what the page says, in at most a hundred columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from antiphon.figures import DEPTH
from antiphon.report import extras, words
from antiphon.report.cold_items import ColdItems, cold_items
from antiphon.report.dots import OUTCOMES, kind_of
from antiphon.report.reading import MAIN_METRICS, Difference, Figure, Reading
from antiphon.report.verdict import findings
from antiphon.report.words import Labels

__all__ = ["evaluation_table"]

BESIDE = ("mrr_at_10", "hit_rate_at_10", "coverage_at_100")
MARKS = {"good": ("✓", "green"), "bad": ("✗", "red"), "open": ("○", "yellow")}
SHAPES = {"ours": "●", "best": "□", "bound": "◇", "other": " "}
STYLES = {"ours": "bold", "best": "cyan", "bound": "dim", "other": ""}
COLOURS = {
    "few": "dim",
    "better": "green",
    "worse": "red",
    "level": "yellow",
    "open": "",
    "empty": "dim",
}


def evaluation_table(
    evaluation: Mapping[str, Any], *, labels: Labels | None = None
) -> RenderableType:
    """All that a person needs to know of an evaluation, for a terminal of 100 columns.

    Args:
        evaluation: a parsed evaluation.json.
        labels: what to call slices, as in {"is_organic=1": "searching"}.

    Raises:
        EvaluationError: the evaluation is of another version, or incomplete.
    """
    reading = Reading(evaluation)
    parts: list[RenderableType] = [_models(reading), _legend(reading), *_given(reading)]
    if reading.subject is not None and reading.baselines:
        parts.append(_slices(reading, labels))
    if reading.under("on", "all", MAIN_METRICS[0]).value is not None:
        parts.append(_context(reading))
    if (cold := cold_items(reading)) is not None:
        parts.append(_cold(cold))
    parts.append(_verdict(reading, labels))
    if (gates := extras.gates(reading)) is not None and gates.rows:
        parts.append(_gates(gates))
    return Group(*parts)


def _models(reading: Reading) -> Table:
    sizes = reading.slices["all"]
    table = _table(
        f"{words.plural(sizes['queries'], 'query', 'queries')} of "
        f"{words.plural(sizes['users'], 'user')}, {words.count(reading.protocol['corpus'])} "
        f"candidates, {reading.protocol['name']} protocol; 95% intervals"
    )
    table.add_column("  model", overflow="fold")
    for name in (*MAIN_METRICS, *BESIDE):
        table.add_column(words.metric(name), justify="right", no_wrap=True)
    metric = MAIN_METRICS[0]
    for name in reading.models(metric):
        kind = kind_of(reading, name, metric)
        table.add_row(
            Text(f"{SHAPES[kind]} {words.model(name)}"),
            *(_figure(reading.figure(name, "all", one)) for one in MAIN_METRICS),
            *(words.figure(reading.figure(name, "all", one).value) for one in BESIDE),
            style=STYLES[kind],
        )
    return table


def _legend(reading: Reading) -> Text:
    kinds = {kind_of(reading, name, MAIN_METRICS[0]) for name in reading.models(MAIN_METRICS[0])}
    words_of = (("ours", "judged"), ("best", "best baseline"), ("bound", "upper bound"))
    named = ", ".join(f"{SHAPES[kind]} {word}" for kind, word in words_of if kind in kinds)
    return Text(
        f"  {named}; ▲ better, ▼ worse, ≈ not told apart, · too few users\n",
        style="dim",
    )


def _given(reading: Reading) -> list[Text]:
    """What a reader of lists made elsewhere must know of them."""
    given: Mapping[str, int] = reading.part("predictions") or {}
    told = {
        "short": f"of {words.count(given.get('lists'))} lists have fewer than {DEPTH} items",
        "surplus": f"rows below place {DEPTH} were not looked at",
        "heard": "rows name what their user had, and were left out as for every model",
    }
    return [
        Text(f"  {words.count(given[key])} {text}\n", style="yellow")
        for key, text in told.items()
        if given.get(key)
    ]


def _slices(reading: Reading, labels: Labels | None) -> Table:
    metric = MAIN_METRICS[0]
    table = _table(f"{words.metric(metric)} slice by slice, beside the best baseline of each")
    table.add_column("slice", overflow="fold")
    table.add_column("queries", justify="right")
    table.add_column(Text(words.model(reading.subject or "")), justify="right")
    table.add_column("best baseline", justify="right", no_wrap=True)
    table.add_column("difference", justify="right", no_wrap=True)
    table.add_column("")
    for group in reading.groups():
        for part in group.slices:
            name = Text(words.part(part, labels))
            against = reading.against("best_baseline", part, metric)
            if reading.is_empty(part):
                table.add_row(name, "0", "", "", "empty", "", style="dim")
                continue
            theirs = reading.figure(against.baseline or "", part, metric)
            table.add_row(
                name,
                words.count(reading.slices[part]["queries"]),
                words.figure(reading.figure(reading.subject or "", part, metric).value),
                Text(f"{words.baseline(against.baseline, theirs)} {words.figure(theirs.value)}"),
                _difference(against),
                _outcome(against),
            )
        table.add_section()
    return table


def _context(reading: Reading) -> Table:
    table = _table("The same queries under other contexts; lift of the true one over each")
    table.add_column("context")
    for name in MAIN_METRICS:
        table.add_column(words.metric(name), justify="right")
        table.add_column("lift", justify="right", no_wrap=True)
        table.add_column("")
    for way, (name, _) in words.WAYS.items():
        cells: list[RenderableType] = []
        for metric in MAIN_METRICS:
            lift = reading.lift(way, "all", metric)
            cells.append(words.figure(reading.under(way, "all", metric).value))
            cells += ["", ""] if way == "on" else [_difference(lift), _outcome(lift)]
        table.add_row(name, *cells, style="bold" if way == "on" else "")
    return table


def _cold(cold: ColdItems) -> Table:
    table = _table(f"Cold items alone: {cold.sizes}")
    table.add_column("ordered by")
    for metric in MAIN_METRICS:
        table.add_column(words.metric(metric), justify="right")
        table.add_column("model's lead", justify="right", no_wrap=True)
        table.add_column("")
    for name, figures in cold.figures.items():
        cells: list[RenderableType] = []
        for metric in MAIN_METRICS:
            cells.append(words.figure(figures[metric].value))
            lead = cold.differences.get(name, {}).get(metric)
            cells += [_difference(lead), _outcome(lead)] if lead else ["", ""]
        own = name not in cold.differences
        table.add_row(Text(cold.names[name]), *cells, style="bold" if own else "")
    return table


def _verdict(reading: Reading, labels: Labels | None) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column()
    table.add_column()
    for one in findings(reading, labels):
        sign, colour = MARKS[one.mark]
        claim = Text.assemble((one.headline, "bold"), ". " if one.text else "", one.text)
        table.add_row(Text(sign, style=f"bold {colour}"), claim)
    return table


def _gates(gates: extras.Gates) -> Table:
    table = _table(f"gates: {gates.summary}")
    table.add_column("gate")
    table.add_column("")
    table.add_column("figures", overflow="fold")
    for gate in gates.rows:
        colour = "green" if gate.result == "passed" else "red"
        result = Text(f"{gate.sign} {gate.result}", style=colour)
        table.add_row(Text(gate.name), result, Text(gate.text))
    return table


def _table(title: str) -> Table:
    return Table(
        title=Text(title), title_justify="left", title_style="", box=box.SIMPLE_HEAD, pad_edge=False
    )


def _figure(found: Figure) -> Text:
    return _with_bounds(words.figure(found.value), found)


def _difference(found: Difference) -> Text:
    return _with_bounds(words.signed(found.difference), found)


def _with_bounds(value: str, found: Figure | Difference) -> Text:
    bounds = words.tight(found)
    return Text.assemble(value, (f" {bounds}", "dim") if bounds else "")


def _outcome(found: Difference) -> Text:
    sign, word = OUTCOMES[found.outcome]
    return Text(sign or word, style=COLOURS[found.outcome])

"""Tables whose rows carry a dot and a whisker: models side by side, slice by slice, lifts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from antiphon.evaluate import NOT_BASELINES
from antiphon.report import words
from antiphon.report.reading import Difference, Figure, Reading, SliceGroup
from antiphon.report.scales import Scale
from antiphon.report.tracks import Kind, Mark, axis, track
from antiphon.report.words import Labels

__all__ = [
    "OUTCOMES",
    "DotRow",
    "DotTable",
    "difference_table",
    "figure_table",
    "kind_of",
    "models_table",
    "slice_table",
]

OUTCOMES = {
    "better": ("▲", "better"),
    "worse": ("▼", "worse"),
    "level": ("≈", "not told apart"),
    "few": ("·", "too few users"),
    "open": ("", "no interval"),
    "empty": ("", "empty"),
}
ROLES = {"bound": "upper bound", "best": "best baseline", "ours": "", "other": ""}


@dataclass(frozen=True)
class DotRow:
    """One row.

    Attributes:
        name: of the model or slice.
        note: in small print below the name.
        kind: how it is drawn.
        track: the drawing; None where there is nothing to draw.
        value: the figure, written out.
        bounds: its interval, written out.
        sign: a mark that says better or worse, beside `outcome`, which says it in words.
        outcome: better, worse, not told apart.
    """

    name: str
    note: str
    kind: Kind
    track: Markup | None
    value: str
    bounds: str = ""
    sign: str = ""
    outcome: str = ""


@dataclass(frozen=True)
class DotTable:
    """Rows on one axis.

    Attributes:
        caption: what the table shows.
        heads: of the name's, the track's and the figure's column.
        rows: as they stand.
        axis: the ticks' names.
        tall: whether rows have two lines.
    """

    caption: str
    heads: tuple[str, str, str]
    rows: tuple[DotRow, ...]
    axis: Markup
    tall: bool = False


def kind_of(reading: Reading, name: str, metric: str, part: str = "all") -> Kind:
    """How a model is drawn."""
    if name == reading.subject:
        return "ours"
    if name in NOT_BASELINES:
        return "bound"
    return "best" if name == reading.best_baseline(metric, part) else "other"


def models_table(
    reading: Reading,
    metric: str,
    caption: str,
    *,
    ranked_by: str | None = None,
    decimals: int = words.DIGITS,
    log: bool = False,
) -> DotTable | None:
    """All models by one metric over all queries; None where nobody has a figure.

    Args:
        reading: the evaluation.
        metric: by its name in the JSON.
        caption: of the table.
        ranked_by: the metric by which models are ordered, best first, and the best baseline is
            named; by default the same one.
        decimals: of the figures.
        log: a logarithmic axis.
    """
    ranked_by = ranked_by or metric
    names = reading.models(ranked_by)
    found = {name: reading.figure(name, "all", metric) for name in names}
    there = {name: one for name, one in found.items() if one.value is not None}
    if not there:
        return None
    scale = Scale.over(_all_values(there.values()), log=log)
    rows = tuple(
        DotRow(
            words.model(name),
            ROLES[kind := kind_of(reading, name, ranked_by)],
            kind,
            track(scale, [Mark.of(one, kind)]),
            words.figure(one.value, decimals) if decimals else words.count(one.value),
            words.interval(one, decimals),
        )
        for name, one in there.items()
    )
    heads = ("Model", "Figure and 95% interval", words.metric(metric))
    return DotTable(caption, heads, rows, axis(scale))


def slice_table(
    reading: Reading, group: SliceGroup, metric: str, labels: Labels | None
) -> DotTable:
    """The subject and the best baseline of each slice of a group."""
    subject = reading.subject or ""
    pairs: dict[str, tuple[Figure, Figure, Difference]] = {}
    for part in group.slices:
        best = reading.best_baseline(metric, part) or ""
        pairs[part] = (
            reading.figure(subject, part, metric),
            reading.figure(best, part, metric),
            reading.against("best_baseline", part, metric),
        )
    # a handful of users would stretch the axis for all
    drawn = [pair for pair in pairs.values() if pair[2].outcome != "few"]
    scale = Scale.over(_all_values(one for pair in drawn for one in pair[:2]))
    rows = []
    for part, (ours, theirs, against) in pairs.items():
        name = words.part(part, labels)
        if reading.is_empty(part):
            rows.append(DotRow(name, "empty: no query is in it", "other", None, words.NOTHING))
            continue
        size = words.plural(reading.slices[part]["queries"], "query", "queries")
        beside = words.baseline(against.baseline, theirs)
        marks = [Mark.of(ours, "ours"), Mark.of(theirs, "best")]
        sign, outcome = OUTCOMES[against.outcome]
        note = f"{size} · against {beside}" if beside else size
        compared = bool(beside)
        rows.append(
            DotRow(
                name,
                note,
                "other",
                None if against.outcome == "few" else track(scale, marks),
                words.signed(against.difference) if compared else words.figure(ours.value),
                words.interval(against) if compared else words.interval(ours),
                sign if compared else "",
                outcome if compared else "",
            )
        )
    heads = ("Slice", words.metric(metric), "Difference")
    return DotTable(f"{words.metric(metric)} by slice", heads, tuple(rows), axis(scale), tall=True)


def difference_table(
    caption: str,
    heads: tuple[str, str, str],
    found: Mapping[str, Difference],
    notes: Mapping[str, str],
) -> DotTable:
    """Differences around zero.

    Args:
        caption: of the table.
        heads: of its columns.
        found: by the row's name.
        notes: small print by the row's name.
    """
    known = [one for one in found.values() if one.outcome not in ("empty", "few")]
    scale = Scale.over(v for one in known for v in (one.difference, one.low, one.high))
    rows = []
    for name, one in found.items():
        sign, outcome = OUTCOMES[one.outcome]
        drawn = track(scale, [Mark.of(one, "ours")], zero=True) if one in known else None
        value, bounds = words.signed(one.difference), words.interval(one)
        rows.append(DotRow(name, notes.get(name, ""), "other", drawn, value, bounds, sign, outcome))
    return DotTable(caption, heads, tuple(rows), axis(scale), tall=True)


def figure_table(
    caption: str,
    heads: tuple[str, str, str],
    found: Mapping[str, Figure],
    notes: Mapping[str, str],
    ours: Sequence[str],
) -> DotTable:
    """Figures on an axis from zero; the rows named in `ours` stand out."""
    scale = Scale.over(_all_values(found.values()))
    rows = []
    for name, one in found.items():
        kind: Kind = "ours" if name in ours else "other"
        drawn = None if one.value is None else track(scale, [Mark.of(one, kind)])
        value, bounds = words.figure(one.value), words.interval(one)
        rows.append(DotRow(name, notes.get(name, ""), kind, drawn, value, bounds))
    return DotTable(caption, heads, tuple(rows), axis(scale))


def _all_values(found: Iterable[Figure]) -> list[float | None]:
    return [v for one in found for v in (one.value, one.low, one.high)]

"""evaluation.json -> report.html: one page that needs nothing else, not even a network or a script.

The same evaluation makes the same bytes. All names and ids come from a log, so everything is
escaped, and the page forbids scripts and requests to itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from antiphon.artifacts import write_text
from antiphon.report import example_lists, extras, sections, words
from antiphon.report.cold_items import cold_items, cold_tables
from antiphon.report.dots import kind_of
from antiphon.report.knobs import knobs
from antiphon.report.reading import MAIN_METRICS, Reading
from antiphon.report.sheets import sheets
from antiphon.report.tracks import Kind, swatch
from antiphon.report.verdict import findings
from antiphon.report.words import Labels

__all__ = ["render_report", "write_report"]

MARKS = {"good": ("✓", "good"), "bad": ("✗", "bad"), "open": ("○", "open")}
LEGEND: tuple[tuple[Kind, str], ...] = (
    ("ours", "the model under judgement"),
    ("best", "the best baseline"),
    ("other", "other baselines"),
    ("bound", "upper bound"),
)


def write_report(
    evaluation: Mapping[str, Any],
    out: Path,
    *,
    title: str,
    labels: Labels | None = None,
    titles: Mapping[str, str] | None = None,
) -> None:
    """Write the page.

    Args:
        evaluation: a parsed evaluation.json.
        out: the file to write.
        title: of the page: the run's or the log's name.
        labels: what to call slices, as in {"is_organic=1": "searching"}.
        titles: of items, by their ids as text, for the examples.

    Raises:
        EvaluationError: the evaluation is of another version, or incomplete.
        ArtifactError: the file can't be written.
    """
    write_text(out, render_report(evaluation, title=title, labels=labels, titles=titles))


def render_report(
    evaluation: Mapping[str, Any],
    *,
    title: str,
    labels: Labels | None = None,
    titles: Mapping[str, str] | None = None,
) -> str:
    """The page as text; see `write_report`."""
    reading = Reading(evaluation)
    cold = cold_items(reading)
    parts: dict[str, Any] = {
        "loss": sections.loss(reading),
        "models": sections.models(reading),
        "knobs": knobs(reading),
        "recall": sections.recall(reading),
        "slices": sections.slices(reading, labels) if reading.subject else [],
        "context": sections.context(reading, labels),
        "lists": extras.lists(reading),
        "cold": cold_tables(cold),
        "examples": example_lists.examples(reading, labels, titles),
        "traits": sections.traits(reading),
        "published": extras.published(reading),
    }
    template = _environment().get_template("report.html.jinja")
    return template.render(
        **parts,
        title=title,
        cold_found=cold,
        style=Markup(_style()),
        standfirst=_standfirst(reading),
        contents=_contents(parts),
        findings=findings(reading, labels),
        gates=extras.gates(reading),
        marks=MARKS,
        legend=_legend(reading),
        sheets=sheets(reading, labels),
        protocol=_protocol(reading),
        paper=reading.protocol.get("name") == "yambda-paper",
        hashes=sorted(reading.hashes.items()),
    )


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("antiphon.report", "template"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _style() -> str:
    return (files("antiphon.report") / "template" / "style.css").read_text(encoding="utf-8")


def _contents(parts: Mapping[str, Any]) -> list[tuple[str, str]]:
    named = (
        ("loss", "Loss"),
        ("models", "Models"),
        ("recall", "Recall"),
        ("slices", "Slices"),
        ("context", "Context"),
        ("cold", "Cold items"),
        ("examples", "An example"),
        ("traits", "The lists"),
    )
    found = [(key, name) for key, name in named if parts[key] or key in ("context", "cold")]
    targets = {"examples": "example"}
    between = [(targets.get(key, key), name) for key, name in found]
    return [
        ("verdict", "Verdict"),
        *between,
        ("figures", "All figures"),
        ("protocol", "Protocol"),
    ]


def _legend(reading: Reading) -> list[tuple[Markup, str]]:
    there: set[Kind] = {
        kind_of(reading, name, MAIN_METRICS[0]) for name in reading.models(MAIN_METRICS[0])
    }
    return [(swatch(kind), name) for kind, name in LEGEND if kind in there]


def _standfirst(reading: Reading) -> str:
    protocol, sizes = reading.protocol, reading.slices.get("all", {})
    return (
        f"{words.plural(sizes.get('queries', 0), 'query', 'queries')} of "
        f"{words.plural(sizes.get('users', 0), 'user')} in the {protocol.get('window')} window, "
        f"answered from {words.plural(protocol.get('corpus', 0), 'candidate')} by "
        f"{words.plural(len(reading.models(MAIN_METRICS[0])), 'model')}; "
        f"{protocol.get('name')} protocol."
    )


def _protocol(reading: Reading) -> list[tuple[str, str]]:
    given = reading.protocol
    moments = {
        "known_before_s": "Known: events before",
        "start_s": "Window from",
        "end_s": "Window to, exclusive",
    }
    names = {
        "name": "Protocol",
        "window": "Window",
        **moments,
        "query_by": "Queries of a user are told apart by",
        "exclude_heard": "What the user has had is left out",
        "max_users": "Users judged at most",
        "ks": "Depths",
        "corpus": "Candidates",
        "known_events": "Known events",
        "queries": "Queries",
        "users": "Users",
        "targets": "Targets",
        "interval": "Intervals",
        "resamples": "Resamples",
        "seed": "Seed",
    }
    return [
        (
            names.get(key, key.replace("_", " ")),
            words.moment(value) if key in moments else words.spell(value),
        )
        for key, value in given.items()
    ]

"""What the baselines' knobs were tuned to, for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from antiphon.report import words
from antiphon.report.reading import MAIN_METRICS, Figure, Reading

__all__ = ["Knobs", "knobs"]

NAMES = {
    "alpha": "weight of a play",
    "by": "context by",
    "context_weight": "weight of the context",
    "half_life_days": "half-life",
    "last_days": "learns from",
    "log_popularity_weight": "weight of popularity",
    "most_steps": "steps, at most",
    "similarity_half_life_days": "half-life of similarity",
}
UNLIMITED = {"last_days": "all days"}


@dataclass(frozen=True)
class Tuned:
    """One baseline: its settings as (name, value), how it did with them, and of how many."""

    name: str
    settings: Sequence[tuple[str, str]]
    validation: str
    tried: str


@dataclass(frozen=True)
class Knobs:
    """All baselines, best first; `notes` are what a reader of their figures must know."""

    rows: Sequence[Tuned]
    notes: Sequence[tuple[str, str]]


def knobs(reading: Reading) -> Knobs | None:
    """What was tuned; None where the evaluation doesn't tell."""
    given: Mapping[str, Mapping[str, Any]] = reading.part("baselines") or {}
    order = [name for name in reading.models(MAIN_METRICS[0]) if name in given]
    if not order:
        return None
    rows = [_row(name, given[name]) for name in order]
    notes = [(words.model(name), str(given[name]["note"])) for name in order if given[name]["note"]]
    return Knobs(rows, notes)


def _row(name: str, one: Mapping[str, Any]) -> Tuned:
    settings = [_setting(knob, value) for knob, value in one["knobs"].items()]
    tried = words.plural(one["tried"], "setting") if one["tried"] else "not tuned: nobody to ask"
    validation = words.figure(Figure.of({"value": one["validation"]}).value)
    return Tuned(words.model(name), settings, validation, tried)


def _setting(knob: str, value: Any) -> tuple[str, str]:
    if knob == "exclude_heard":
        return "what the user had", "left out" if value else "kept"
    name = NAMES.get(knob, knob.replace("_", " "))
    match value:
        case None:
            return name, UNLIMITED.get(knob, "none")
        case float() | int():
            text = f"{value:,.6g}"
            return name, f"{text} day{'' if value == 1 else 's'}" if knob.endswith(
                "_days"
            ) else text
        case _:
            return name, str(value)

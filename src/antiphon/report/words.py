"""What things are called and how figures are written, on the page and on the terminal."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from antiphon.report.reading import Difference, Figure
from antiphon.report.scales import Number

__all__ = [
    "Labels",
    "baseline",
    "count",
    "figure",
    "interval",
    "metric",
    "model",
    "moment",
    "part",
    "plural",
    "signed",
    "spell",
    "tight",
    "times",
]

MODELS = {
    "antiphon": "Antiphon",
    "random": "Random",
    "most_popular": "Most popular",
    "decayed_popular": "Decayed popularity",
    "context_popular": "Popular in context",
    "own_history": "Own history",
    "item_knn": "ItemKNN",
    "ials": "iALS",
    "bpr": "BPR",
    "ease": "EASE",
    "seed": "Seed recipe",
    "oracle": "Oracle",
}
METRICS = {
    "recall": "recall",
    "ndcg": "ndcg",
    "mrr": "mrr",
    "hit_rate": "hit",
    "coverage": "coverage",
    "popularity_rank": "popularity rank",
    "repetition": "artist repetition",
}
SLICES = {
    "all": "Everything",
    "new_users": "New users",
    "repeat": "Repeats",
    "discovery": "Discoveries",
    "head": "Head items",
    "middle": "Middle items",
    "tail": "Tail items",
    "cold_items": "Cold items",
}
WAYS = {
    "on": ("True context", "as it was"),
    "unknown": ("Unknown", "every feature left out"),
    "shuffled": ("Shuffled", "somebody else’s context"),
    "flipped": ("Flipped", "the opposite of each feature"),
}
"""The contexts that a model is asked under: their names, and what they are."""
DIGITS = 4
CALENDAR_FROM_S = 1_000_000_000
"""Earlier times are counted from the start of the log, not from 1970: no log is from before."""
NOTHING = "–"

Labels = Mapping[str, str]
"""What to call slices, such as {"is_organic=1": "searching"}."""


def model(name: str) -> str:
    """What to call a model; names that aren't known stay."""
    return MODELS.get(name, name)


def baseline(name: str | None, found: Figure) -> str:
    """What to call the best baseline; where it has nothing, neither has any other."""
    return "any" if found.value == 0 else model(name or "")


def metric(name: str) -> str:
    """`ndcg_at_10` as `ndcg@10`."""
    match = re.fullmatch(r"(.+)_at_(\d+)", name)
    return f"{METRICS.get(match[1], match[1])}@{match[2]}" if match else name


def part(name: str, labels: Labels | None = None) -> str:
    """What to call a slice."""
    if labels and name in labels:
        return labels[name]
    if name.startswith("history="):
        return f"{name[8:].replace('-', '–')} events"
    return SLICES.get(name, name)


def figure(value: float | None, digits: int = DIGITS) -> str:
    """A figure with fixed decimals, so that columns align."""
    if value is None:
        return NOTHING
    if value != 0 and abs(value) < 0.5 * 10**-digits:
        return f"{value:.0e}".replace("-", "−")
    return f"{value + 0.0:,.{digits}f}".replace("-", "−")  # minus zero is zero


def signed(value: float | None, digits: int = DIGITS) -> str:
    """A difference: the sign always, a true minus."""
    if value is None:
        return NOTHING
    text = figure(value, digits)
    return f"+{text}" if value > 0 else text


def interval(found: Figure | Difference, digits: int = DIGITS) -> str:
    """An interval; nothing where there is none."""
    if found.low is None or found.high is None:
        return ""
    if isinstance(found, Difference):
        return f"{signed(found.low, digits)} to {signed(found.high, digits)}"
    return f"{figure(found.low, digits)}–{figure(found.high, digits)}"


def tight(found: Figure | Difference, digits: int = DIGITS) -> str:
    """An interval in as few columns as a terminal has: no zero before the point."""
    text = interval(found, digits).replace(" to ", "…")
    return re.sub(r"(?<!\d)0\.", ".", text)


def times(value: float | None) -> str:
    """A ratio."""
    return NOTHING if value is None else f"{value:.2f}×" if value < 100 else f"{value:,.0f}×"


def count(value: Number | None) -> str:
    """A whole number with separators."""
    return NOTHING if value is None else f"{value:,.0f}"


def plural(number: int, one: str, many: str | None = None) -> str:
    """`1 slice`, `2 slices`."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def moment(time_s: Number | None) -> str:
    """A time; in seconds where it can't be a date."""
    if time_s is None or not math.isfinite(time_s):
        return NOTHING
    if time_s < CALENDAR_FROM_S:
        return f"second {count(time_s)}"
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def spell(value: Any) -> str:
    """A value of the protocol for people."""
    match value:
        case None:
            return "no limit"
        case bool():
            return "yes" if value else "no"
        case int():
            return count(value)
        case list() | tuple():
            return ", ".join(map(str, value)) or "the user alone"
        case _:
            return str(value)

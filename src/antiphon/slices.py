"""Slices: the parts of a window that are looked at apart, by name.

Some choose queries (a context, users by their history), others choose targets (repeats, items by
popularity). A slice of targets has the queries that own such a target; their lists stay whole, and
what they hit of the other targets counts neither for nor against them. Nothing is left out: a slice
without queries is still there, and says so.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int, Int64, Shaped

from antiphon.schema import (
    FittedCategorical,
    FittedCyclic,
    FittedFeature,
    FittedNumeric,
    FittedVector,
)
from antiphon.windows import Window

__all__ = ["Slice", "popularity_bands", "slices_of"]

BANDS = (("head", 0.5), ("middle", 0.8), ("tail", 1.0))
HISTORY_BOUNDS = (1, 10, 100, 1000)
VALUES_SHOWN = 50
CYCLE_PARTS = 4


@dataclass(frozen=True)
class Slice:
    """Part of a window.

    Attributes:
        name: as evaluation.json has it.
        description: what is in it, for people.
        queries: which queries are in it.
        targets: which of their targets count; None for all of them.
    """

    name: str
    description: str
    queries: Bool[np.ndarray, " queries"]
    targets: Bool[np.ndarray, " targets"] | None = None


def slices_of(window: Window) -> list[Slice]:
    """All slices of a window, "all" first."""
    slices = [Slice("all", "every query", np.ones(len(window.queries), bool))]
    for feature in window.schema.context:
        values = np.asarray(window.queries.context[feature.name])
        slices += [
            Slice(name, f"queries with {name}", rows) for name, rows in _by_value(feature, values)
        ]
    return slices + _by_history(window.history_lengths()) + _by_target(window)


def popularity_bands(
    counts: Int[np.ndarray, " items"],
) -> Int64[np.ndarray, " items"]:
    """The band of each item number: 0 head, 1 middle, 2 tail; -1 without plays.

    Items in descending order of plays (equal ones by number); an item belongs to the head while
    the items before it have less than 50% of all plays, to the middle below 80%, else to the tail.
    """
    order = np.argsort(-counts, kind="stable")
    before = np.cumsum(counts[order]) - counts[order]
    bounds = np.array([share for _, share in BANDS[:-1]]) * counts.sum()
    bands = np.empty(len(counts), np.int64)
    bands[order] = np.searchsorted(bounds, before, side="right")
    return np.where(counts > 0, bands, -1)


def _by_value(
    feature: FittedFeature, values: Shaped[np.ndarray, "queries ..."]
) -> Iterator[tuple[str, Bool[np.ndarray, " queries"]]]:
    """Names like `hour=6-12` and who is in them; `unknown` last."""
    name = feature.name
    match feature:
        case FittedCategorical():
            yield from _by_category(feature, values)
            yield f"{name}=unknown", values == 0
        case FittedCyclic():
            edges = np.linspace(0, feature.period, CYCLE_PARTS + 1)
            for low, high in itertools.pairwise(edges):
                yield f"{name}={low:g}-{high:g}", (values >= low) & (values < high)
            yield f"{name}=unknown", np.isnan(values)
        case FittedNumeric():
            # half a deviation each side of the mean: about a third of a normal feature each
            low, high = (feature.mean + sign * feature.deviation / 2 for sign in (-1, 1))
            yield f"{name}<{low:.3g}", values < -0.5
            yield f"{name}={low:.3g}-{high:.3g}", (values >= -0.5) & (values < 0.5)
            yield f"{name}>={high:.3g}", values >= 0.5
            yield f"{name}=unknown", np.isnan(values)
        case FittedVector():
            missing = np.isnan(values[:, 0])
            yield f"{name}=known", ~missing
            yield f"{name}=unknown", missing


def _by_category(
    feature: FittedCategorical, codes: Shaped[np.ndarray, " queries"]
) -> Iterator[tuple[str, Bool[np.ndarray, " queries"]]]:
    names = feature.values or tuple(str(code) for code in range(1, feature.cardinality + 1))
    frequency = np.bincount(codes, minlength=len(names) + 1)[1:]
    shown = np.sort(np.argsort(-frequency, kind="stable")[:VALUES_SHOWN]) + 1
    for code in shown:
        yield f"{feature.name}={names[code - 1]}", codes == code
    if len(names) > VALUES_SHOWN:
        yield f"{feature.name}=(rarer)", (codes > 0) & ~np.isin(codes, shown)


def _by_history(lengths: Int64[np.ndarray, " queries"]) -> list[Slice]:
    slices = [Slice("new_users", "users without any known event", lengths == 0)]
    for low, high in zip(HISTORY_BOUNDS, (*HISTORY_BOUNDS[1:], None), strict=True):
        if high is None:
            name, rows = f"history={low}+", lengths >= low
        else:
            name, rows = f"history={low}-{high - 1}", (lengths >= low) & (lengths < high)
        slices.append(Slice(name, f"users with {name[8:]} known events", rows))
    return slices


def _by_target(window: Window) -> list[Slice]:
    items = window.targets.item_number
    counts = np.zeros(max(window.item_count, int(items.max(initial=0))) + 1, np.int64)
    counts[: len(window.item_counts)] = window.item_counts
    band = popularity_bands(counts)[items]
    heard = window.targets_heard()
    kinds = [
        ("repeat", "targets that the user had before the cutoff", heard),
        ("discovery", "targets that the user had never had", ~heard),
    ]
    previous = 0.0
    for number, (name, share) in enumerate(BANDS):
        part = f"the items with {'the next' if number else 'the first'} "
        part += f"{share - previous:.0%} of the plays"
        kinds.append((name, f"targets among {part}", band == number))
        previous = share
    kinds.append(("cold_items", "targets that nobody had before the cutoff", band == -1))
    query_of = window.targets.query_rows()
    slices = []
    for name, description, wanted in kinds:
        queries = np.zeros(len(window.queries), bool)
        queries[query_of[wanted]] = True
        slices.append(Slice(name, description, queries, wanted))
    return slices

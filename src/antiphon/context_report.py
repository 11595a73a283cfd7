"""Does context help? The same model with the true context and with three others.

    on         the query's own context
    unknown    every feature missing
    shuffled   the context of another user's query
    flipped    the opposite context

Slices always go by the query's own context, so that a row of the report asks the same queries.
Beside the figures: how much the lists themselves move, between the contexts of one user and between
the true context and each of the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int32, Int64

from antiphon.bootstrap import Users, interval
from antiphon.contexts import Context, flipped, shuffled, unknown
from antiphon.evaluate import Evaluation, compare
from antiphon.figures import KS, cell
from antiphon.judge import Judge, Judged
from antiphon.overlap import agreement, overlap_at, rank_biased_overlap
from antiphon.per_query import PerQuery
from antiphon.queries import Ranker

__all__ = ["Pairs", "context_report", "pairs_of_users"]


@dataclass(frozen=True)
class Pairs:
    """Queries whose lists are compared: row by row, `ours` with `theirs`."""

    ours: Int64[np.ndarray, " pairs"]
    theirs: Int64[np.ndarray, " pairs"]


def context_report(evaluation: Evaluation, ranker: Ranker, *, name: str = "antiphon") -> Evaluation:
    """Fill in `context`, `context_lift` and `lists`; all empty where the log has no context.

    Args:
        evaluation: of `evaluate_rankers`, the ranker among those judged; that is "on".
        ranker: the model.
        name: of the model.
    """
    judge, on = evaluation.judge, evaluation.judged[name]
    queries = judge.window.queries
    if not judge.window.schema.context:
        return evaluation.with_parts(context={}, context_lift={}, lists={})
    others: Mapping[str, Context] = {
        "unknown": unknown(judge.window.schema, len(queries)),
        "shuffled": shuffled(queries, judge.seed),
        "flipped": flipped(judge.window.schema, queries),
    }
    judged = {
        which: judge.judge(f"{name}, context {which}", ranker, queries.with_context(context))
        for which, context in others.items()
    }
    pairs = pairs_of_users(queries.user_key)
    lists = {"same_user": _likeness(judge, on.lists[pairs.ours], on.lists[pairs.theirs], pairs)}
    for which, context in others.items():
        moved = np.flatnonzero(_differs(queries.context, context))
        theirs = judged[which].lists[moved]
        lists[which] = _likeness(judge, on.lists[moved], theirs, Pairs(moved, moved))
    tables: Mapping[str, Judged] = {"on": on, **judged}
    return evaluation.with_parts(
        context={which: judge.table(one) for which, one in tables.items()},
        context_lift={which: compare(judge, on, one) for which, one in judged.items()},
        lists=lists,
    )


def pairs_of_users(user_key: Int64[np.ndarray, " queries"]) -> Pairs:
    """Each query with the user's next one; queries are sorted by user."""
    first = np.flatnonzero(user_key[1:] == user_key[:-1])
    return Pairs(first, first + 1)


def _likeness(
    judge: Judge,
    ours: Int32[np.ndarray, "pairs k"],
    theirs: Int32[np.ndarray, "pairs k"],
    pairs: Pairs,
) -> dict[str, Any]:
    """Overlap at each depth and rank-biased overlap, averaged over pairs, with intervals."""
    length = np.minimum((ours > 0).sum(1), (theirs > 0).sum(1))
    shared = agreement(ours, theirs)
    columns = [overlap_at(shared, length, k) for k in KS] + [rank_biased_overlap(shared, length)]
    names = (*(f"overlap_at_{k}" for k in KS), "rank_biased_overlap")
    values = np.stack(columns, axis=1)
    there = np.isfinite(values)
    metrics = PerQuery(names, np.where(there, values, 0.0), there.astype(np.float64))
    keys = judge.window.queries.user_key[pairs.ours]
    users = Users(keys, judge.section.resamples if len(keys) else 0, judge.seed)
    drawn = users.resample(users.sums(metrics.numerator), users.sums(metrics.denominator))
    bounds = interval(drawn)
    figures = {
        name: cell(value, bounds.low[column], bounds.high[column])
        for column, (name, value) in enumerate(metrics.value().items())
    }
    return {"pairs": len(keys), "users": users.count, **figures}


def _differs(ours: Context, theirs: Context) -> Bool[np.ndarray, " queries"]:
    """Where any feature has another value; missing equals missing."""
    differs = [
        ((a != b) & ~((a != a) & (b != b))).reshape(len(a), -1).any(1)
        for a, b in ((np.asarray(ours[name]), np.asarray(theirs[name])) for name in ours)
    ]
    return np.asarray(np.any(differs, axis=0))

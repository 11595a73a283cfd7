"""A few users' lists under two contexts, with the log's ids, for people to look at."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from antiphon.context_report import Pairs, pairs_of_users
from antiphon.decode import decode
from antiphon.evaluate import Evaluation
from antiphon.overlap import agreement, rank_biased_overlap
from antiphon.prepared import Prepared

__all__ = ["examples"]

SHOWN = 10
QUANTILES = (0.5, 0.25, 0.75)


def examples(
    prepared: Prepared, evaluation: Evaluation, *, name: str = "antiphon"
) -> list[dict[str, Any]]:
    """Pairs of lists of one user, the typical one first.

    Among the pairs of queries that known users asked under different contexts, those whose lists'
    rank-biased overlap is the median of all, the first and the third quartile: chosen by how far
    lists move, not by how good they are.

    Args:
        prepared: the log.
        evaluation: of `evaluate_rankers`.
        name: of the model.

    Returns:
        `[{user, rank_biased_overlap, lists: [{context, items: [{item, title, score, played,
        heard}], targets}]}]`; empty where no user asked twice. `targets` counts the distinct items
        that the query was about, `played` marks those of them in the list.
    """
    window, judged = evaluation.judge.window, evaluation.judged[name]
    pairs = pairs_of_users(window.queries.user_key)
    known = window.queries.user_number[pairs.ours] > 0
    pairs = Pairs(pairs.ours[known], pairs.theirs[known])
    ours, theirs = judged.lists[pairs.ours], judged.lists[pairs.theirs]
    length = np.minimum((ours > 0).sum(1), (theirs > 0).sum(1))
    likeness = rank_biased_overlap(agreement(ours, theirs), length)
    order = np.argsort(likeness, kind="stable")[: int(np.isfinite(likeness).sum())]
    if not len(order):
        return []
    chosen = dict.fromkeys(int(order[int(q * (len(order) - 1))]) for q in QUANTILES)
    users, titles = prepared.user_ids(), prepared.titles()
    return [
        {
            "user": users[int(window.queries.user_number[pairs.ours[row]]) - 1].as_py(),
            "rank_biased_overlap": round(float(likeness[row]), 6),
            "lists": [
                _list(prepared, evaluation, name, int(query), titles)
                for query in (pairs.ours[row], pairs.theirs[row])
            ],
        }
        for row in chosen
    ]


def _list(
    prepared: Prepared, evaluation: Evaluation, name: str, query: int, titles: pa.Array | None
) -> dict[str, Any]:
    window, judged = evaluation.judge.window, evaluation.judged[name]
    targets = window.targets
    played = set(targets.item_number[targets.offsets[query] : targets.offsets[query + 1]].tolist())
    user = window.queries.user_number[query]
    known = window.known
    heard = set(known.item_number[known.starts[user] : known.ends[user]].tolist())
    ids = prepared.item_ids()
    return {
        "context": {
            feature.name: decode(feature, window.queries.context[feature.name][query : query + 1])[
                0
            ].as_py()
            for feature in window.schema.context
        },
        "targets": len(played),
        "items": [
            {
                "item": ids[item - 1].as_py(),
                "title": None if titles is None else titles[item - 1].as_py(),
                "score": round(float(score), 6),
                "played": item in played,
                "heard": item in heard,
            }
            for item, score in zip(
                judged.lists[query, :SHOWN].tolist(), judged.scores[query, :SHOWN], strict=True
            )
            if item > 0
        ],
    }

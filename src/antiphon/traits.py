"""What lists are like, whatever was played; and whether they are lists at all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int32, Int64, Shaped

from antiphon.errors import EvaluationError
from antiphon.per_query import Metric, PerQuery

__all__ = ["check_lists", "coverage", "list_metrics"]


def list_metrics(
    lists: Int32[np.ndarray, "queries k"],
    popularity_rank: Int64[np.ndarray, " items"],
    creator: Int32[np.ndarray, " items"] | None,
    ks: Sequence[int],
) -> PerQuery:
    """What lists are like, whatever was played.

        popularity_rank@k = mean over the list's first k items of their rank by training plays
                            (1 is the most played)
        repetition@k      = share of the list's first k items whose artist stands above them already

    Items of unknown artist don't enter `repetition`; of several artists of an item the first
    counts. Empty lists have denominators of 0.

    Args:
        lists: item numbers, padded with 0.
        popularity_rank: by item number.
        creator: code of the artist by item number, 0 where unknown; None leaves the metric out.
        ks: the depths.
    """
    there = lists > 0
    metrics: list[Metric] = []
    for k in ks:
        length = there[:, :k].sum(1)
        ranks = np.where(there[:, :k], popularity_rank[lists[:, :k]], 0).sum(1)
        mean = ranks / np.maximum(length, 1)
        metrics.append((f"popularity_rank_at_{k}", mean, (length > 0).astype(np.float64)))
    if creator is not None:
        codes = np.where(there, creator[lists], 0)
        again = _seen_before(codes)
        for k in ks:
            known = (codes[:, :k] > 0).sum(1)
            share = again[:, :k].sum(1) / np.maximum(known, 1)
            metrics.append((f"repetition_at_{k}", share, (known > 0).astype(np.float64)))
    return PerQuery.of(metrics)


def coverage(lists: Int32[np.ndarray, "queries k"], corpus_size: int, k: int) -> float:
    """Share of the corpus that stands in the first k of some list."""
    seen = np.zeros(corpus_size + 1, bool)
    seen[lists[:, :k]] = True
    return float(seen[1:].sum() / max(corpus_size, 1))


def check_lists(lists: Shaped[np.ndarray, "queries k"], item_count: int, who: str) -> None:
    """Refuse lists that no protocol can score.

    Raises:
        EvaluationError: an item twice in one list, or a number outside of 0 to `item_count`.
    """
    if lists.size and (lists.min() < 0 or lists.max() > item_count):
        raise EvaluationError(
            f"{who} lists items that are not in the corpus",
            received=f"item numbers {lists.min()} to {lists.max()}",
            allowed=f"0 (nothing) to {item_count}",
        )
    ordered = np.sort(lists, axis=1)
    twice = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] > 0)
    if twice.any():
        query, place = (int(n) for n in np.argwhere(twice)[0])
        raise EvaluationError(
            f"{who} lists an item twice",
            received=f"item number {ordered[query, place]} in the list of query {query}",
            allowed="each item once a list",
        )


def _seen_before(codes: Shaped[np.ndarray, "queries k"]) -> Bool[np.ndarray, "queries k"]:
    """Whether an equal code other than 0 stands further left in the row."""
    order = np.argsort(codes, axis=1, kind="stable")
    ordered = np.take_along_axis(codes, order, axis=1)
    again = np.zeros(codes.shape, bool)
    equal = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] > 0)
    np.put_along_axis(again, order[:, 1:], equal, axis=1)
    return again

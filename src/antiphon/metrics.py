"""Metrics of lists against what was really played, query by query, without a loop over queries.

Every metric is kept as a numerator and a denominator of each query. A figure over any set of
queries is the ratio of their sums, so that a mean (all denominators 1) and a ratio of means are
the same to whoever sums, slices or resamples.

The two protocols differ in recall, ndcg and what counts as a target; see `standard` and
`yambda_paper`. Ranks below are 1-based, h(r) is 1 where the item at rank r is a target.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64, Shaped

from antiphon.errors import EvaluationError
from antiphon.queries import Targets

__all__ = [
    "PROTOCOLS",
    "PerQuery",
    "TargetIndex",
    "check_lists",
    "coverage",
    "list_metrics",
    "standard",
    "target_metrics",
    "yambda_paper",
]


@dataclass(frozen=True)
class PerQuery:
    """Numerators and denominators, one row a query and one column a metric."""

    names: tuple[str, ...]
    numerator: Float64[np.ndarray, "queries metrics"]
    denominator: Float64[np.ndarray, "queries metrics"]

    def value(self) -> Mapping[str, float]:
        """The metric over all queries; NaN where no query counts."""
        with np.errstate(invalid="ignore"):
            values = self.numerator.sum(0) / self.denominator.sum(0)
        return dict(zip(self.names, values.tolist(), strict=True))

    def beside(self, other: PerQuery) -> PerQuery:
        """Both sets of metrics of the same queries."""
        return PerQuery(
            self.names + other.names,
            np.concatenate([self.numerator, other.numerator], axis=1),
            np.concatenate([self.denominator, other.denominator], axis=1),
        )


class TargetIndex:
    """Finds, for the items of lists, the target that each one hits.

    Attributes:
        query_of: the query of each target.
        is_first: whether a target is the first of its query with that item; the number of first
            targets is the number of distinct ones.
    """

    query_of: Int64[np.ndarray, " targets"]
    is_first: Bool[np.ndarray, " targets"]

    def __init__(self, targets: Targets) -> None:
        self.query_count = len(targets.offsets) - 1
        self.query_of = targets.query_rows()
        self._span = int(targets.item_number.max(initial=0)) + 1
        keys = self.query_of * self._span + targets.item_number
        self._keys, self._rows = np.unique(keys, return_index=True)
        self.is_first = np.zeros(len(keys), bool)
        self.is_first[self._rows] = True

    def hits(self, lists: Int32[np.ndarray, "queries k"]) -> Int64[np.ndarray, "queries k"]:
        """The row of the first target that is the item of a place, -1 where there is none."""
        if not len(self._keys):
            return np.full(lists.shape, -1, np.int64)
        wanted = np.arange(self.query_count)[:, None] * self._span + lists
        # numbers past the last target's would fall among the next query's keys
        possible = (lists > 0) & (lists < self._span)
        at = np.searchsorted(self._keys, wanted).clip(max=len(self._keys) - 1)
        found = possible & (self._keys[at] == wanted)
        return np.where(found, self._rows[at], -1)

    def counts(self, wanted: Bool[np.ndarray, " targets"]) -> Int64[np.ndarray, " queries"]:
        """How many of the chosen targets each query has."""
        return np.bincount(self.query_of[wanted], minlength=self.query_count).astype(np.int64)


Metric = tuple[str, Float64[np.ndarray, " queries"], Float64[np.ndarray, " queries"]]


def standard(
    hit: Bool[np.ndarray, "queries k"],
    distinct: Int64[np.ndarray, " queries"],
    events: Int64[np.ndarray, " queries"],  # noqa: ARG001 - protocols share one signature
    ks: Sequence[int],
) -> list[Metric]:
    """Recall and ndcg over distinct targets, averaged over queries.

    With n distinct targets of a query:

        recall@k = sum_{r<=k} h(r) / min(n, k)
        ndcg@k   = sum_{r<=k} h(r) / log2(r + 1)  /  sum_{r<=min(n,k)} 1 / log2(r + 1)

    and both are averaged over the queries that have a target. Source: Järvelin and Kekäläinen,
    "Cumulated gain-based evaluation of IR techniques", TOIS 2002, with binary gains; recall is
    divided by min(n, k) so that a perfect list scores 1 at every k.
    """
    gains, ideal = _discounted(hit, ks), _ideal(distinct, ks)
    queries = (distinct > 0).astype(np.float64)
    metrics: list[Metric] = []
    for column, k in enumerate(ks):
        hits = hit[:, :k].sum(1)
        best = np.maximum(ideal[:, column], 1.0)  # no target at all: 0 / 1
        metrics.append((f"recall_at_{k}", hits / np.clip(distinct, 1, k), queries))
        metrics.append((f"ndcg_at_{k}", gains[:, column] / best, queries))
    return metrics


def yambda_paper(
    hit: Bool[np.ndarray, "queries k"],
    distinct: Int64[np.ndarray, " queries"],  # noqa: ARG001 - protocols share one signature
    events: Int64[np.ndarray, " queries"],
    ks: Sequence[int],
) -> list[Metric]:
    """Recall and ndcg as they were computed for the published figures of Yambda.

    With m target events of a query, repeated plays counted each time (a list can hit an item only
    once, so 1 may be out of reach):

        recall@k = sum_{r<=k} h(r) / m, averaged over queries
        ndcg@k   = mean over queries of sum_{r<=k} h(r) / log2(r + 1)
                   / mean over queries of sum_{r<=min(m,k)} 1 / log2(r + 1)

    Source: Ploshkin et al., "Yambda-5B", arXiv 2505.22238, and the evaluation code published with
    the data. Only users with training history are asked (see `windows.py`).
    """
    gains, ideal = _discounted(hit, ks), _ideal(events, ks)
    queries = (events > 0).astype(np.float64)
    metrics: list[Metric] = []
    for column, k in enumerate(ks):
        hits = hit[:, :k].sum(1)
        metrics.append((f"recall_at_{k}", hits / np.maximum(events, 1), queries))
        metrics.append((f"ndcg_at_{k}", gains[:, column], ideal[:, column]))
    return metrics


PROTOCOLS: Mapping[str, Callable[..., list[Metric]]] = {
    "standard": standard,
    "yambda-paper": yambda_paper,
}


def target_metrics(
    hits: Int64[np.ndarray, "queries k"],
    index: TargetIndex,
    wanted: Bool[np.ndarray, " targets"],
    protocol: str,
    ks: Sequence[int],
) -> PerQuery:
    """Recall, ndcg, mrr and hit rate on the chosen targets.

    The lists are whole; hits of targets that weren't chosen count for nothing. Queries without a
    chosen target have denominators of 0.

        mrr@k      = 1 / (the least r <= k with h(r) = 1), or 0
        hit_rate@k = 1 where some r <= k has h(r) = 1, or 0

    Args:
        hits: of `TargetIndex.hits`.
        index: the targets.
        wanted: which targets count; equal items of a query must agree.
        protocol: a key of `PROTOCOLS`.
        ks: the depths.
    """
    hit = hits >= 0
    hit[hit] = wanted[hits[hit]]
    distinct = index.counts(wanted & index.is_first)
    events = index.counts(wanted)
    metrics = PROTOCOLS[protocol](hit, distinct, events, ks)
    queries = (events > 0).astype(np.float64)
    first = np.where(hit.any(1), hit.argmax(1) + 1.0, np.inf)
    for k in ks:
        found = first <= k
        metrics.append((f"mrr_at_{k}", np.where(found, 1.0 / first, 0.0), queries))
        metrics.append((f"hit_rate_at_{k}", found.astype(np.float64), queries))
    return _per_query(metrics)


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
    return _per_query(metrics)


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


def _discounted(
    hit: Bool[np.ndarray, "queries k"], ks: Sequence[int]
) -> Float64[np.ndarray, "queries ks"]:
    rank = np.arange(1, hit.shape[1] + 1)[:, None]
    discounts = np.where(rank <= np.asarray(ks)[None, :], 1 / np.log2(rank + 1.0), 0.0)
    return np.asarray(hit.astype(np.float64) @ discounts)


def _ideal(
    targets: Int64[np.ndarray, " queries"], ks: Sequence[int]
) -> Float64[np.ndarray, "queries ks"]:
    cumulated = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2.0, max(ks) + 2)))])
    return np.asarray(cumulated[np.minimum(targets[:, None], np.asarray(ks)[None, :])])


def _seen_before(codes: Shaped[np.ndarray, "queries k"]) -> Bool[np.ndarray, "queries k"]:
    """Whether an equal code other than 0 stands further left in the row."""
    order = np.argsort(codes, axis=1, kind="stable")
    ordered = np.take_along_axis(codes, order, axis=1)
    again = np.zeros(codes.shape, bool)
    equal = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] > 0)
    np.put_along_axis(again, order[:, 1:], equal, axis=1)
    return again


def _per_query(metrics: Sequence[Metric]) -> PerQuery:
    names, numerators, denominators = zip(*metrics, strict=True)
    return PerQuery(tuple(names), np.stack(numerators, axis=1), np.stack(denominators, axis=1))

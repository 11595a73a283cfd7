"""Lists against what was really played, query by query, without a loop over queries.

Recall and ndcg are the protocol's (`protocols.py`); mrr and hit rate are the same under both.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int32, Int64

from antiphon.per_query import PerQuery
from antiphon.protocols import PROTOCOLS
from antiphon.queries import Targets

__all__ = ["TargetIndex", "target_metrics"]


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
    return PerQuery.of(metrics)

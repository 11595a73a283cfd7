"""The two protocols: what recall and ndcg are, and what counts as a target.

Ranks below are 1-based, h(r) is 1 where the item at rank r is a target. Both are linear in h, so
where h is the chance of a hit they are expected values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float64, Int64

from antiphon.per_query import Metric

__all__ = ["PROTOCOLS", "standard", "yambda_paper"]

Hits = Bool[np.ndarray, "queries k"] | Float64[np.ndarray, "queries k"]


def standard(
    hit: Hits,
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
    hit: Hits,
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


def _discounted(hit: Hits, ks: Sequence[int]) -> Float64[np.ndarray, "queries ks"]:
    rank = np.arange(1, hit.shape[1] + 1)[:, None]
    discounts = np.where(rank <= np.asarray(ks)[None, :], 1 / np.log2(rank + 1.0), 0.0)
    return np.asarray(hit.astype(np.float64) @ discounts)


def _ideal(
    targets: Int64[np.ndarray, " queries"], ks: Sequence[int]
) -> Float64[np.ndarray, "queries ks"]:
    cumulated = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2.0, max(ks) + 2)))])
    return np.asarray(cumulated[np.minimum(targets[:, None], np.asarray(ks)[None, :])])

"""How alike two ranked lists are: overlap and rank-biased overlap."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64, Shaped

__all__ = ["PERSISTENCE", "agreement", "overlap_at", "rank_biased_overlap"]

PERSISTENCE = 0.9


def agreement(
    ours: Shaped[np.ndarray, "pairs k"], theirs: Shaped[np.ndarray, "pairs k"]
) -> Int64[np.ndarray, "pairs k"]:
    """How many items the first d places of both lists share, for d = 1..k.

    Lists hold item numbers, each at most once, padded with 0.
    """
    k = ours.shape[1]
    span = int(max(ours.max(initial=0), theirs.max(initial=0))) + 1
    base = np.arange(len(ours))[:, None] * span
    keys = (base + theirs).reshape(-1)
    order = np.argsort(keys, kind="stable")
    wanted = base + ours
    at = np.searchsorted(keys, wanted, sorter=order).clip(max=max(len(keys) - 1, 0))
    place = order[at] if len(keys) else at
    shared = (ours > 0) & (keys[place] == wanted)
    # an item belongs to the shared part from the deeper of its two places on
    depth = np.maximum(np.arange(k)[None, :], place % k)
    counts = np.zeros(ours.shape, np.int64)
    row, _ = np.nonzero(shared)
    np.add.at(counts, (row, depth[shared]), 1)
    return np.cumsum(counts, axis=1)


def overlap_at(
    shared: Int64[np.ndarray, "pairs k"], length: Int64[np.ndarray, " pairs"], k: int
) -> Float64[np.ndarray, " pairs"]:
    """Share of the first k places that both lists have: |A_k and B_k| / min(k, length).

    Args:
        shared: of `agreement`.
        length: of the shorter list of a pair; NaN comes of 0.
        k: the depth.
    """
    with np.errstate(invalid="ignore"):
        return np.asarray(shared[:, k - 1] / np.minimum(length, k))


def rank_biased_overlap(
    shared: Int64[np.ndarray, "pairs k"],
    length: Int64[np.ndarray, " pairs"],
    persistence: float = PERSISTENCE,
) -> Float64[np.ndarray, " pairs"]:
    """Rank-biased overlap, extrapolated beyond the lists' ends.

    With X_d the number of items shared by the first d places, p the persistence and n the length:

        RBO_ext = X_n / n * p^n  +  (1 - p) / p * sum_{d=1..n} X_d / d * p^d

    1 where lists are equal, 0 where they share nothing; at p = 0.9 the first ten places have 86%
    of the weight. Source: Webber, Moffat and Zobel, "A similarity measure for indefinite rankings",
    TOIS 2010, there RBO_EXT; lists of different lengths are cut to the shorter one.

    Args:
        shared: of `agreement`.
        length: of the shorter list of a pair; NaN comes of 0.
        persistence: p, in (0, 1).
    """
    k = shared.shape[1]
    depths = np.arange(1, k + 1)
    inside = depths[None, :] <= length[:, None]
    weights = persistence**depths / depths
    total = (np.where(inside, shared, 0) * weights).sum(1) * (1 - persistence) / persistence
    last = shared[np.arange(len(shared)), np.maximum(length, 1) - 1]
    with np.errstate(invalid="ignore"):
        return np.asarray(last / length * persistence**length + total)

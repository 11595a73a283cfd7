"""Item-to-item nearest neighbours by cosine."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import scipy.sparse as sp

from antiphon.baselines.history import TrainingLog, small
from antiphon.baselines.lists import Order, SparseScores, best
from antiphon.baselines.popular import Popularity
from antiphon.baselines.profiles import Forgetting, profiles
from antiphon.queries import Queries

__all__ = ["ItemKnn", "cosines", "fit_neighbours", "strongest"]

CHUNK_PRODUCTS = 8_000_000
"""Multiplications for a chunk of items, which bounds its memory."""

ITEMS_A_USER = 500
PAIRS = 300_000_000
"""Similarities are learned from the heaviest items of a user: at most so many, fewer where that
would make more pairs. Pairs grow as the square, and who listens to everything says little of any
two items."""


def fit_neighbours(
    log: TrainingLog, half_life_days: float | None, shrink: float, neighbours: int
) -> Any:
    """See `cosines`; a user is a vector of roots of decayed counts."""
    matrix = log.matrix(half_life_days)
    matrix.data **= 0.5  # many plays say little more than a few
    return cosines(strongest(matrix, _items_a_user(matrix)), neighbours, shrink)


def _items_a_user(matrix: Any) -> int:
    """The most that keep within `ITEMS_A_USER` and `PAIRS`."""
    lengths, most = np.diff(matrix.indptr).astype(np.int64), ITEMS_A_USER
    while most > 10 and (np.minimum(lengths, most) ** 2).sum() > PAIRS:
        most = most * 9 // 10
    return most


def cosines(matrix: Any, neighbours: int, shrink: float) -> Any:
    """The most similar items of each item.

    The similarity of items i and j is `x_i . x_j / (|x_i| |x_j| + shrink)` over users: a cosine
    that is pulled to 0 where little is known. An item is its own neighbour.

    Args:
        matrix: CSR [users, items], non-negative.
        neighbours: how many to keep of each item; of equal ones those of the least number.
        shrink: 0 for the plain cosine.

    Returns:
        CSR [items, items] float32; row i holds the neighbours of i, columns sorted.
    """
    by_user = sp.csr_array(
        (matrix.data.astype(np.float32), *small(matrix.indices, matrix.indptr)), shape=matrix.shape
    )
    by_item = by_user.T.tocsr()
    norms = np.sqrt(by_item.multiply(by_item).sum(axis=1)).astype(np.float32)
    pairs = (by_item > 0).astype(np.int64) @ np.diff(by_user.indptr)
    starts = np.flatnonzero(np.diff(np.cumsum(pairs) // CHUNK_PRODUCTS, prepend=-1))
    bounds = [*starts.tolist(), by_item.shape[0]]

    def part(start: int, end: int) -> Any:
        dots = by_item[start:end] @ by_user
        own = np.repeat(norms[start:end], np.diff(dots.indptr))
        dots.data /= own * norms[dots.indices] + np.float32(shrink)
        return strongest(dots, neighbours)

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # scipy's products let go of the lock
        return sp.vstack(list(pool.map(part, bounds[:-1], bounds[1:])), format="csr")


def strongest(matrix: Any, count: int) -> Any:
    """The `count` highest entries of each row of a CSR matrix; columns sorted."""
    long = np.flatnonzero(np.diff(matrix.indptr) > count)
    if len(long):
        keep = np.ones(matrix.nnz, bool)
        for row in long:
            start, end = matrix.indptr[row], matrix.indptr[row + 1]
            columns = matrix.indices[start:end].astype(np.int32, copy=False)
            chosen = best(columns, matrix.data[start:end], count)
            keep[start:end] = False
            keep[start + chosen] = True
        offsets = np.concatenate([[0], np.cumsum(keep)])[matrix.indptr]
        entries = matrix.data[keep], *small(matrix.indices[keep], offsets)
        matrix = sp.csr_array(entries, shape=matrix.shape)
    matrix.sort_indices()
    return matrix


class ItemKnn:
    """A query's recent items vote for their neighbours; then what is popular."""

    chunk = 256

    def __init__(
        self,
        log: TrainingLog,
        popularity: Popularity,
        neighbours: Any,
        forgetting: Forgetting,
    ) -> None:
        """See `profiles` for the votes and `cosines` for the neighbours."""
        self.log, self.popularity = log, popularity
        self.neighbours, self.forgetting = neighbours, forgetting

    def scores(self, queries: Queries, k: int) -> SparseScores:  # noqa: ARG002
        """See `Scorer`."""
        return SparseScores(profiles(self.log, queries, self.forgetting) @ self.neighbours)

    def order(self, queries: Queries) -> Order:
        """See `Scorer`."""
        return self.popularity.order(queries)

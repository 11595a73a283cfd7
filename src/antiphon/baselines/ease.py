"""EASE: a linear item-to-item model in closed form, where users or items are few enough.

The item-to-item weights B with zero diagonal that minimise |X - XB|^2 + l |B|^2 are, off the
diagonal, `B_ij = -P_ij / P_jj` with `P = (X'X + l I)^-1` (Steck, "Embarrassingly shallow
autoencoders for sparse data", WWW 2019). Where users are fewer than items, the same scores come
from a matrix of users: with `K = (XX' + l I)^-1`, `A = I - l K` and `d_j = x_j' K x_j`,

    (XB)_uj = ((AX)_uj - d_j X_uj) / (1 - d_j)

since `l P = I - X'KX` (Woodbury).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from jaxtyping import Float32, Float64, Int32
from threadpoolctl import threadpool_limits

from antiphon.baselines.history import TrainingLog
from antiphon.baselines.lists import BLOCK_FLOATS, DenseScores, Order
from antiphon.baselines.popular import Popularity
from antiphon.queries import Queries

__all__ = ["EaseByItems", "EaseByUsers", "EaseModel", "EaseScorer", "fit_ease"]

MOST = 8_000
"""Users or items, whichever are fewer, that are modelled whole: memory grows as the square, time
as the cube. Where both are more, so many of the items that are played most now are."""

ONE_THREAD = 5_000
"""Up to this size, threads that wait for each other on busy processors cost more than they save."""


@dataclass(frozen=True)
class EaseByItems:
    """The weights B of X; `items` are the numbers of its columns."""

    items: Int32[np.ndarray, " items"]
    matrix: Any
    weights: Float32[np.ndarray, "items items"]

    @classmethod
    def fit(
        cls, items: Int32[np.ndarray, " items"], matrix: Any, regularization: float
    ) -> EaseByItems:
        """Invert a matrix of items."""
        inverse = _inverse(matrix.T @ matrix, regularization)
        scale = (-1 / np.diag(inverse)).astype(np.float32)
        np.fill_diagonal(inverse, 0)
        weights = inverse.astype(np.float32)
        weights *= scale
        return cls(items, matrix, weights)

    def block(self, users: Int32[np.ndarray, " queries"]) -> Float32[np.ndarray, "queries items"]:
        """The rows of XB of some users."""
        return np.asarray(self.matrix[users] @ self.weights)


@dataclass(frozen=True)
class EaseByUsers:
    """A and d of the module's text, of X; `items` are the numbers of its columns."""

    items: Int32[np.ndarray, " items"]
    matrix: Any
    smoother: Float32[np.ndarray, "users users"]
    own: Float32[np.ndarray, " items"]

    @classmethod
    def fit(
        cls, items: Int32[np.ndarray, " items"], matrix: Any, regularization: float
    ) -> EaseByUsers:
        """Invert a matrix of users."""
        kernel = _inverse(matrix @ matrix.T, regularization)
        by_item = matrix.T.tocsr()
        own = np.zeros(len(items), np.float32)
        step = max(1, BLOCK_FLOATS // len(kernel))
        for start in range(0, len(items), step):
            some = by_item[start : start + step]
            own[start : start + step] = some.multiply(some @ kernel).sum(axis=1)
        kernel *= -regularization
        kernel[np.diag_indices_from(kernel)] += 1
        return cls(items, matrix, kernel.astype(np.float32), own)

    def block(self, users: Int32[np.ndarray, " queries"]) -> Float32[np.ndarray, "queries items"]:
        """The rows of XB of some users."""
        smoothed = (self.matrix.T @ self.smoother[users].T).T
        return np.asarray((smoothed - self.matrix[users].toarray() * self.own) / (1 - self.own))


EaseModel = EaseByItems | EaseByUsers


def fit_ease(log: TrainingLog, half_life_days: float | None, regularization: float) -> EaseModel:
    """Fit by users or by items, whichever are fewer; X holds roots of decayed counts."""
    items = np.arange(1, log.width, dtype=np.int32)
    matrix = log.matrix(half_life_days)
    users = matrix.shape[0]
    if min(users, len(items)) > MOST:
        plays = np.bincount(log.row_items, log.row_weights(half_life_days), log.width)[1:]
        items = np.sort(items[np.argsort(-plays, kind="stable")[:MOST]])
    matrix = sp.csr_array(matrix[:, items])
    matrix.data **= 0.5  # many plays say little more than a few
    kind = EaseByUsers if users < len(items) else EaseByItems
    return kind.fit(items, matrix, regularization)


def _inverse(gram: Any, regularization: float) -> Float64[np.ndarray, "rows rows"]:
    """(G + l I)^-1, in double precision: single underflows on the way, which is slow."""
    dense = np.asarray(gram.toarray(), np.float64, order="F")
    dense[np.diag_indices_from(dense)] += regularization
    with threadpool_limits(1 if len(dense) <= ONE_THREAD else None, "blas"):
        factor, _ = scipy.linalg.lapack.dpotrf(dense, lower=1, overwrite_a=1)
        inverse, _ = scipy.linalg.lapack.dpotri(factor, lower=1, overwrite_c=1)
    for start in range(0, len(inverse), 512):  # LAPACK fills in one half
        end = start + 512
        inverse[start:end, end:] = inverse[end:, start:end].T
        corner = np.tril(inverse[start:end, start:end])
        inverse[start:end, start:end] = corner + np.tril(corner, -1).T
    return np.ascontiguousarray(inverse.T)  # which is symmetric, and this costs nothing


class EaseScorer:
    """What the model makes of a user's row; then what is popular."""

    def __init__(self, log: TrainingLog, popularity: Popularity, model: EaseModel) -> None:
        """`popularity` is for users without items that are modelled."""
        self.log, self.popularity, self.model = log, popularity, model
        self.chunk = max(16, BLOCK_FLOATS // 2 // log.width)

    def scores(self, queries: Queries, k: int) -> DenseScores:  # noqa: ARG002
        """See `Scorer`."""
        users = queries.user_number
        known = np.diff(self.model.matrix.indptr)[users] > 0
        return DenseScores(self.model.block(users), self.model.items, known)

    def order(self, queries: Queries) -> Order:
        """See `Scorer`."""
        return self.popularity.order(queries)

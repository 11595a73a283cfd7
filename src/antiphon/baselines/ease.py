"""EASE: a linear item-to-item model in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
from jaxtyping import Float32, Int32
from threadpoolctl import threadpool_limits

from antiphon.baselines.history import TrainingLog
from antiphon.baselines.lists import DenseScores, Order
from antiphon.baselines.popular import Popularity
from antiphon.queries import Queries

__all__ = ["EaseModel", "EaseScorer", "ease_weights", "fit_ease"]

MOST_ITEMS = 12_000
"""The largest catalogue that is modelled whole: memory grows as its square, time as its cube."""

RESTRICTED_ITEMS = 4_000
"""Of a larger catalogue, so many items that are played most now are modelled."""


@dataclass(frozen=True)
class EaseModel:
    """X of `ease_weights` and what it learned from it; `items` are the numbers of its columns."""

    items: Int32[np.ndarray, " items"]
    matrix: Any
    weights: Float32[np.ndarray, "items items"]


def fit_ease(log: TrainingLog, half_life_days: float | None, regularization: float) -> EaseModel:
    """See `ease_weights`; X holds roots of decayed counts."""
    items = np.arange(1, log.width, dtype=np.int32)
    if len(items) > MOST_ITEMS:
        plays = np.bincount(log.row_items, log.row_weights(half_life_days), log.width)[1:]
        items = np.sort(items[np.argsort(-plays, kind="stable")[:RESTRICTED_ITEMS]])
    matrix = log.matrix(half_life_days)[:, items]
    matrix.data **= 0.5
    return EaseModel(items, matrix, ease_weights(matrix, regularization))


def ease_weights(matrix: Any, regularization: float) -> Float32[np.ndarray, "items items"]:
    """The item-to-item weights B with zero diagonal that minimise |X - XB|^2 + l |B|^2.

    `P = (X'X + l I)^-1`, `B_ij = -P_ij / P_jj` off the diagonal (Steck, "Embarrassingly shallow
    autoencoders for sparse data", WWW 2019).

    Args:
        matrix: sparse X [users, items].
        regularization: `l`, above 0.
    """
    # in double precision: single underflows on the way, which costs more than it saves
    gram = np.asarray((matrix.T @ matrix).toarray(), np.float64, order="F")
    gram[np.diag_indices_from(gram)] += regularization
    # threads that wait for each other on busy processors take longer than one alone
    with threadpool_limits(1 if len(gram) <= RESTRICTED_ITEMS else None, "blas"):
        factor, _ = scipy.linalg.lapack.dpotrf(gram, lower=1, overwrite_a=1)
        inverse, _ = scipy.linalg.lapack.dpotri(factor, lower=1, overwrite_c=1)
    scale = (-1 / np.diag(inverse)).astype(np.float32)
    below = np.tril(inverse, -1).astype(np.float32)
    weights: Float32[np.ndarray, "items items"] = (below + below.T) * scale
    return weights


class EaseScorer:
    """What the weights make of a user's row; then what is popular."""

    chunk = 512

    def __init__(self, log: TrainingLog, popularity: Popularity, model: EaseModel) -> None:
        """`popularity` is for users without items that are modelled."""
        self.log, self.popularity, self.model = log, popularity, model

    def scores(self, queries: Queries, k: int) -> DenseScores:  # noqa: ARG002
        """See `Scorer`."""
        rows = self.model.matrix[queries.user_number]
        return DenseScores(rows @ self.model.weights, self.model.items, np.diff(rows.indptr) > 0)

    def order(self, queries: Queries) -> Order:
        """See `Scorer`."""
        return self.popularity.order(queries)

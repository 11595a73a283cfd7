"""Intervals by resampling users, and paired differences by resampling them alike.

The queries of one user are not independent, so whole users are drawn, with replacement, as many as
there are (Efron and Tibshirani, "An introduction to the bootstrap", 1993; drawing whole clusters:
Field and Welsh, JRSS B 2007). A figure is a ratio of sums over users; each resample weighs every
user by how often it was drawn. Intervals are the 2.5% and 97.5% quantiles.

The draws depend only on the seed and the users, so two models judged on the same users are
resampled alike, and the quantiles of their difference are those of a paired comparison.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse
from jaxtyping import Float32, Float64, Int64

__all__ = ["Interval", "Users", "difference", "interval", "ratio"]

QUANTILES = (0.025, 0.975)
DRAWS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Interval:
    """Bounds of 95% intervals, NaN where there is nothing to resample."""

    low: Float64[np.ndarray, "..."]
    high: Float64[np.ndarray, "..."]


class Users:
    """The users of some queries, and the resamples of them.

    Args:
        user_key: the user of each query.
        resamples: how many; 0 for no intervals.
        seed: of the draws.
    """

    def __init__(self, user_key: Int64[np.ndarray, " queries"], resamples: int, seed: int) -> None:
        keys, row = np.unique(user_key, return_inverse=True)
        self.count = len(keys)
        self.resamples = resamples
        self._seed = seed
        ones = np.ones(len(row))
        shape = (self.count, len(row))
        self._sum = scipy.sparse.csr_array((ones, (row, np.arange(len(row)))), shape=shape)

    def sums(
        self, values: Float64[np.ndarray, "queries metrics"]
    ) -> Float32[np.ndarray, "users metrics"]:
        """Sums over each user's queries; what `resample` weighs."""
        return np.asarray((self._sum @ values).astype(np.float32))

    def resample(
        self,
        numerator: Float32[np.ndarray, "users metrics"],
        denominator: Float32[np.ndarray, "users metrics"],
    ) -> Float32[np.ndarray, "resamples metrics"]:
        """The figures of every resample; NaN where a resample has nothing to count.

        In single precision: the noise of resampling is far above that of rounding.
        """
        below, which = _distinct_columns(denominator)
        figures = np.empty((self.resamples, numerator.shape[1]), np.float32)
        for rows, weights in self._draws():
            with np.errstate(invalid="ignore", divide="ignore"):
                figures[rows] = (weights @ numerator) / (weights @ below)[:, which]
        return figures

    def _draws(self) -> Iterator[tuple[slice, Float32[np.ndarray, "some users"]]]:
        generator = np.random.default_rng(self._seed)
        step = max(1, DRAWS_AT_ONCE // max(self.count, 1))
        for start in range(0, self.resamples, step):
            rows = slice(start, min(start + step, self.resamples))
            many = rows.stop - rows.start
            drawn = generator.integers(0, self.count, (many, self.count))
            drawn += np.arange(many)[:, None] * self.count
            weights = np.bincount(drawn.reshape(-1), minlength=many * self.count)
            yield rows, weights.reshape(many, self.count).astype(np.float32)


def interval(figures: Float32[np.ndarray, "resamples ..."]) -> Interval:
    """The 95% interval of each figure, over the resamples in which it exists."""
    low = np.full(figures.shape[1:], np.nan)
    high = low.copy()
    exists = np.isfinite(figures).any(0) if len(figures) else np.zeros(figures.shape[1:], bool)
    if exists.any():
        some = np.where(np.isfinite(figures[:, exists]), figures[:, exists], np.nan)
        low[exists], high[exists] = np.nanquantile(some.astype(np.float64), QUANTILES, axis=0)
    return Interval(low, high)


def difference(
    ours: Float32[np.ndarray, "resamples ..."], theirs: Float32[np.ndarray, "resamples ..."]
) -> Interval:
    """The 95% interval of ours minus theirs, resampled alike."""
    return interval(ours - theirs)


def ratio(
    ours: Float32[np.ndarray, "resamples ..."], theirs: Float32[np.ndarray, "resamples ..."]
) -> Interval:
    """The 95% interval of ours over theirs, resampled alike."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return interval(ours / theirs)


def _distinct_columns(
    table: Float32[np.ndarray, "users metrics"],
) -> tuple[Float32[np.ndarray, "users distinct"], Int64[np.ndarray, " metrics"]]:
    """Equal columns once, and which of them each column was: most metrics count queries alike."""
    seen: dict[bytes, int] = {}
    which = [seen.setdefault(column.tobytes(), len(seen)) for column in table.T]
    _, first = np.unique(which, return_index=True)
    return table[:, first], np.array(which, np.int64)

"""From scores to lists: the best k of each row, ties by item number, exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64

__all__ = [
    "BLOCK_FLOATS",
    "DenseScores",
    "Lists",
    "Order",
    "Row",
    "Scores",
    "SparseScores",
    "best",
    "top",
]

Lists = tuple[Int32[np.ndarray, "queries k"], Float32[np.ndarray, "queries k"]]

Order = Callable[[int], Int32[np.ndarray, " items"]]
"""For a row of queries: all item numbers, in the order in which they fill up a short list."""

Row = tuple[Int32[np.ndarray, " candidates"], Float32[np.ndarray, " candidates"]]
"""Candidates of one query, in any order, and their scores."""

BLOCK_FLOATS = 1 << 25
"""Dense scores computed at once."""

SAMPLE = 2048
"""Scores looked at to find a bound that few pass."""


@runtime_checkable
class Scores(Protocol):
    """Scores of some candidates for some queries."""

    def __len__(self) -> int: ...

    def row(self, row: int) -> Row:
        """The candidates of one query."""
        ...


@dataclass(frozen=True)
class SparseScores:
    """A CSR matrix [queries, items + 1] of float32; what is above 0 is a score."""

    matrix: Any

    def __len__(self) -> int:
        return int(self.matrix.shape[0])

    def row(self, row: int) -> Row:
        """See `Scores`."""
        start, end = self.matrix.indptr[row], self.matrix.indptr[row + 1]
        values = self.matrix.data[start:end]
        positive = values > 0
        return self.matrix.indices[start:end][positive].astype(np.int32), values[positive]


@dataclass(frozen=True)
class DenseScores:
    """A score for every pair of query and candidate, but for queries that aren't known."""

    block: Float32[np.ndarray, "queries candidates"]
    candidates: Int32[np.ndarray, " candidates"]
    known: Bool[np.ndarray, " queries"]

    def __len__(self) -> int:
        return len(self.block)

    def row(self, row: int) -> Row:
        """See `Scores`."""
        if not self.known[row]:
            return self.candidates[:0], self.block[row, :0]
        return self.candidates, self.block[row]


def best(
    items: Int32[np.ndarray, " candidates"], scores: Float32[np.ndarray, " candidates"], k: int
) -> Int64[np.ndarray, " chosen"]:
    """Positions of the k highest scores, best first; of equal ones the lesser item first."""
    size = len(scores)
    places = np.arange(size)
    if size > 8 * k:
        # few pass a bound that a sample suggests: cheaper than to partition everything
        sample = scores[:: max(size // SAMPLE, 1)]
        place = min(4 * k * len(sample) // size + 8, len(sample))
        passing = np.flatnonzero(scores >= np.partition(sample, -place)[-place])
        places = passing if len(passing) >= k else places
    order: Int64[np.ndarray, " chosen"] = places[np.lexsort((items[places], -scores[places]))[:k]]
    return order


def top(scores: Scores, k: int, excluded: Any | None, order: Order, width: int) -> Lists:
    """The best k candidates of each row, filled up where a row has fewer.

    Args:
        scores: the scores of some queries.
        k: length of the lists.
        excluded: CSR [queries, width]; its columns are left out of the row's list. None for
            nothing.
        order: what a row is filled up with; scored below the rest of the row and below 0.
        width: number of items + 1.

    Returns:
        Item numbers and scores; number 0 and -inf where the catalogue itself is too small.
    """
    numbers = np.zeros((len(scores), k), np.int32)
    values = np.full((len(scores), k), -np.inf, np.float32)
    taken = np.zeros(width, bool)
    for row in range(len(scores)):
        out = _columns(excluded, row)
        taken[out] = True
        items, found = scores.row(row)
        if len(out):
            free = ~taken[items]
            items, found = items[free], found[free]
        chosen = best(items, found, k)
        have = len(chosen)
        numbers[row, :have], values[row, :have] = items[chosen], found[chosen]
        if have < k:
            taken[items[chosen]] = True
            head = order(row)[: k + len(out)]  # of them at most `have + len(out)` are taken
            places = np.flatnonzero(~taken[head])[: k - have]
            floor = min(0.0, float(values[row, have - 1])) if have else 0.0
            numbers[row, have : have + len(places)] = head[places]
            values[row, have : have + len(places)] = floor - 1 - places
            taken[items[chosen]] = False
        taken[out] = False
    return numbers, values


def _columns(matrix: Any | None, row: int) -> Int32[np.ndarray, " columns"]:
    if matrix is None:
        return np.zeros(0, np.int32)
    columns: np.ndarray = matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]]
    return columns.astype(np.int32, copy=False)

"""Popularity: of all time, decayed, and within a context."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float64, Int32, Int64

from antiphon.baselines.history import TrainingLog
from antiphon.baselines.lists import Order, Row
from antiphon.queries import Queries

__all__ = ["Popularity", "cell_counts"]

ROWS_AT_ONCE = 1 << 22
KEPT_ITEMS = 1 << 26
"""Items of all orders kept at a time, 8 bytes each."""


def cell_counts(log: TrainingLog, half_life_days: float | None) -> Any:
    """CSR [cells, items + 1] float64: the events of each cell, weighted by age."""
    shape = len(log.cell_codes), log.width
    counts = sp.csr_array(shape)
    for start in range(0, log.count, ROWS_AT_ONCE):
        some = slice(start, start + ROWS_AT_ONCE)
        entries = log.row_weights(half_life_days, some), (log.row_cells[some], log.row_items[some])
        counts += sp.csr_array(entries, shape=shape)
    return counts


class Popularity:
    """Decayed counts of plays within the query's context, smoothed to those overall.

    An item `i` in context `c` scores `(n_ci + s * n_i / N) / (N_c + s)`, where `n` are sums of
    events that weigh `2 ** (-age / half-life)` each, `N` those over all items, and `s` the
    pseudo-count that stands for what is known from other contexts. Ages are those at the end of
    the log: asked later, all shrink alike. Where the query states none of the features, or the log
    has none of its context, this is popularity overall.
    """

    chunk = 4096

    def __init__(
        self, log: TrainingLog, counts: Any, smoothing: float = 0.0, by: Sequence[str] = ()
    ) -> None:
        """Prepare.

        Args:
            log: the events.
            counts: of `cell_counts`.
            smoothing: `s`, in events.
            by: names of the context features that make a context; empty for popularity overall.
        """
        self.log, self.counts, self.smoothing, self.by = log, counts, smoothing, tuple(by)
        self._overall: Float64[np.ndarray, " items"] = np.asarray(counts.sum(axis=0))
        self._kept: OrderedDict[bytes, Row] = OrderedDict()

    def of_cell(self, codes: Int32[np.ndarray, " features"]) -> Float64[np.ndarray, " items"]:
        """The score of each item number in one cell of the log's features."""
        overall = self._overall / max(self._overall.sum(), np.finfo(float).tiny)
        if not self.by:
            return np.asarray(overall)
        inside = self.counts[self.log.matches(codes[None], self.by)[0]].sum(axis=0)
        total = inside.sum() + self.smoothing
        return np.asarray((inside + self.smoothing * overall) / total if total > 0 else overall)

    def ordered(self, codes: Int32[np.ndarray, " features"]) -> Row:
        """All items for one cell, best first, and their scores."""
        key = codes.tobytes()
        if key not in self._kept:
            scores = self.of_cell(codes).astype(np.float32)
            order = np.argsort(-scores[1:], kind="stable").astype(np.int32) + np.int32(1)
            self._kept[key] = order, scores[order]
            if len(self._kept) > max(16, KEPT_ITEMS // self.log.width):
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]

    def scores(self, queries: Queries, k: int) -> Listed:
        """See `Scorer`."""
        codes, cells = self.log.query_cells(queries)
        return Listed(self, codes, cells, self.log.heard[queries.user_number] + k)

    def order(self, queries: Queries) -> Order:
        """See `Scorer`."""
        codes, cells = self.log.query_cells(queries)
        return lambda row: self.ordered(codes[cells[row]])[0]


@dataclass(frozen=True)
class Listed:
    """The scores of the most popular items of each query's context."""

    popularity: Popularity
    codes: Int32[np.ndarray, "cells features"]
    cells: Int32[np.ndarray, " queries"]
    lengths: Int64[np.ndarray, " queries"]

    def __len__(self) -> int:
        return len(self.cells)

    def row(self, row: int) -> Row:
        """See `Scores`."""
        order, scores = self.popularity.ordered(self.codes[self.cells[row]])
        length = self.lengths[row]
        return order[:length], scores[:length]

"""What baselines are fitted on: the events in sight, by user, by context and by age.

A *cell* is one tuple of values of the categorical context features. Continuous features (cyclic,
numeric, vectors) have too many values to count plays by; no baseline looks at them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int32, Int64, Integer, Shaped

from antiphon.prepared import Events
from antiphon.queries import Queries
from antiphon.schema import FittedCategorical, Schema

__all__ = ["DAY_S", "TrainingLog", "small"]

DAY_S = 86_400
ALL = slice(None)
MOST_LISTED = 1 << 22
"""Values below it are numbered by a list of all numbers, not by sorting every event."""


@dataclass(frozen=True)
class TrainingLog:
    """An `Events` view and what baselines derive from it, each derived once.

    Arrays called `row_*` have one element a visible event, sorted by (user, time).
    """

    events: Events
    schema: Schema

    @property
    def width(self) -> int:
        """Columns of a (user, item) matrix: every item number, and 0."""
        return self.schema.item_count + 1

    @property
    def count(self) -> int:
        """How many events are visible."""
        return int(self.user_starts[-1])

    @cached_property
    def _rows(self) -> slice | Int64[np.ndarray, " visible"]:
        """Row numbers of the visible events; where none is hidden between them, from and to."""
        starts, ends = self.events.starts, self.events.ends
        some = np.flatnonzero(ends > starts)
        starts, ends = starts[some], ends[some]
        if len(some) and (starts[1:] == ends[:-1]).all():
            return slice(int(starts[0]), int(ends[-1]))  # a view of what may be mapped
        return self.events.rows()

    @cached_property
    def row_items(self) -> Int32[np.ndarray, " visible"]:
        """Item numbers."""
        items = np.asarray(self.events.item_number[self._rows], np.int32).view()
        items.flags.writeable = False  # scipy sorts in place what it was given
        return items

    @cached_property
    def row_times_s(self) -> Int64[np.ndarray, " visible"]:
        """Times."""
        return np.asarray(self.events.timestamp_s[self._rows])

    @cached_property
    def user_starts(self) -> Int64[np.ndarray, " users_and_one"]:
        """The visible events of user `u` are `user_starts[u]` to `user_starts[u + 1]`."""
        lengths = self.events.ends - self.events.starts
        return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)

    @cached_property
    def user_items(self) -> Any:
        """CSR [users, width] float32: how often a user had an item; columns sorted."""
        return self.matrix(None)

    def matrix(self, half_life_days: float | None) -> Any:
        """CSR [users, width] float32 of counts that weigh 2 ** (-age / half-life) at the end."""
        indices = self.row_items.copy(), self.user_starts.copy()
        matrix = sp.csr_array(
            (self.row_weights(half_life_days), *small(*indices)),
            shape=(len(self.user_starts) - 1, self.width),
        )
        matrix.sum_duplicates()
        matrix = matrix.astype(np.float32, copy=False)
        matrix.eliminate_zeros()  # what has decayed to nothing
        return matrix

    def row_weights(
        self, half_life_days: float | None, rows: slice = ALL
    ) -> Float[np.ndarray, " rows"]:
        """2 ** (-age / half-life) of visible events, at the last of them all; None for 1.

        Ones are float32, which counts exactly to 16 million; all others are float64. Sums of such
        weights keep their order when they are asked for later: all ages grow alike,
        so all sums shrink by the same factor.
        """
        if half_life_days is None:
            return np.ones(len(self.row_items[rows]), np.float32)
        ages_s = self._end_s - self.row_times_s[rows]
        return np.asarray(np.exp2(-ages_s / (half_life_days * DAY_S)))

    @cached_property
    def _end_s(self) -> int:
        return int(self.row_times_s.max(initial=0))

    def last_days(self, days: float | None) -> TrainingLog:
        """The log of the last days only; None for all of it."""
        if days is None:
            return self
        users = np.arange(len(self.events.starts))
        since_s = int(self._end_s - days * DAY_S)
        starts = self.events.first_at(users, np.full(len(users), since_s, np.int64))
        return TrainingLog(replace(self.events, starts=starts), self.schema)

    @cached_property
    def heard(self) -> Int64[np.ndarray, " users"]:
        """How many different items each user has had."""
        return np.diff(self.user_items.indptr).astype(np.int64)

    @cached_property
    def features(self) -> tuple[str, ...]:
        """The categorical context features, which make the cells."""
        return tuple(f.name for f in self.schema.context if isinstance(f, FittedCategorical))

    @cached_property
    def _cells(
        self,
    ) -> tuple[Int32[np.ndarray, "cells features"], Int32[np.ndarray, " visible"]]:
        columns = [self.events.context[name][self._rows] for name in self.features]
        return _distinct(columns, self.count)

    @property
    def cell_codes(self) -> Int32[np.ndarray, "cells features"]:
        """The codes of each cell that occurs; 0 is missing."""
        return self._cells[0]

    @property
    def row_cells(self) -> Int32[np.ndarray, " visible"]:
        """The cell of each visible event."""
        return self._cells[1]

    def query_cells(
        self, queries: Queries
    ) -> tuple[Int32[np.ndarray, "cells features"], Int32[np.ndarray, " queries"]]:
        """The codes of the cells that are asked for, and which of them each query asks for.

        A feature that the queries don't state is missing.
        """
        missing = np.zeros(len(queries), np.int32)
        columns = [queries.context.get(name, missing) for name in self.features]
        return _distinct(columns, len(queries))

    def matches(
        self, codes: Int32[np.ndarray, "asked features"], by: Sequence[str] | None = None
    ) -> Bool[np.ndarray, "asked cells"]:
        """Which cells of the log agree with each cell asked for.

        Args:
            codes: the cells asked for. What is missing in them agrees with everything; what is
                missing in the log agrees with nothing else.
            by: the features that must agree; by default all.
        """
        agrees = np.ones((len(codes), len(self.cell_codes)), bool)
        for column, name in enumerate(self.features):
            if by is None or name in by:
                asked = codes[:, column, None]
                agrees &= (asked == 0) | (asked == self.cell_codes[None, :, column])
        return agrees


def small(
    indices: Shaped[np.ndarray, " entries"], offsets: Shaped[np.ndarray, " rows"]
) -> tuple[Shaped[np.ndarray, " entries"], Shaped[np.ndarray, " rows"]]:
    """Both as int32 where they fit: sparse products take half the time."""
    if len(indices) <= np.iinfo(np.int32).max:
        return indices.astype(np.int32, copy=False), offsets.astype(np.int32)
    return indices.astype(np.int64, copy=False), offsets.astype(np.int64)


def _distinct(
    columns: Sequence[Shaped[np.ndarray, " rows"]], rows: int
) -> tuple[Int32[np.ndarray, "cells features"], Int32[np.ndarray, " rows"]]:
    """The distinct tuples of some columns, and which of them each row holds."""
    cells = np.zeros(rows, np.int32)
    codes = np.zeros((1, 0), np.int32)
    for column in columns:  # one by one, so that no product of cardinalities can overflow
        values, value = _numbered(column)
        size = max(len(values), 1)
        fits = len(codes) * size <= np.iinfo(np.int32).max
        pairs, cells = _numbered(cells.astype(np.int32 if fits else np.int64) * size + value)
        codes = np.column_stack([codes[pairs // size], values[pairs % size]]).astype(np.int32)
    return codes, cells


def _numbered(
    values: Integer[np.ndarray, " rows"],
) -> tuple[Integer[np.ndarray, " distinct"], Int32[np.ndarray, " rows"]]:
    """The distinct values, none negative, in order, and which of them each row holds."""
    top = int(values.max(initial=0))
    if top >= MOST_LISTED:
        distinct, which = np.unique(values, return_inverse=True)
        return distinct, which.astype(np.int32)
    there = np.zeros(top + 1, bool)
    there[values] = True
    place = np.cumsum(there, dtype=np.int32) - np.int32(1)
    return np.flatnonzero(there), place[values]

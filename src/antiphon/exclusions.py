"""What lists leave out, query by query."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32, Int64

from antiphon.prepared import Events, owners, rows_between
from antiphon.queries import Queries

__all__ = ["Exclusions"]


@dataclass(frozen=True)
class Exclusions:
    """Items to leave out: those of query `q` are rows `offsets[q]` to `offsets[q + 1]`.

    In any order, and repeated ones do no harm.
    """

    offsets: Int64[np.ndarray, " queries_and_one"]
    item_number: Int32[np.ndarray, " exclusions"]

    @classmethod
    def heard(cls, events: Events, queries: Queries, gap_s: int = 0) -> Exclusions:
        """What each query's user had up to `gap_s` before it; user 0, the unknown one, nothing."""
        users = queries.user_number.astype(np.int64)
        starts, ends = events.starts[users], events.first_at(users, queries.time_s - gap_s)
        offsets = np.concatenate([[0], np.cumsum(ends - starts)]).astype(np.int64)
        return cls(offsets, np.asarray(events.item_number[rows_between(starts, ends)]))

    def pairs(
        self, rows: slice, item_count: int
    ) -> tuple[Int64[np.ndarray, " pairs"], Int32[np.ndarray, " pairs"]]:
        """(query, item) for some of the queries, by ascending item; queries count from 0.

        Items that aren't in the corpus are left out.
        """
        offsets = self.offsets[rows.start : rows.stop + 1]
        items = self.item_number[offsets[0] : offsets[-1]]
        query = owners(offsets)
        inside = (items > 0) & (items <= item_count)
        query, items = query[inside], items[inside]
        order = np.argsort(items)
        return query[order], items[order]

"""What queries' users have had, item by item: what is merged into lists found by dot product."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64

from antiphon.library import Library
from antiphon.prepared import rows_between
from antiphon.queries import Queries

__all__ = ["OwnItems", "OwnScores", "own_items", "slices_of_pairs"]

PAIRS_AT_ONCE = 1 << 16

# of the length that is asked for, which no argument has
Lists = tuple[Int32[np.ndarray, "queries k"], Float32[np.ndarray, "queries k"]]


@dataclass(frozen=True)
class OwnItems:
    """The distinct items that each query's user had before it.

    Attributes:
        offsets: those of query `q` are the pairs `offsets[q]` to `offsets[q + 1]`.
        last: the row, in the library's events, of the last play.
    """

    offsets: Int64[np.ndarray, " queries_and_one"]
    item_number: Int32[np.ndarray, " pairs"]
    last: Int64[np.ndarray, " pairs"]

    def query(self) -> Int64[np.ndarray, " pairs"]:
        """The query of each pair."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))


@dataclass(frozen=True)
class OwnScores:
    """Pairs as in `OwnItems`, scored.

    Attributes:
        score: dot product and repeat term.
        repeat: the repeat term alone.
    """

    offsets: Int64[np.ndarray, " queries_and_one"]
    item_number: Int32[np.ndarray, " pairs"]
    score: Float32[np.ndarray, " pairs"]
    repeat: Float32[np.ndarray, " pairs"]

    def best(
        self,
        k: int,
        queries: Int64[np.ndarray, " some"] | None = None,
        keep: Bool[np.ndarray, " pairs"] | None = None,
    ) -> Lists:
        """The k best of each query's pairs, or of some queries, or only among pairs to keep.

        Returns:
            As `Index.top_k`.
        """
        some = np.arange(len(self.offsets) - 1) if queries is None else queries
        starts, ends = self.offsets[some], self.offsets[some + 1]
        pairs = rows_between(starts, ends)
        query = np.repeat(np.arange(len(some)), ends - starts)
        if keep is not None:
            kept = keep[pairs]
            pairs, query = pairs[kept], query[kept]
        numbers = np.zeros((len(some), k), np.int32)
        scores = np.full((len(some), k), -np.inf, np.float32)
        if not len(pairs):
            return numbers, scores
        order = np.lexsort((self.item_number[pairs], -self.score[pairs], query))
        pairs = pairs[order]
        counts = np.bincount(query, minlength=len(some))
        place = np.arange(len(pairs)) - np.repeat(np.cumsum(counts) - counts, counts)
        listed = place < k
        at = query[listed], place[listed]
        numbers[at] = self.item_number[pairs[listed]]
        scores[at] = self.score[pairs[listed]]
        return numbers, scores


def own_items(library: Library, queries: Queries) -> OwnItems:
    """Of each query's user, as of its time; `user_number` counts the library's users."""
    users = queries.user_number.astype(np.int64)
    start = library.events.starts[users]
    end = library.events.first_at(users, queries.time_s)
    lengths = end - start
    query = np.repeat(np.arange(len(users)), lengths)
    rows = rows_between(start, end)
    last = library.is_last(rows, end[query])
    counts = np.bincount(query[last], minlength=len(users))
    rows = rows[last]
    return OwnItems(
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        np.asarray(library.events.item_number[rows], np.int32),
        rows,
    )


def slices_of_pairs(library: Library, queries: Queries) -> Iterator[slice]:
    """Queries in their order, so many at once that their users' plays fit in memory."""
    users = queries.user_number.astype(np.int64)
    plays = np.cumsum(library.events.ends[users] - library.events.starts[users])
    start = 0
    while start < len(users):
        before = int(plays[start - 1]) if start else 0
        stop = int(np.searchsorted(plays, before + PAIRS_AT_ONCE, side="right"))
        stop = max(stop, start + 1)
        yield slice(start, stop)
        start = stop

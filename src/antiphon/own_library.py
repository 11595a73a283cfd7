"""What queries' users have had, item by item: what is merged into lists found by dot product."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64

from antiphon.best_first import NOTHING, keys_of, read_keys
from antiphon.library import PLAYS, Plays
from antiphon.prepared import Events, owners, rows_between
from antiphon.queries import Queries

__all__ = ["OwnItems", "OwnScores", "own_items", "slices_of_events"]

EVENTS_AT_ONCE = 1 << 19
"""Of queries answered together, some hundred megabytes; candidates are searched for all at once."""


@dataclass(frozen=True)
class OwnItems:
    """The distinct items that each query's user had before it, and how they were played.

    Attributes:
        offsets: those of query `q` are the pairs `offsets[q]` to `offsets[q + 1]`.
        item_number: ascending within a query.
        events: the events in sight.
        rows: those of all queries' users; plays of an item stand side by side, by time.
        ends: where in `rows` the plays of each pair end.
        time_s: of each query.
    """

    offsets: Int64[np.ndarray, " queries_and_one"]
    item_number: Int32[np.ndarray, " pairs"]
    events: Events
    rows: Int64[np.ndarray, " rows"]
    ends: Int64[np.ndarray, " pairs"]
    time_s: Int64[np.ndarray, " queries"]

    def query(self) -> Int64[np.ndarray, " pairs"]:
        """The query of each pair."""
        return owners(self.offsets)

    @cached_property
    def plays(self) -> Plays:
        """Of each pair. Looked up when they are asked for: a search needs the items alone."""
        count = np.diff(self.ends, prepend=0)
        back = np.arange(PLAYS)
        known = back < count[:, None]
        rows = self.rows[(self.ends - 1)[:, None] - np.where(known, back, 0)]
        now_s = self.time_s[self.query()][:, None]
        ages_s = np.where(known, now_s - self.events.timestamp_s[rows], 0)
        return Plays(
            age_h=(ages_s / 3600).astype(np.float32),
            known=known,
            count=count.astype(np.int32),
            context={name: np.asarray(v[rows]) for name, v in self.events.context.items()},
        )


@dataclass(frozen=True)
class OwnScores:
    """Pairs as in `OwnItems`, scored.

    Attributes:
        offsets: as there.
        item_number: as there.
        score: what counts of the dot product, and the repeat term.
    """

    offsets: Int64[np.ndarray, " queries_and_one"]
    item_number: Int32[np.ndarray, " pairs"]
    score: Float32[np.ndarray, " pairs"]

    @cached_property
    def _key(self) -> Int64[np.ndarray, " pairs"]:
        return keys_of(self.item_number, self.score)

    def best(
        self,
        k: int,
        others: tuple[Int32[np.ndarray, "some found"], Float32[np.ndarray, "some found"]]
        | None = None,
        queries: Int64[np.ndarray, " some"] | None = None,
        keep: Bool[np.ndarray, " pairs"] | None = None,
    ) -> tuple[Int32[np.ndarray, "some k"], Float32[np.ndarray, "some k"]]:
        """The k best of each query's pairs, together with what else was found.

        Args:
            k: length of the lists.
            others: lists of items that none of the queries' users have had.
            queries: only of these.
            keep: only these pairs.

        Returns:
            As `Index.top_k`.
        """
        some = range(len(self.offsets) - 1) if queries is None else queries.tolist()
        merged = np.full((len(some), k), NOTHING)
        found = merged[:, :0] if others is None else keys_of(*others)
        for row, query in enumerate(some):
            pairs = slice(int(self.offsets[query]), int(self.offsets[query + 1]))
            own = self._key[pairs] if keep is None else self._key[pairs][keep[pairs]]
            if len(own) > 4 * k:
                own = np.partition(own, k)[:k]
            both = np.concatenate([found[row], own])
            both.sort()
            merged[row, : len(both)] = both[:k]
        return read_keys(merged)

    def find(
        self, query: Int64[np.ndarray, " items"], item_number: Int32[np.ndarray, " items"]
    ) -> Int64[np.ndarray, " items"]:
        """The pair of each query and item; -1 where the query's user hasn't had the item."""
        if not len(self.item_number):
            return np.full(len(query), -1, np.int64)
        keys = (owners(self.offsets) << 32) | self.item_number
        wanted = (query << 32) | item_number
        place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where(keys[place] == wanted, place, -1)


def own_items(events: Events, queries: Queries) -> OwnItems:
    """Of each query's user, as of its time.

    Args:
        events: the events in sight.
        queries: `user_number` counts the users of `events`.
    """
    users = queries.user_number.astype(np.int64)
    start, end = events.starts[users], events.first_at(users, queries.time_s)
    rows = rows_between(start, end)
    query = np.repeat(np.arange(len(users)), end - start)
    item = np.asarray(events.item_number[rows], np.int64)
    query, item, order = _sorted(query, item)
    is_end = np.ones(len(rows), bool)
    is_end[:-1] = (item[1:] != item[:-1]) | (query[1:] != query[:-1])
    last = np.flatnonzero(is_end)
    pairs = np.bincount(query[last], minlength=len(users))
    return OwnItems(
        np.concatenate([[0], np.cumsum(pairs)]).astype(np.int64),
        item[last].astype(np.int32),
        events,
        rows[order],
        last + 1,
        queries.time_s,
    )


def _sorted(
    query: Int64[np.ndarray, " rows"], item: Int64[np.ndarray, " rows"]
) -> tuple[Int64[np.ndarray, " rows"], Int64[np.ndarray, " rows"], Int64[np.ndarray, " rows"]]:
    """By (query, item), otherwise as they were: both, and where each row was."""
    bits = [int(part.max(initial=0)).bit_length() for part in (query, item)]
    place_bits = len(query).bit_length()
    if sum(bits) + place_bits > 63:
        order = np.lexsort((item, query))
        return query[order], item[order], order
    # one number a row, and all different: much faster to sort than to find an order of
    keys = (((query << bits[1]) | item) << place_bits) | np.arange(len(query))
    keys.sort()
    order = keys & ((1 << place_bits) - 1)
    keys >>= place_bits
    return keys >> bits[1], keys & ((1 << bits[1]) - 1), order


def slices_of_events(events: Events, queries: Queries) -> Iterator[slice]:
    """Queries in their order, so many at once that their users' events fit in memory."""
    users = queries.user_number.astype(np.int64)
    total = np.cumsum(events.ends[users] - events.starts[users])
    start = 0
    while start < len(users):
        before = int(total[start - 1]) if start else 0
        stop = int(np.searchsorted(total, before + EVENTS_AT_ONCE, side="right"))
        stop = max(stop, start + 1)
        yield slice(start, stop)
        start = stop

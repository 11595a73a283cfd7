"""What is asked of a model: queries with the state they may know, and the targets that judge them.

A query is one (user, context) pair of a window of time. All queries of a window are asked at its
start: whatever answers may know only the events before the window, less the gap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Int32, Int64, Shaped

from antiphon.prepared import Events, owners

__all__ = ["Queries", "Ranker", "Targets", "queries_of_window"]


@dataclass(frozen=True)
class Queries:
    """Queries, one row each.

    Attributes:
        user_number: the user; 0 where training has not seen them.
        user_key: tells users apart, new ones too; what intervals are resampled over.
        time_s: the moment at which the query is asked.
        context: encoded context features as in schema.py, by name.
    """

    user_number: Int32[np.ndarray, " queries"]
    user_key: Int64[np.ndarray, " queries"]
    time_s: Int64[np.ndarray, " queries"]
    context: Mapping[str, Shaped[np.ndarray, "queries ..."]]

    def __len__(self) -> int:
        return len(self.user_number)

    def take(self, rows: Shaped[np.ndarray, " rows"] | slice) -> Queries:
        """Some of the queries."""
        return Queries(
            self.user_number[rows],
            self.user_key[rows],
            self.time_s[rows],
            {name: values[rows] for name, values in self.context.items()},
        )

    def with_context(self, context: Mapping[str, Shaped[np.ndarray, "queries ..."]]) -> Queries:
        """The same queries asked under another context."""
        return replace(self, context=context)


@dataclass(frozen=True)
class Targets:
    """What was really played: those of query `q` are the rows `offsets[q]` to `offsets[q + 1]`.

    Items that are not in the corpus keep a number above `item_count`, which no list can hold.
    Repeated plays are repeated rows, in the order of time.
    """

    offsets: Int64[np.ndarray, " queries_and_one"]
    item_number: Int32[np.ndarray, " targets"]

    def query_rows(self) -> Int64[np.ndarray, " targets"]:
        """The query of each target."""
        return owners(self.offsets)


@runtime_checkable
class Ranker(Protocol):
    """Anything that answers queries with lists: a model, a baseline, somebody's predictions."""

    def rank(
        self, queries: Queries, k: int, *, exclude_heard: bool
    ) -> tuple[Int32[np.ndarray, "queries k"], Float32[np.ndarray, "queries k"]]:
        """Item numbers, best first, and their scores.

        Where there are fewer than k candidates the rest of a list is number 0, score -inf. Equal
        scores are ordered by item number. `exclude_heard` leaves out every item of the user's
        training events.
        """
        ...


def queries_of_window(
    events: Events,
    user_count: int,
    start_s: int,
    query_by: Sequence[str] | None = None,
) -> tuple[Queries, Targets]:
    """Turn the targets among `events` into queries and what they should find.

    Args:
        events: events of the window only, such as `Prepared.held_out`.
        user_count: users above this number are new: their queries have user number 0.
        start_s: the start of the window, when all queries are asked.
        query_by: the context features that tell a user's queries apart; None for all. The other
            features take the value of the query's first event.

    Returns:
        Queries sorted by (user, first event), and their targets.
    """
    rows, users = events.rows(), events.row_users()
    wanted = events.is_target[rows]
    rows, users = rows[wanted], users[wanted]
    names = tuple(events.context) if query_by is None else tuple(query_by)
    keys = [users] + [_codes(events.context[name][rows]) for name in names]
    group = _codes(np.stack(keys, axis=1))
    order = np.lexsort((np.arange(len(rows)), group))
    first = np.flatnonzero(np.diff(group[order], prepend=-1))
    # groups come sorted by context code; what a reader expects is time
    by_time = np.argsort(order[first], kind="stable")
    lengths = np.diff(np.append(first, len(order)))[by_time]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    starts = np.repeat(first[by_time] - offsets[:-1], lengths)
    sorted_rows = rows[order][starts + np.arange(len(order))]
    first_rows = sorted_rows[offsets[:-1]]
    first_users = users[order][first[by_time]]
    queries = Queries(
        user_number=np.where(first_users <= user_count, first_users, 0).astype(np.int32),
        user_key=first_users.astype(np.int64),
        time_s=np.full(len(first_rows), start_s, np.int64),
        context={name: np.asarray(values[first_rows]) for name, values in events.context.items()},
    )
    return queries, Targets(offsets, np.asarray(events.item_number[sorted_rows]))


def _codes(values: Shaped[np.ndarray, "events ..."]) -> Int64[np.ndarray, " events"]:
    """Equal values get equal whole numbers (missing ones, NaN, are equal too)."""
    flat = np.asarray(values).reshape(len(values), int(np.prod(values.shape[1:])))
    if not len(flat):  # numpy can't tell rows apart where there are none
        return np.zeros(0, np.int64)
    if flat.dtype.kind == "f":  # NaN is never equal to itself
        flat = np.nan_to_num(flat, nan=np.inf)
    _, codes = np.unique(flat, axis=0, return_inverse=True)
    return codes.reshape(-1).astype(np.int64)

"""What the users of a batch of requests have had: of the log, live, and as the requests tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32, Int64, Shaped

from antiphon.prepared import Events, rows_between
from antiphon.queries import Queries

__all__ = ["Pasts", "Plays", "pasts_of"]


@dataclass(frozen=True)
class Plays:
    """Plays of some queries' users, in any order.

    Attributes:
        query: whose they are.
        item_number: 0 is nothing.
        timestamp_s: when.
        context: encoded as in schema.py.
    """

    query: Int64[np.ndarray, " plays"]
    item_number: Int32[np.ndarray, " plays"]
    timestamp_s: Int64[np.ndarray, " plays"]
    context: Mapping[str, Shaped[np.ndarray, "plays ..."]]


@dataclass(frozen=True)
class Pasts:
    """Queries, and events in which each has a user of its own: query `q` is user `q + 1`."""

    queries: Queries
    events: Events

    @property
    def owners(self) -> Queries:
        """The queries, whose users are those of the events."""
        owner = np.arange(1, len(self.queries) + 1, dtype=np.int32)
        asked = self.queries
        return Queries(owner, asked.user_key, asked.time_s, asked.context)


def pasts_of(log: Events, queries: Queries, more: Sequence[Plays]) -> Pasts:
    """Put together what is known of each query's user.

    Args:
        log: the training log.
        queries: `user_number` is the log's.
        more: plays besides; of one moment, those of later parts are later.
    """
    users = queries.user_number.astype(np.int64)
    starts, ends = log.starts[users], log.ends[users]
    more = [part for part in more if len(part.query)]
    if not more:
        return Pasts(queries, _seen_by(log, starts, ends))
    rows = rows_between(starts, ends)
    of_log = np.repeat(np.arange(len(users)), ends - starts)
    query = np.concatenate([of_log, *(part.query for part in more)])
    item = np.concatenate([log.item_number[rows], *(part.item_number for part in more)])
    time_s = np.concatenate([log.timestamp_s[rows], *(part.timestamp_s for part in more)])
    context = {
        name: np.concatenate([values[rows], *(part.context[name] for part in more)])
        for name, values in log.context.items()
    }
    order = np.lexsort((time_s, query))
    order = order[item[order] > 0]
    query, item, time_s = query[order], item[order], time_s[order]
    context = {name: values[order] for name, values in context.items()}
    counts = np.bincount(query, minlength=len(users))
    bounds = np.concatenate([[0, 0], np.cumsum(counts)]).astype(np.int64)
    events = Events(
        starts=bounds[:-1],
        ends=bounds[1:],
        item_number=item.astype(np.int32),
        timestamp_s=time_s,
        is_target=np.ones(len(item), bool),
        context=context,
    )
    return Pasts(queries, events)


def _seen_by(
    log: Events, starts: Int64[np.ndarray, " queries"], ends: Int64[np.ndarray, " queries"]
) -> Events:
    """The log's own rows, nothing copied; user 0 has none."""
    none = np.zeros(1, np.int64)
    return Events(
        starts=np.concatenate([none, starts]),
        ends=np.concatenate([none, ends]),
        item_number=log.item_number,
        timestamp_s=log.timestamp_s,
        is_target=log.is_target,
        context=log.context,
    )

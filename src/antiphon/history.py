"""A user's past at a moment: the most recent events, with their context and age.

Training, evaluation and serving all gather histories here, so that they can't differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32, Int64, Shaped

from antiphon.prepared import Events

__all__ = ["AGE_BUCKETS", "History", "age_bucket", "gather_history", "history_before"]

AGE_BUCKETS = 32


@dataclass(frozen=True)
class History:
    """The last events of each query, most recent first.

    Attributes:
        item_number: 0 where the history is shorter than `length`.
        age_bucket: see `age_bucket`; -1 where there is no event.
        context: the context each event happened in, encoded as in schema.py.
    """

    item_number: Int32[np.ndarray, "queries length"]
    age_bucket: Int32[np.ndarray, "queries length"]
    context: Mapping[str, Shaped[np.ndarray, "queries length ..."]]

    def take(self, rows: Int64[np.ndarray, " rows"] | slice) -> History:
        """Those of some queries."""
        return History(
            self.item_number[rows],
            self.age_bucket[rows],
            {name: values[rows] for name, values in self.context.items()},
        )


def age_bucket(age_s: Int64[np.ndarray, "*shape"]) -> Int32[np.ndarray, "*shape"]:
    """Bucket 0 is under a minute; each further bucket is twice as long (31 is 2,000 years)."""
    minutes = np.maximum(age_s, 0) / 60.0
    # frexp's exponent is floor(log2) + 1, exact at the powers of two
    exponent = np.frexp(np.maximum(minutes, 0.5))[1]
    return np.asarray(np.minimum(exponent, AGE_BUCKETS - 1), np.int32)


def gather_history(
    events: Events,
    users: Int64[np.ndarray, " queries"],
    until_s: Int64[np.ndarray, " queries"],
    now_s: Int64[np.ndarray, " queries"],
    length: int,
) -> History:
    """Look up the last `length` events of each user strictly before `until_s`.

    Args:
        events: the events in sight.
        users: user numbers; user 0 has no history.
        until_s: what is at or after this is not known yet.
        now_s: when the query is asked, which ages are counted from.
        length: how many events at most.
    """
    if not events.item_number.size:
        return _nothing(events, len(users), length)
    return history_before(events, users, events.first_at(users, until_s), now_s, length)


def history_before(
    events: Events,
    users: Int64[np.ndarray, " queries"],
    end: Int64[np.ndarray, " queries"],
    now_s: Int64[np.ndarray, " queries"],
    length: int,
) -> History:
    """As `gather_history`, where the row that each history ends before is known already."""
    if not length:
        return _nothing(events, len(users), length)
    rows = end[:, None] - 1 - np.arange(length)
    known = rows >= events.starts[users][:, None]
    rows = np.where(known, rows, 0)
    ages = age_bucket(now_s[:, None] - events.timestamp_s[rows])
    return History(
        item_number=np.where(known, events.item_number[rows], 0).astype(np.int32),
        age_bucket=np.where(known, ages, -1).astype(np.int32),
        context={name: np.asarray(values[rows]) for name, values in events.context.items()},
    )


def _nothing(events: Events, queries: int, length: int) -> History:
    shape = (queries, length)
    return History(
        np.zeros(shape, np.int32),
        np.full(shape, -1, np.int32),
        {
            name: np.zeros(shape + values.shape[1:], values.dtype)
            for name, values in events.context.items()
        },
    )

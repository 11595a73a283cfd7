"""Everything a user has had, item by item: what came before an event of the same item.

Rows of a user's events, sorted by (item, time), stand beside the rows themselves, which are sorted
by time. So the plays of an item up to a moment are a run of neighbours, found without a search.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int, Int32, Int64, Shaped

from antiphon.orders import by_item
from antiphon.prepared import Events

__all__ = ["PLAYS", "Library", "Plays"]

PLAYS = 4
"""How many of the last plays of an item are looked at one by one; of all others only the number."""


@dataclass(frozen=True)
class Plays:
    """A user's plays of an item up to a moment, most recent first.

    Attributes:
        age_h: hours between a play and the moment.
        known: whether there is such a play.
        count: how many plays there are in all.
        context: the context of each play, encoded as in schema.py.
    """

    age_h: Float32[np.ndarray, "pairs plays"]
    known: Bool[np.ndarray, "pairs plays"]
    count: Int32[np.ndarray, " pairs"]
    context: dict[str, Shaped[np.ndarray, "pairs plays ..."]]

    def take(self, pairs: Int64[np.ndarray, " some"]) -> Plays:
        """Those of some pairs."""
        return Plays(
            self.age_h[pairs],
            self.known[pairs],
            self.count[pairs],
            {name: values[pairs] for name, values in self.context.items()},
        )

    def in_shape(self, shape: tuple[int, ...]) -> dict[str, Any]:
        """The fields by name, their pairs in another shape."""
        return {
            "age_h": self.age_h.reshape(*shape, -1),
            "known": self.known.reshape(*shape, -1),
            "count": self.count.reshape(shape),
            "context": {n: v.reshape(*shape, *v.shape[1:]) for n, v in self.context.items()},
        }


@dataclass(frozen=True)
class Library:
    """Of each event row, where it stands among its user's plays of the same item.

    Attributes:
        events: the events; `before` may hide some, which are looked past.
        by_item: rows, user by user, sorted by (item, time).
        place: where in `by_item` each row stands.
        earlier: how many earlier plays the same user has of the same item.
    """

    events: Events
    by_item: Int[np.ndarray, " events"]
    place: Int[np.ndarray, " events"]
    earlier: Int32[np.ndarray, " events"]

    @classmethod
    def of(cls, events: Events) -> Library:
        """The library of a log's users."""
        order = by_item(events)
        return cls(events, order.row, order.place, order.earlier)

    def is_last(
        self, rows: Int64[np.ndarray, " rows"], end: Int64[np.ndarray, " rows"]
    ) -> Bool[np.ndarray, " rows"]:
        """Whether a row before row `end` is its user's last play, before that, of its item."""
        after = self.place[rows].astype(np.int64) + 1
        following = self.by_item[np.minimum(after, len(self.by_item) - 1)]
        again = (after < len(self.by_item)) & (self.earlier[following] > 0)
        return ~(again & (following < end))

    def latest(
        self, rows: Int64[np.ndarray, " pairs"], end: Int64[np.ndarray, " pairs"]
    ) -> tuple[Int64[np.ndarray, " pairs"], Bool[np.ndarray, " pairs"]]:
        """The last play, before row `end`, of the item of each row by the same user.

        Returns:
            Rows, and whether there is one.
        """
        at = self.place[rows].astype(np.int64)
        earlier = self.earlier[rows].astype(np.int64)
        is_before = rows < end
        # the last place of the run whose row is before the end: `low` is, `high` isn't
        low = np.where(is_before, at, at - earlier - 1)
        high = np.where(is_before, len(self.by_item), at)
        # most plays have few later ones: on by steps that double
        step, on = 1, np.flatnonzero(is_before)
        while len(on):
            further = self._is_before(at[on] + step, earlier[on] + step, end[on])
            low[on[further]] = at[on[further]] + step
            high[on[~further]] = at[on[~further]] + step
            step, on = 2 * step, on[further]
        between = np.flatnonzero(high - low > 1)
        while len(between):
            middle = (low[between] + high[between]) // 2
            beyond = middle - at[between]
            before = self._is_before(middle, earlier[between] + beyond, end[between])
            low[between[before]] = middle[before]
            high[between[~before]] = middle[~before]
            between = between[high[between] - low[between] > 1]
        known = low >= at - earlier
        return self.by_item[np.where(known, low, at - earlier)].astype(np.int64), known

    def _is_before(
        self,
        places: Int64[np.ndarray, " some"],
        earlier: Int64[np.ndarray, " some"],
        end: Int64[np.ndarray, " some"],
    ) -> Bool[np.ndarray, " some"]:
        """Whether a play stands there that has so many earlier ones, before row `end`."""
        rows = self.by_item[np.minimum(places, len(self.by_item) - 1)]
        # the next item's plays are fewer: as many earlier ones has none but the same item's
        there = (places < len(self.by_item)) & (self.earlier[rows] == earlier)
        return there & (rows < end)

    def plays(
        self,
        rows: Int64[np.ndarray, " pairs"],
        known: Bool[np.ndarray, " pairs"],
        now_s: Int64[np.ndarray, " pairs"],
    ) -> Plays:
        """The plays that end in each row.

        Args:
            rows: the last play of each pair of a user and an item.
            known: pairs that aren't known get no plays.
            now_s: the moment of each pair.
        """
        count = np.where(known, self.earlier[rows] + 1, 0)
        back = np.arange(PLAYS)
        there = back < count[:, None]
        played = self.by_item[np.where(there, self.place[rows][:, None] - back, 0)]
        ages_s = np.where(there, now_s[:, None] - self.events.timestamp_s[played], 0)
        return Plays(
            age_h=(ages_s / 3600).astype(np.float32),
            known=there,
            count=count.astype(np.int32),
            context={name: np.asarray(v[played]) for name, v in self.events.context.items()},
        )

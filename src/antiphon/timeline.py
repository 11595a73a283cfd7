"""The events in sight in the order of time."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
from jaxtyping import Int, Int64

from antiphon.prepared import Events

__all__ = ["Timeline"]


class Timeline:
    """Rows of events, by their time.

    Attributes:
        rows: of the events in sight, earliest first; those of one second as they stand.
    """

    rows: Int[np.ndarray, " events"]

    def __init__(self, events: Events) -> None:
        self._timestamp_s = events.timestamp_s
        rows = events.rows()
        times_s = np.asarray(events.timestamp_s[rows])
        first_s = int(times_s.min(initial=0))
        bits = int(max(len(events.item_number), 1)).bit_length()
        if (int(times_s.max(initial=0)) - first_s).bit_length() + bits <= 63:
            # one sort of whole numbers, many times as fast as that of an index
            keys = (times_s - first_s) << bits
            keys |= rows
            keys.sort()
            keys &= (1 << bits) - 1
            rows = keys
        else:
            rows = rows[np.argsort(times_s, kind="stable")]
        self.rows = rows.astype(np.int32) if bits < 32 else rows

    def time_s(self, place: int) -> int:
        """When the event at a place was."""
        return int(self._timestamp_s[self.rows[place]])

    def times_s(self, places: slice | Int[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        """When the events at some places were."""
        return np.asarray(self._timestamp_s[self.rows[places]])

    def first_at(self, time_s: int) -> int:
        """The place of the first event at or after a time."""
        return bisect_left(range(len(self.rows)), time_s, key=self.time_s)

"""How much each item is played lately, as of a moment: never from the future.

Counts decay with several half-lives, and one doesn't at all; their logarithms are dimensions of
candidate embeddings, whose weights the query tower chooses under the context.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Int32, Int64

from antiphon.prepared import Events

__all__ = ["Trend"]

# a count below this is as good as none
FLOOR = 0.1
ROWS_AT_ONCE = 1 << 20


class Trend:
    """Decayed counts of every item, brought forward from moment to moment.

    Args:
        items: item numbers are below this.
        half_lives_s: of the counts, besides the one that doesn't decay.
    """

    def __init__(self, items: int, half_lives_s: Sequence[float]) -> None:
        self._half_lives_s = np.array([*half_lives_s, np.inf])
        self._counts = np.zeros((items, len(self._half_lives_s)), np.float32)
        self._time_s = np.zeros(items, np.int64)

    @property
    def width(self) -> int:
        """Columns of `at`."""
        return len(self._half_lives_s)

    def add(self, items: Int32[np.ndarray, " plays"], times_s: Int64[np.ndarray, " plays"]) -> None:
        """Count plays, which are no earlier than any counted before."""
        if not len(items):
            return
        now_s = times_s.max()
        touched, place = np.unique(items, return_inverse=True)
        decayed = self._counts[touched] * self._decay(now_s - self._time_s[touched])
        plays = self._decay(now_s - times_s)
        # column by column: several times as fast as numpy.add.at on rows
        for column in range(self.width):
            decayed[:, column] += np.bincount(place, plays[:, column])
        self._counts[touched], self._time_s[touched] = decayed, now_s

    def at(
        self, items: Int32[np.ndarray, " items"], now_s: int
    ) -> Float32[np.ndarray, "items trend"]:
        """log(1 + decayed count / 0.1) of items at a moment, one column a half-life."""
        counts = self._counts[items] * self._decay(now_s - self._time_s[items])
        return np.log1p(counts / np.float32(FLOOR))

    @classmethod
    def as_of(cls, events: Events, items: int, half_lives_s: Sequence[float], now_s: int) -> Trend:
        """What the events in sight, all before a moment, have come to by then."""
        trend = cls(items, half_lives_s)
        trend._time_s[:] = now_s
        rows = events.rows()
        for start in range(0, len(rows), ROWS_AT_ONCE):
            some = rows[start : start + ROWS_AT_ONCE]
            ages_s = now_s - events.timestamp_s[some]
            np.add.at(trend._counts, events.item_number[some], trend._decay(ages_s))
        return trend

    def _decay(self, ages_s: Int64[np.ndarray, " n"]) -> Float32[np.ndarray, "n trend"]:
        return np.exp2(-ages_s[:, None] / self._half_lives_s).astype(np.float32)

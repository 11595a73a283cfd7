"""How much each item is played lately, as of a moment: never from the future.

Counts decay with several half-lives, and one doesn't at all; their logarithms are dimensions of
candidate embeddings, whose weights the query tower chooses under the context.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Int, Int64

from antiphon.prepared import Events

__all__ = ["Trend"]

# a count below this is as good as none
FLOOR = 0.1
ROWS_AT_ONCE = 1 << 20
# of the shortest half-lives: 2 to the power of this, times any count, is a float32
REACH = 60.0


class Trend:
    """Decayed counts of every item, brought forward from moment to moment.

    A count is kept as it would be at a moment further back, where a play weighs more the later it
    is: so time goes by without a touch to what isn't played, until numbers become too large and
    all counts move to a later moment at once.

    Args:
        items: item numbers are below this.
        half_lives_s: of the counts, besides the one that doesn't decay.
    """

    def __init__(self, items: int, half_lives_s: Sequence[float]) -> None:
        self._half_lives_s = np.array([*half_lives_s, np.inf])
        self._counts = np.zeros((len(self._half_lives_s), items), np.float32)
        self._kept_at_s: int | None = None

    @property
    def width(self) -> int:
        """Columns of `at`."""
        return len(self._half_lives_s)

    def add(self, items: Int[np.ndarray, " plays"], times_s: Int64[np.ndarray, " plays"]) -> None:
        """Count plays, which are no earlier than any counted before."""
        if len(items):
            self._keep_at(int(times_s.max()))
            self._count(items, times_s)

    def at(
        self, items: Int[np.ndarray, " items"], now_s: int
    ) -> Float32[np.ndarray, "items trend"]:
        """log(1 + decayed count / 0.1) of items at a moment, one column a half-life."""
        since_s = 0 if self._kept_at_s is None else now_s - self._kept_at_s
        share = np.exp2(-since_s / self._half_lives_s) / FLOOR
        counts = np.stack([of_all[items] for of_all in self._counts], axis=1)
        return np.log1p(counts * share.astype(np.float32))

    @classmethod
    def as_of(cls, events: Events, items: int, half_lives_s: Sequence[float], now_s: int) -> Trend:
        """What the events in sight, all before a moment, have come to by then."""
        trend = cls(items, half_lives_s)
        trend._kept_at_s = now_s
        for some in events.row_blocks(ROWS_AT_ONCE):
            trend._count(events.item_number[some], events.timestamp_s[some])
        return trend

    def _keep_at(self, latest_s: int) -> None:
        if self._kept_at_s is None:
            self._kept_at_s = latest_s
        since_s = latest_s - self._kept_at_s
        if since_s > REACH * self._half_lives_s.min():
            self._counts *= np.exp2(-since_s / self._half_lives_s)[:, None].astype(np.float32)
            self._kept_at_s = latest_s

    def _count(
        self, items: Int[np.ndarray, " plays"], times_s: Int64[np.ndarray, " plays"]
    ) -> None:
        places = items.astype(np.intp)
        for counts, half_life_s in zip(self._counts, self._half_lives_s, strict=True):
            if np.isinf(half_life_s):
                weight = np.ones(len(places), np.float32)
            else:
                weight = np.exp2((times_s - self._kept_at_s) / half_life_s).astype(np.float32)
            np.add.at(counts, places, weight)

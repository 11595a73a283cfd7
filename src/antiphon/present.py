"""The moment at which a training batch asks: what was popular then, and who played what next.

Moments sweep through the log as steps go by, so that what is known of a moment is brought forward
from the one before, at a cost that the events between them set and not the catalogue. An epoch is
several sweeps, each at moments of its own: in one alone, neighbouring batches would be much alike.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float64, Int32, Int64

from antiphon.prepared import Events
from antiphon.timeline import Timeline
from antiphon.trend import Kinds, Trend

__all__ = ["Present"]

SWEEPS = 8
STEPS_OF_A_SWEEP = 4
"""At least; where an epoch has few steps it has fewer sweeps."""


class Present:
    """The present of each step, and the window of time that follows it.

    Args:
        events: the events in sight.
        items: item numbers are below this.
        horizon_s: length of the window.
        steps: in an epoch, whose windows cover the log evenly.
        kinds: of trends.
    """

    def __init__(
        self,
        events: Events,
        items: int,
        horizon_s: int,
        steps: int,
        kinds: Kinds,
    ) -> None:
        self.events, self.items, self.kinds = events, items, kinds
        self.horizon_s = max(horizon_s, 1)
        self.steps = steps
        self.timeline = Timeline(events)
        self._begin_s, self._end_s = (int(self.timeline.timestamp_s[place]) for place in (0, -1))
        # a step's window is asked for when it is sampled, and again when it is gone to
        self._places = lru_cache(maxsize=2)(self._find_places)
        self._sweeps = max(1, min(SWEEPS, steps // STEPS_OF_A_SWEEP))
        self._step = -1
        self._begin()

    def moment_s(self, step: int) -> int:
        """When a step asks: so that windows cover the log evenly, the last one ends with it."""
        sweep, begin = self._sweep(step)
        reached = (step - begin) * self._sweeps / self.steps + (sweep + 0.5) / self.steps
        place = min(int(reached * len(self.timeline.rows)), len(self.timeline.rows) - 1)
        middle_s = int(self.timeline.timestamp_s[place])
        latest_s = max(self._begin_s, self._end_s + 1 - self.horizon_s)
        return max(self._begin_s, min(middle_s - self.horizon_s // 2, latest_s))

    def advance_to(self, step: int) -> None:
        """Go to the moment of a step.

        Whatever step came before, sums are made in the same order, and so are the same.
        """
        begin = self._sweep(step)[1]
        if not begin <= self._step <= step:
            self._begin()
            self._step = begin - 1
        for between in range(self._step + 1, step + 1):
            self._advance(self.moment_s(between))
        self._step = step

    def _sweep(self, step: int) -> tuple[int, int]:
        """Which sweep of its epoch a step is in, and the step at which that begins."""
        epoch, place = divmod(step, self.steps)
        sweep = place * self._sweeps // self.steps
        return sweep, epoch * self.steps - (-sweep * self.steps // self._sweeps)

    def sample_window(
        self, now_s: int, number: int, rng: np.random.Generator
    ) -> Int64[np.ndarray, " number"]:
        """Rows of events in the window after a moment: all alike, spread over its time."""
        first, last = self._places(now_s)
        span = last - first
        place = (np.arange(number) + rng.random(number)) / number
        return self.timeline.rows[first + (place * span).astype(np.int64)].astype(np.int64)

    def window_share(self, items: Int32[np.ndarray, " items"]) -> Float64[np.ndarray, " items"]:
        """What share of the events in the window of the step gone to is of each item."""
        return np.asarray(self._window[items] / (self._last - self._first))

    def _begin(self) -> None:
        self.trend = Trend(self.items, self.kinds)
        self._window = np.zeros(self.items, np.int32)
        self._first = self._last = 0

    def _advance(self, now_s: int) -> None:
        first, last = self._places(now_s)
        # numpy adds in place many times as fast where no type needs converting
        one = np.int32(1)
        np.add.at(self._window, self._items(self._last, last), one)
        gone = slice(self._first, first)
        leaving = self._items(self._first, first)
        np.subtract.at(self._window, leaving, one)
        rows = self.timeline.rows[gone]
        context = {name: self.events.context[name][rows] for name in self.kinds.values}
        self.trend.add(leaving, self.timeline.timestamp_s[gone], context)
        self._first, self._last = first, last

    def _find_places(self, now_s: int) -> tuple[int, int]:
        """Where in the timeline the window after a moment begins and ends."""
        return self.timeline.first_at(now_s), self.timeline.first_at(now_s + self.horizon_s)

    def _items(self, first: int, last: int) -> Int64[np.ndarray, " rows"]:
        return self.timeline.item_number[first:last].astype(np.int64)

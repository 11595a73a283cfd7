"""The events in sight in the order of time."""

from __future__ import annotations

import numpy as np

from antiphon.orders import by_time
from antiphon.prepared import Events

__all__ = ["Timeline"]


class Timeline:
    """Events by their time, as far as they are in sight.

    Args:
        events: all of a log, or those `before` a moment: in this order the first ones.

    Attributes:
        rows: of the events, earliest first; those of one second as they stand.
        item_number: of the same events.
        timestamp_s: of the same events.
    """

    def __init__(self, events: Events) -> None:
        order, count = by_time(events), events.count
        self.rows = order.row[:count]
        self.item_number = order.item_number[:count]
        self.timestamp_s = order.timestamp_s[:count]

    def first_at(self, time_s: int) -> int:
        """The place of the first event at or after a time."""
        return int(np.searchsorted(self.timestamp_s, time_s))

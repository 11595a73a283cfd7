"""The present: the moment at which a user is asked about, or said to have played, by default."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Int64

from antiphon.schema import Schema

__all__ = ["Clock", "presents_s"]

Clock = Callable[[], int]
"""Seconds on the log's clock."""


def presents_s(
    schema: Schema,
    clock: Clock | None,
    users: int,
    owner: Int64[np.ndarray, " plays"],
    timestamp_s: Int64[np.ndarray, " plays"],
) -> Int64[np.ndarray, " users"]:
    """The present of each of so many users: after all that is known of them, and of the log.

    It doesn't follow what others did: one event with a wrong time would make all histories old.

    Args:
        schema: of the log.
        clock: if there is one, the present is no earlier than it says.
        users: how many.
        owner: which user each live play is of.
        timestamp_s: when it was.
    """
    log_s = schema.held_out_start_s if clock is None else max(schema.held_out_start_s, clock())
    presents = np.full(users, log_s, np.int64)
    np.maximum.at(presents, owner, timestamp_s + 1)
    return presents

"""What a query's user has had before, as negatives of their own.

The items of the history that the query sees all take part. Of the older rest of the library some
plays are drawn, each standing for its item, and how often an item is to be expected among them is
known: so the sum over the whole library is estimated without bias, whatever its length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Int32, Int64

from antiphon.library import Library

__all__ = ["OwnNegatives", "draw_own_negatives"]


@dataclass(frozen=True)
class OwnNegatives:
    """The own negatives of a batch.

    Attributes:
        older: items drawn from beyond the history; 0 for none.
        log_expected_count: of the history's items and the older ones, in this order; inf where
            there is none, or where the item stands there already.
        plays: the fields of `library.Plays`, [queries, own + targets, ...]: of the same items and
            then of the targets, which may have been played before too.
    """

    older: Int32[np.ndarray, "queries older"]
    log_expected_count: Float32[np.ndarray, "queries own"]
    plays: dict[str, Any]


def draw_own_negatives(
    library: Library,
    users: Int64[np.ndarray, " queries"],
    end: Int64[np.ndarray, " queries"],
    targets: Int64[np.ndarray, "queries targets"],
    asked_s: Int64[np.ndarray, " queries"],
    lengths: tuple[int, int],
    rng: np.random.Generator,
) -> OwnNegatives:
    """For users whose histories end before row `end`, and the rows of their targets.

    Args:
        library: of the events in sight.
        users: user numbers.
        end: rows.
        targets: rows.
        asked_s: when each query is asked, after all that is before `end`.
        lengths: of the history, and how many plays to draw beyond it.
        rng: draws them.
    """
    length, number = lengths
    start = library.events.starts[users]
    seen = np.maximum(end - length, start)
    recent = end[:, None] - 1 - np.arange(length)
    older = _spread(start, seen, number, rng)
    rows = np.concatenate([recent, older], axis=1)
    old = np.arange(length + number) >= length
    there = (rows >= start[:, None]) & (~old | (rows < seen[:, None]))
    rows = np.where(there, rows, start[:, None])
    last = _latest(library, rows, end)[0]
    # in the history, and where all older plays are taken, an item stands at its last play only
    whole = (seen - start <= number)[:, None]
    there &= np.where(old, last < seen[:, None], True) & ((last == rows) | (old & ~whole))
    times = number / np.maximum(seen - start, 1)[:, None] * (library.earlier[last] + 1)
    log_expected = np.log(np.where(old & ~whole, times, 1.0))
    of_target, known = _latest(library, targets, end)
    both = np.concatenate([last, of_target], axis=1)
    plays = library.plays(
        both.ravel(),
        np.concatenate([there, known], axis=1).ravel(),
        np.repeat(asked_s, both.shape[1]),
    )
    older_items = library.events.item_number[last[:, length:]]
    return OwnNegatives(
        older=np.where(there[:, length:], older_items, 0).astype(np.int32),
        log_expected_count=np.where(there, log_expected, np.inf).astype(np.float32),
        plays=plays.in_shape(both.shape),
    )


def _spread(
    start: Int64[np.ndarray, " queries"],
    seen: Int64[np.ndarray, " queries"],
    number: int,
    rng: np.random.Generator,
) -> Int64[np.ndarray, "queries number"]:
    """Rows of [start, seen): all and others beyond where they are few, else some, spread evenly."""
    span = (seen - start)[:, None]
    place = (np.arange(number) + rng.random((len(span), number))) / max(number, 1)
    return start[:, None] + np.where(
        span > number, (place * span).astype(np.int64), np.arange(number)
    )


def _latest(
    library: Library, rows: Int64[np.ndarray, "queries n"], end: Int64[np.ndarray, " queries"]
) -> tuple[np.ndarray, np.ndarray]:
    last, known = library.latest(rows.ravel(), np.repeat(end, rows.shape[1]))
    return last.reshape(rows.shape), known.reshape(rows.shape)

"""Many binary searches at once, each within its own stretch of one array."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Int64, Shaped

__all__ = ["search_between"]


def search_between(
    values: Shaped[np.ndarray, " values"],
    wanted: Shaped[np.ndarray, " searches"],
    low: Int64[np.ndarray, " searches"],
    high: Int64[np.ndarray, " searches"],
    side: Literal["left", "right"] = "left",
) -> Int64[np.ndarray, " searches"]:
    """Where each wanted value belongs in its stretch `values[low:high]`; see `numpy.searchsorted`.

    Args:
        values: ascending within each stretch; not empty where a stretch isn't.
        wanted: what is searched for.
        low: where each stretch begins, counted from the array's start as the answers are.
        high: where each one ends.
        side: before equal values, or after them.
    """
    is_before = np.less if side == "left" else np.less_equal
    found = low.copy()
    longest = max(0, int((high - low).max(initial=0)))
    # so many values of each stretch are passed; by how many more, bit by bit
    for bit in reversed(range(longest.bit_length())):
        probe = found + ((1 << bit) - 1)
        passed = is_before(values.take(probe, mode="clip"), wanted)
        passed &= probe < high
        np.add(found, 1 << bit, out=found, where=passed)
    return found

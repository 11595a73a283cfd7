"""Sampled negatives: items drawn by a power of how often they were played."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int, Int32, Int64

__all__ = ["Negatives"]

UNPLAYED = 0.5
"""Plays that every item is taken to have on top of its own."""
BLOCK = 4
CHUNK_ITEMS = 1 << 20


class Negatives:
    """Draws items by (count + 0.5) ** power.

    What was never played must learn not to be listed, too.

    The corpus may have ten million items, so weights are summed by blocks of a few neighbours: a
    block is found by a binary search, and the item in it by its neighbours' weights.

    Args:
        counts: plays of each item number; number 0 is no item and never drawn.
        power: 0 draws all items alike, 1 by their plays.
    """

    def __init__(self, counts: Int64[np.ndarray, " items"], power: float) -> None:
        self._counts = counts
        self._power = power
        chunks = (
            np.arange(start, min(start + CHUNK_ITEMS, len(counts)))
            for start in range(0, len(counts), CHUNK_ITEMS)
        )
        sums = [np.add.reduceat(self._weight(c), np.arange(0, len(c), BLOCK)) for c in chunks]
        self._reached = np.cumsum(np.concatenate([np.zeros(1), *sums]))

    def draw(self, number: int, rng: np.random.Generator) -> Int32[np.ndarray, " number"]:
        """Item numbers, with replacement; in ascending order, which memory is read fastest in."""
        drawn = np.sort(rng.random(number)) * self._reached[-1]
        block = np.searchsorted(self._reached, drawn, side="right") - 1
        block = np.minimum(block, len(self._reached) - 2)
        first = block * BLOCK
        items = first[:, None] + np.arange(BLOCK)
        there = items < len(self._counts)
        weight = self._weight(np.where(there, items, 0))
        passed = np.cumsum(weight, axis=1) <= (drawn - self._reached[block])[:, None]
        # sums of a block may differ in the last bit from sums of all before it
        place = np.minimum(passed.sum(axis=1), there.sum(axis=1) - 1)
        return np.asarray(first + place, np.int32)

    def share(self, items: Int[np.ndarray, " items"]) -> Float64[np.ndarray, " items"]:
        """The probability of each item in one draw."""
        return self._weight(items) / self._reached[-1]

    def _weight(self, items: Int[np.ndarray, "*shape"]) -> Float64[np.ndarray, "*shape"]:
        return np.where(items > 0, (self._counts[items] + UNPLAYED) ** self._power, 0.0)

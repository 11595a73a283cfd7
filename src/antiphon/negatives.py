"""Sampled negatives: items drawn by a power of how often they were played."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int, Int32

from antiphon.brackets import search_between

__all__ = ["Negatives"]

UNPLAYED = 0.5
"""Plays that every item is taken to have on top of its own."""
BLOCK = 8
CHUNK_ITEMS = 1 << 20
FEW = 4096
"""Plays below which an item's weight is looked up."""


class Negatives:
    """Draws items by (count + 0.5) ** power.

    What was never played must learn not to be listed, too.

    The corpus may have ten million items, so weights are summed by blocks of a few neighbours: a
    guide table tells where a block is to be searched for (Chen and Asau 1974, "On generating random
    variates from an empirical distribution"), and the item in it is found by its neighbours'
    weights.

    Args:
        counts: plays of each item number; number 0 is no item and never drawn.
        power: 0 draws all items alike, 1 by their plays.
    """

    def __init__(self, counts: Int[np.ndarray, " items"], power: float) -> None:
        self._counts = counts
        self._power = power
        self._weight_of_few = (np.arange(FEW) + UNPLAYED) ** power
        chunks = (
            np.arange(start, min(start + CHUNK_ITEMS, len(counts)))
            for start in range(0, len(counts), CHUNK_ITEMS)
        )
        sums = [np.add.reduceat(self._weight(c), np.arange(0, len(c), BLOCK)) for c in chunks]
        self._reached = np.cumsum(np.concatenate([np.zeros(1), *sums]))
        self._blocks = len(self._reached) - 1
        # of each of as many equal shares of the sum as there are blocks: the block it begins in
        shares = np.arange(self._blocks + 1) * (self._reached[-1] / self._blocks)
        self._guide = np.searchsorted(self._reached, shares, side="right").astype(np.int32)

    def draw(self, number: int, rng: np.random.Generator) -> Int32[np.ndarray, " number"]:
        """Item numbers, with replacement; in ascending order, which memory is read fastest in."""
        uniform = np.sort(rng.random(number))
        drawn = uniform * self._reached[-1]
        share = np.minimum((uniform * self._blocks).astype(np.int64), self._blocks - 1)
        low, high = self._guide[share].astype(np.int64), self._guide[share + 1].astype(np.int64)
        block = search_between(self._reached, drawn, low, high, side="right") - 1
        block = np.minimum(block, self._blocks - 1)
        first = block * BLOCK
        # a row for each place in the blocks: numpy is fast along long rows
        items = first + np.arange(BLOCK)[:, None]
        weight = self._weight(np.where(items < len(self._counts), items, 0))
        passed = np.cumsum(weight, axis=0) <= drawn - self._reached[block]
        # sums of a block may differ in the last bit from sums of all before it
        place = np.minimum(passed.sum(axis=0, dtype=np.int8), BLOCK - 1)
        return np.minimum(first + place, len(self._counts) - 1).astype(np.int32)

    def share(self, items: Int[np.ndarray, " items"]) -> Float64[np.ndarray, " items"]:
        """The probability of each item in one draw."""
        return self._weight(items) / self._reached[-1]

    def _weight(self, items: Int[np.ndarray, "*shape"]) -> Float64[np.ndarray, "*shape"]:
        counts = self._counts[items]
        # looking a power up takes less time than making it
        weight = self._weight_of_few.take(counts, mode="clip")
        many = counts >= FEW
        if many.any():
            weight[many] = (counts[many] + UNPLAYED) ** self._power
        return np.where(items > 0, weight, 0.0)

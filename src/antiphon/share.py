"""Which part of each batch is made here: one of several equal ones, of several processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int32, Shaped

__all__ = ["WHOLE", "Share", "uniform"]


@dataclass(frozen=True)
class Share:
    """The part `number` of `count`, from 0."""

    number: int = 0
    count: int = 1

    def of(self, whole: Shaped[np.ndarray, "whole ..."]) -> Shaped[np.ndarray, "part ..."]:
        """This part of something that has a row for each query, or negative, of a batch."""
        size = len(whole) // self.count
        return whole[self.number * size : (self.number + 1) * size]

    def draws(self, rng: np.random.Generator) -> np.random.Generator:
        """Draws for this part what `rng` would have drawn for it as a part of the whole."""
        return rng if self.count == 1 else _Draws(rng, self)


WHOLE = Share()


class _Draws(np.random.Generator):
    def __init__(self, rng: np.random.Generator, share: Share) -> None:
        super().__init__(rng.bit_generator)
        self._share = share

    def random(self, size: Any = None, *_: Any, **__: Any) -> Any:
        """As many as for all parts are drawn, so that those after them are the same for all."""
        rows, *rest = size if isinstance(size, tuple) else (size,)
        return self._share.of(super().random((rows * self._share.count, *rest)))


def uniform(
    numbers: Int32[np.ndarray, " numbers"], seed: np.random.SeedSequence
) -> Float64[np.ndarray, " numbers"]:
    """A draw from [0, 1) that a number has wherever it is asked for.

    The mixing function is SplitMix64's (Steele, Lea and Flood 2014, "Fast splittable pseudorandom
    number generators").
    """
    mixed = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed += seed.generate_state(1, np.uint64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return np.asarray((mixed >> np.uint64(11)) * 2.0**-53)

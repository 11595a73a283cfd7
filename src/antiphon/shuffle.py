"""A global shuffle without a permutation in memory.

A Feistel network is a bijection on 2^2b numbers whatever its round function; numbers that land
outside the range are sent round again ("cycle walking": Black and Rogaway, 2002, "Ciphers with
arbitrary finite domains").
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64, UInt64

__all__ = ["shuffled"]

ROUNDS = 4


def shuffled(index: Int64[np.ndarray, " n"], size: int, seed: int) -> Int64[np.ndarray, " n"]:
    """Where a shuffle of `range(size)` puts each index.

    Args:
        index: numbers in [0, size).
        size: length of the range, at most 2**62.
        seed: chooses the shuffle.
    """
    half_bits = max(1, (int(size - 1).bit_length() + 1) // 2)
    keys = np.random.Generator(np.random.Philox(key=seed)).integers(
        0, 2**63, ROUNDS, dtype=np.uint64
    )
    values = _feistel(index.astype(np.uint64), half_bits, keys)
    while (outside := values >= size).any():
        values[outside] = _feistel(values[outside], half_bits, keys)
    return values.astype(np.int64)


def _feistel(values: np.ndarray, half_bits: int, keys: np.ndarray) -> np.ndarray:
    bits, mask = np.uint64(half_bits), np.uint64(2**half_bits - 1)
    left, right = values >> bits, values & mask
    for key in keys:
        left, right = right, left ^ (_mix(right ^ key) & mask)
    return np.asarray((left << bits) | right)


def _mix(values: UInt64[np.ndarray, " n"]) -> UInt64[np.ndarray, " n"]:
    """A round function: two multiply-xorshift steps (constants of MurmurHash3's finaliser)."""
    values = (values ^ (values >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    values = (values ^ (values >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return np.asarray(values ^ (values >> np.uint64(33)))

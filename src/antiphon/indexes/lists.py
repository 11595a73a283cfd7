"""Lists of item numbers and scores: made from likely candidates, joined, shortened.

Scores are made in double precision, by a sum whose order doesn't depend on how many there are, as
in `scan`: every engine gives an item the same score, and equals tie exactly.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Int32

from antiphon.best_first import NOTHING, keys_of, read_keys
from antiphon.scan import TopK

__all__ = ["SPARE", "best", "empty_lists", "merge_top_k", "score"]

SPARE = 20
"""A rough search brings twice k and so many more, which are scored again."""

# of different lengths, so their annotations name none
Lists = tuple[Int32[np.ndarray, "queries _"], Float32[np.ndarray, "queries _"]]


def score(
    rows: Float32[np.ndarray, "*queries items width"],
    query: Float32[np.ndarray, "*queries width"],
) -> Float32[np.ndarray, "*queries items"]:
    """The inner product of each row and its query."""
    return (rows * query[..., None, :].astype(np.float64)).sum(axis=-1).astype(np.float32)


def best(
    numbers: Int32[np.ndarray, " items"], scores: Float32[np.ndarray, " items"], k: int
) -> tuple[Int32[np.ndarray, " best"], Float32[np.ndarray, " best"]]:
    """The k best of some items, best first, equal ones by number."""
    order = np.lexsort((numbers, -scores))[:k]
    return numbers[order], scores[order]


def empty_lists(queries: int, k: int) -> TopK:
    """Lists that nothing stands in."""
    return np.zeros((queries, k), np.int32), np.full((queries, k), -np.inf, np.float32)


def merge_top_k(parts: Sequence[Lists], k: int) -> TopK:
    """The k best of several lists of the same queries, no item of which stands in two.

    Args:
        parts: numbers and scores, of any lengths, not necessarily in order; number 0 is no item.
        k: length of the lists.

    Returns:
        Item numbers, best first, and scores, as `Index.top_k` does.
    """
    keys = np.concatenate([keys_of(*part) for part in parts], axis=1)
    keys.sort(axis=1)
    if keys.shape[1] < k:
        keys = np.pad(keys, ((0, 0), (0, k - keys.shape[1])), constant_values=NOTHING)
    return read_keys(keys[:, :k])

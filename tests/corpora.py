"""Small corpora to search, and what every index must find in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from antiphon.exclusions import Exclusions
from antiphon.indexes import Filter, TopK


def embeddings(seed: int, count: int, width: int = 8) -> np.ndarray:
    """Like a model's: a direction, and two coordinates in other units."""
    random = np.random.default_rng(seed)
    rows = random.normal(size=(count, width)).astype(np.float32)
    rows[:, :-2] /= np.linalg.norm(rows[:, :-2], axis=1, keepdims=True)
    rows[:, -2:] *= 3
    return rows


def queries_like(seed: int, count: int, width: int = 8) -> np.ndarray:
    random = np.random.default_rng(seed)
    rows = 4 * embeddings(seed, count, width)
    rows[:, -2:] = random.uniform(0, 0.5, (count, 2))
    return rows


def exclusions(rows: Sequence[Sequence[int]]) -> Exclusions:
    offsets = np.cumsum([0] + [len(row) for row in rows]).astype(np.int64)
    return Exclusions(offsets, np.array([i for row in rows for i in row], np.int32))


def right(
    queries: np.ndarray,
    candidates: np.ndarray,
    k: int,
    exclude: Exclusions | None = None,
    among: Filter | None = None,
) -> TopK:
    """Everything scored and sorted, by the plainest means."""
    mask = np.ones(len(candidates), bool) if among is None else among.mask(len(candidates) - 1)
    mask[0] = False
    numbers = np.zeros((len(queries), k), np.int32)
    scores = np.full((len(queries), k), -np.inf, np.float32)
    for row, query in enumerate(queries.astype(np.float64)):
        out = exclude.item_number[slice(*exclude.offsets[row : row + 2])] if exclude else []
        items = np.setdiff1d(np.flatnonzero(mask), out)
        found = (candidates[items] * query).sum(axis=1).astype(np.float32)
        order = np.lexsort((items, -found))[:k]
        numbers[row, : len(order)], scores[row, : len(order)] = items[order], found[order]
    return numbers, scores


def same(found: TopK, expected: TopK) -> None:
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])

"""The best k of each row."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from antiphon.baselines.lists import DenseScores, SparseScores, best, top


@given(
    st.integers(0, 10_000),
    st.sampled_from([0, 1, 30, 500, 9000]),
    st.sampled_from([1, 10, 100]),
    st.sampled_from([3, 50, 100_000]),
)
def test_best_against_sorting(seed: int, size: int, k: int, values: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, values, size).astype(np.float32)
    items = rng.permutation(size).astype(np.int32)
    found = best(items, scores, k)
    expected = sorted(zip(-scores, items, strict=True))[:k]
    assert [(-scores[i], items[i]) for i in found] == expected


def test_best_where_the_sample_misleads() -> None:
    scores = np.zeros(50_000, np.float32)
    scores[:: 50_000 // 2048] = 1  # the sample sees ones alone
    assert best(np.arange(50_000, dtype=np.int32), scores, 5).tolist() == [0, 24, 48, 72, 96]
    scores[1] = 2
    assert best(np.arange(50_000, dtype=np.int32), scores, 2).tolist() == [1, 0]


def test_a_short_row_is_filled_up() -> None:
    matrix = sp.csr_array(np.array([[0, 0, 0.5, 0, 0.5], [0] * 5], np.float32))
    order = np.array([3, 4, 1, 2], np.int32)
    numbers, scores = top(SparseScores(matrix), 4, None, lambda _: order, 5)
    # 3 and 1 stand at places 0 and 2 of the order
    assert numbers.tolist() == [[2, 4, 3, 1], [3, 4, 1, 2]]
    assert scores.tolist() == [[0.5, 0.5, -1, -3], [-1, -2, -3, -4]]
    excluded = sp.csr_array(np.array([[0, 1, 0, 0, 1], [0, 0, 0, 0, 0]], np.float32))
    numbers, scores = top(SparseScores(matrix), 4, excluded, lambda _: order, 5)
    assert numbers.tolist() == [[2, 3, 0, 0], [3, 4, 1, 2]]
    assert scores[0].tolist() == [0.5, -1, -np.inf, -np.inf]


def test_dense_scores_below_zero_stay_above_what_fills_up() -> None:
    block = np.array([[-5, -7], [1, 2]], np.float32)
    scores = DenseScores(block, np.array([2, 4], np.int32), np.array([True, False]))
    order = np.array([1, 2, 3, 4], np.int32)
    numbers, values = top(scores, 3, None, lambda _: order, 5)
    assert numbers.tolist() == [[2, 4, 1], [1, 2, 3]]
    assert values.tolist() == [[-5, -7, -8], [-1, -2, -3]]

"""Keys sort as lists do: by descending score, equal ones by number, nothing last."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from antiphon.best_first import NOTHING, keys_of, read_keys

SCORES = st.floats(width=32, allow_nan=False) | st.sampled_from([0.0, -0.0, 1.0, -np.inf, np.inf])
SCORED = st.lists(st.tuples(st.integers(1, 2**31 - 1), SCORES), max_size=30)


@given(SCORED)
def test_keys_sort_best_first(scored: list[tuple[int, float]]) -> None:
    numbers = np.array([number for number, _ in scored], np.int32)
    scores = np.array([score for _, score in scored], np.float32)
    found = read_keys(np.sort(keys_of(numbers, scores)))
    expected = sorted(scored, key=lambda item: (-item[1], item[0]))
    assert found[0].tolist() == [number for number, _ in expected]
    assert found[1].tolist() == [score for _, score in expected]


def test_no_item_comes_last() -> None:
    numbers, scores = np.array([[0, 2**31 - 1, 3]], np.int32), np.float32([[7, -np.inf, -np.inf]])
    keys = keys_of(numbers, scores)
    assert keys[0, 0] == NOTHING
    found = read_keys(np.sort(keys))
    np.testing.assert_array_equal(found[0], [[3, 2**31 - 1, 0]])
    np.testing.assert_array_equal(found[1], [[-np.inf] * 3])

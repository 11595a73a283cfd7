"""Searches within stretches, against numpy's search of each stretch by itself."""

from typing import Literal

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from antiphon.brackets import search_between


def test_by_hand() -> None:
    values = np.array([1, 3, 3, 5, 0, 2, 9])
    low, high = np.array([0, 0, 4, 4, 2, 7]), np.array([4, 4, 7, 7, 2, 7])
    wanted = np.array([3, 6, -1, 2, 0, 5])
    # of 1 3 3 5 | of 1 3 3 5 | of 0 2 9 | of 0 2 9 | of nothing, twice
    assert search_between(values, wanted, low, high).tolist() == [1, 4, 4, 5, 2, 7]
    assert search_between(values, wanted, low, high, "right").tolist() == [3, 4, 4, 6, 2, 7]


@given(
    st.lists(st.lists(st.integers(0, 20), max_size=40), min_size=1, max_size=5),
    st.lists(st.tuples(st.integers(0, 4), st.integers(-1, 21)), max_size=20),
    st.sampled_from(["left", "right"]),
)
def test_as_numpy_finds_it_in_each_stretch(
    stretches: list[list[int]],
    searches: list[tuple[int, int]],
    side: Literal["left", "right"],
) -> None:
    stretches = [sorted(stretch) for stretch in stretches]
    ends = np.cumsum([len(stretch) for stretch in stretches])
    values = np.concatenate([np.array(stretch, np.int64) for stretch in stretches] + [[99]])
    which = np.array([number % len(stretches) for number, _ in searches], np.int64)
    wanted = np.array([value for _, value in searches], np.int64)
    low = ends[which] - np.array([len(stretch) for stretch in stretches])[which]
    expected = [
        begin + np.searchsorted(stretches[number], value, side)
        for begin, number, value in zip(low, which, wanted, strict=True)
    ]
    assert search_between(values, wanted, low, ends[which], side).tolist() == expected

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from antiphon.shuffle import shuffled


@given(size=st.integers(1, 3000), seed=st.integers(0, 2**40))
def test_every_number_comes_up_once(size: int, seed: int) -> None:
    assert sorted(shuffled(np.arange(size), size, seed)) == list(range(size))


def test_another_seed_is_another_order() -> None:
    index = np.arange(10_000)
    first, second = shuffled(index, 10_000, 0), shuffled(index, 10_000, 1)
    assert (first == second).mean() < 0.01
    assert np.array_equal(first, shuffled(index, 10_000, 0))


def test_neighbours_are_spread_over_the_range() -> None:
    # The mean distance of two independent uniform numbers in [0, n) is n / 3.
    found = shuffled(np.arange(50_000), 50_000, 7)
    assert abs(np.abs(np.diff(found)).mean() / 50_000 - 1 / 3) < 0.01


def test_billions_cost_nothing_in_memory() -> None:
    size = 4_790_000_000
    found = shuffled(np.array([0, 1, size - 1]), size, 5)
    assert len(set(found.tolist())) == 3
    assert found.min() >= 0
    assert found.max() < size

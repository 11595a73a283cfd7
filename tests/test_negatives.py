"""Sampled negatives: their shares, by hand and as drawn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon import negatives
from antiphon.negatives import Negatives


def test_shares_by_hand() -> None:
    # (3.5 ** 0.5, 0.5 ** 0.5, 8.5 ** 0.5) = 1.8708, 0.7071, 2.9155; together 5.4934
    shares = Negatives(np.array([99, 3, 0, 8]), 0.5).share(np.arange(4))
    np.testing.assert_allclose(shares, [0, 0.34055, 0.12872, 0.53073], atol=1e-5)


@given(
    st.lists(st.integers(0, 1000), min_size=1, max_size=40),
    st.sampled_from([0.0, 0.75, 1.0]),
    st.integers(0, 2**32),
)
def test_only_items_are_drawn_and_shares_sum_to_one(counts, power, seed) -> None:
    made = Negatives(np.array([0, *counts]), power)
    drawn = made.draw(200, np.random.default_rng(seed))
    assert drawn.dtype == np.int32
    assert drawn.min() >= 1
    assert drawn.max() <= len(counts)
    assert made.share(np.arange(len(counts) + 1)).sum() == pytest.approx(1)


@pytest.mark.parametrize("chunk", [negatives.CHUNK_ITEMS, negatives.BLOCK, 3 * negatives.BLOCK])
def test_items_are_drawn_by_their_shares(chunk: int, monkeypatch) -> None:
    monkeypatch.setattr(negatives, "CHUNK_ITEMS", chunk)
    counts = np.random.default_rng(0).zipf(1.3, 75).clip(max=500)
    counts[::7] = 0
    made = Negatives(counts, 0.75)
    number = 400_000
    found = np.bincount(made.draw(number, np.random.default_rng(1)), minlength=75)
    expected = number * made.share(np.arange(75))
    # five deviations of a binomial
    assert (np.abs(found - expected) <= 5 * np.sqrt(expected + 1)).all()


def test_a_draw_at_the_very_end_stays_in_the_corpus() -> None:
    class End(np.random.Generator):
        def random(self, number: int) -> np.ndarray:  # type: ignore[override]
            return np.full(number, np.nextafter(1.0, 0.0))

    for items in range(2, 40):
        made = Negatives(np.full(items, 7), 0.3)
        assert made.draw(1, End(np.random.PCG64())).tolist() == [items - 1]

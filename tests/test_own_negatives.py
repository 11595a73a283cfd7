"""Own negatives: the sum over a library is estimated without bias."""

import numpy as np
import pytest

from antiphon.library import Library
from antiphon.own_negatives import draw_own_negatives
from antiphon.prepared import Events


def _library(items: list[int]) -> Library:
    count = len(items)
    return Library.of(
        Events(
            starts=np.array([0, 0]),
            ends=np.array([0, count]),
            item_number=np.array(items, np.int32),
            timestamp_s=np.arange(count, dtype=np.int64),
            is_target=np.ones(count, bool),
            context={},
        )
    )


def _draw(library: Library, end: int, target: int, lengths: tuple[int, int], seed: int):
    return draw_own_negatives(
        library,
        np.array([1]),
        np.array([end]),
        np.array([[target]]),
        np.array([end]),
        lengths,
        np.random.default_rng(seed),
    )


@pytest.mark.parametrize("lengths", [(0, 4), (3, 4), (3, 40), (0, 40), (40, 0), (40, 8)])
def test_each_item_of_the_library_counts_once_on_average(lengths) -> None:
    rng = np.random.default_rng(0)
    items = (1 + rng.integers(0, 9, 30) ** 2 // 8).tolist()
    library = _library([*items, 5])
    total = np.zeros(12)
    rounds = 3000 if lengths[1] == 4 else 1
    for seed in range(rounds):
        own = _draw(library, 30, 30, lengths, seed)
        recent = np.array(items[::-1][: lengths[0]] + [0] * max(lengths[0] - 30, 0), np.int32)
        both = np.concatenate([recent, own.older[0]])
        np.add.at(total, both, np.exp(-own.log_expected_count[0].astype(float)))
    expected = np.bincount(np.unique(items), minlength=12)
    # with four of some thirty plays drawn, 3,000 rounds leave a deviation of about 0.03
    np.testing.assert_allclose(total / rounds, expected, atol=0.15 if rounds > 1 else 1e-6)


def test_a_target_heard_before_comes_with_its_earlier_plays_only() -> None:
    # item 7 at 0 and 2 s, and again at 4 s, which is the target; the history ends before 3 s
    library = _library([7, 8, 7, 9, 7])
    own = _draw(library, 3, 4, (2, 0), 0)
    assert own.plays["count"][0, -1] == 2
    np.testing.assert_allclose(own.plays["age_h"][0, -1, :2], np.array([1, 3]) / 3600, rtol=1e-6)
    new = _draw(library, 3, 3, (2, 0), 0)
    assert new.plays["count"][0, -1] == 0, "item 9 was not played before"


def test_nobody_has_anything_before_their_first_event() -> None:
    own = _draw(_library([3, 4]), 0, 1, (2, 2), 0)
    assert np.isinf(own.log_expected_count).all()
    assert (own.older == 0).all()
    assert not own.plays["known"].any()

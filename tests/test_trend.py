"""Trends as of a moment, against sums by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.prepared import Events
from antiphon.present import Present
from antiphon.schema import FittedCategorical, FittedCyclic, Schema
from antiphon.sections import ModelSection
from antiphon.trend import MOST_VALUES, Kinds, Trend


def _one_user(times_s: list[int], items: list[int], moods: list[int] | None = None) -> Events:
    count = len(times_s)
    return Events(
        starts=np.array([0, 0]),
        ends=np.array([0, count]),
        item_number=np.array(items, np.int32),
        timestamp_s=np.array(times_s, np.int64),
        is_target=np.ones(count, bool),
        context={"mood": np.array(moods or [0] * count, np.uint8)},
    )


def test_counts_decay_as_they_should() -> None:
    # Half-lives of 50, 200 and 800 s, and none. Item 1 at 0 s and 100 s, as of 200 s:
    #   2^-4 + 2^-2, 2^-1 + 2^-0.5, 2^-0.25 + 2^-0.125, 2
    trend = Trend(3, Kinds((50.0, 200.0, 800.0)))
    trend.add(np.array([1], np.int32), np.array([0]), {})
    trend.add(np.array([1, 2], np.int32), np.array([100, 150]), {})
    counts = np.array([2**-4 + 2**-2, 2**-1 + 2**-0.5, 2**-0.25 + 2**-0.125, 2.0])
    found = trend.at(np.array([1, 0], np.int32), 200)
    np.testing.assert_allclose(found[0], np.log1p(counts / 0.1), rtol=1e-6)
    assert (found[1] == 0).all(), "an item without plays"


def test_plays_are_counted_apart_under_each_value_of_a_context() -> None:
    # Item 1 under mood 1 twice, under mood 2 once, under none once; item 2 under mood 2 once.
    kinds = Kinds((50.0,), {"mood": 2, "place": 3}, 100.0)
    trend = Trend(3, kinds)
    moods, places = np.array([1, 2, 1, 0, 2], np.uint8), np.array([3, 3, 0, 0, 1], np.uint8)
    items, times_s = np.array([1, 1, 1, 1, 2], np.int32), np.array([0, 50, 100, 100, 100])
    trend.add(items, times_s, {"mood": moods, "place": places})
    counts = [
        # as of 100 s: half-life of 50 s; ever; of 100 s under moods 1 and 2, in places 1 to 3
        [2**-2 + 2**-1 + 2, 4, 2**-1 + 1, 2**-0.5, 0, 0, 2**-1 + 2**-0.5],
        [1, 1, 0, 1, 1, 0, 0],
    ]
    found = trend.at(np.array([1, 2], np.int32), 100)
    np.testing.assert_allclose(found, np.log1p(np.array(counts) / 0.1), rtol=1e-6)
    assert found.shape[1] == kinds.width == kinds.overall + 5


def test_large_context_features_are_not_counted_apart() -> None:
    mood = FittedCategorical(name="mood", cardinality=MOST_VALUES, values=None)
    city = FittedCategorical(name="city", cardinality=MOST_VALUES + 1, values=None)
    times = {"train_end_s": 0, "validation_start_s": 0, "held_out_start_s": 0, "gap_s": 0}
    context = (city, mood, FittedCyclic(name="hour", period=24))
    schema = Schema(context=context, item_count=1, user_count=1, held_out_end_s=100, **times)
    kinds = Kinds.of(schema, ModelSection(trend_half_lives=(0.5,), context_trend_half_life=2.0))
    assert kinds == Kinds((50.0,), {"mood": MOST_VALUES}, 200.0)
    without = ModelSection(trend_half_lives=(), context_trend_half_life=0.0)
    assert Kinds.of(schema, without) == Kinds()


# over a million seconds, 40,000 of the shorter half-lives
@given(
    st.lists(
        st.tuples(st.integers(0, 10**6), st.integers(1, 5), st.integers(0, 2)),
        min_size=1,
        max_size=40,
    )
)
def test_step_by_step_and_at_once_are_the_same(plays) -> None:
    plays = sorted(plays)
    times_s, items, moods = (list(column) for column in zip(*plays, strict=True))
    kinds, everything = Kinds((25.0, 100.0), {"mood": 2}, 50.0), np.arange(6, dtype=np.int32)
    now_s = times_s[-1] + 7
    at_once = Trend.as_of(_one_user(times_s, items, moods), 6, kinds, now_s).at(everything, now_s)
    stepwise = Trend(6, kinds)
    for time_s, item, mood in plays:
        one = np.array([mood], np.uint8)
        stepwise.add(np.array([item], np.int32), np.array([time_s]), {"mood": one})
    np.testing.assert_allclose(stepwise.at(everything, now_s), at_once, rtol=1e-4, atol=1e-5)
    assert at_once.shape == (6, kinds.width) == (6, 5)


def test_the_present_knows_nothing_of_the_future() -> None:
    rng = np.random.default_rng(0)
    times_s = np.sort(rng.integers(0, 10_000, 500)).tolist()
    items, moods = rng.integers(1, 9, 500).tolist(), rng.integers(0, 3, 500).tolist()
    kinds = Kinds((150.0, 600.0), {"mood": 2}, 150.0)
    present = Present(_one_user(times_s, items, moods), 9, 300, 20, kinds)
    for step in range(40):
        present.advance_to(step)
        now_s = present.moment_s(step)
        past = [of for of in zip(times_s, items, moods, strict=True) if of[0] < now_s]
        ahead = [i for t, i in zip(times_s, items, strict=True) if now_s <= t < now_s + 300]
        events = _one_user(*([of[column] for of in past] for column in range(3)))
        everything = np.arange(9, dtype=np.int32)
        np.testing.assert_allclose(
            present.trend.at(everything, now_s),
            Trend.as_of(events, 9, kinds, now_s).at(everything, now_s),
            rtol=1e-3,
            atol=1e-4,
        )
        share = np.bincount(ahead, minlength=9) / len(ahead)
        np.testing.assert_allclose(present.window_share(everything), share, rtol=1e-12)
        drawn = present.sample_window(now_s, 50, rng)
        assert set(np.array(items)[drawn].tolist()) <= set(ahead)


@pytest.mark.parametrize("steps", [1, 3, 4, 10, 50, 64, 99])
def test_moments_sweep_through_the_log_and_end_with_its_last_window(steps) -> None:
    present = Present(_one_user(list(range(1000)), [1] * 1000), 2, 100, steps, Kinds())
    moments = np.array([present.moment_s(step) for step in range(steps)])
    assert [present.moment_s(steps + step) for step in range(steps)] == moments.tolist()
    back = np.flatnonzero(np.diff(moments) < 0)
    assert len(back) == max(1, min(8, steps // 4)) - 1, "eight sweeps, each forwards"
    assert moments.max() <= 900
    # middles of windows, 50 s after the moments, cover the log evenly but for its ends
    inside = np.sort(moments[(moments > 0) & (moments < 900)]) + 50
    gaps = np.diff(inside)
    assert len(gaps) < 2 or gaps.max() <= 2.2 * 1000 / steps + 1


def test_a_step_is_the_same_from_wherever_one_comes() -> None:
    rng = np.random.default_rng(1)
    times_s = np.sort(rng.integers(0, 10_000, 500)).tolist()
    events = _one_user(times_s, rng.integers(1, 9, 500).tolist())
    straight, jumping = (Present(events, 9, 300, 20, Kinds((300.0,))) for _ in range(2))
    everything = np.arange(9, dtype=np.int32)
    for step in range(17):
        straight.advance_to(step)
    for step in (5, 19, 30, 2, 16):
        jumping.advance_to(step)
    now_s = straight.moment_s(16)
    assert (straight.trend.at(everything, now_s) == jumping.trend.at(everything, now_s)).all()


def test_a_log_shorter_than_its_horizon_has_one_moment() -> None:
    present = Present(_one_user([5, 6, 7], [1, 1, 1]), 2, 1_000_000, 4, Kinds())
    present.advance_to(3)
    assert present.moment_s(3) == 5
    assert present.window_share(np.array([1], np.int32))[0] == pytest.approx(1)

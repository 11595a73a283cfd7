import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from antiphon.history import AGE_BUCKETS, age_bucket, gather_history
from antiphon.prepared import Events


def _log(seed: int, users: int = 4, most: int = 7) -> Events:
    rng = np.random.default_rng(seed)
    lengths = np.concatenate([[0], rng.integers(0, most, users)])
    ends = np.cumsum(lengths)
    total = int(ends[-1])
    times = [np.sort(rng.integers(0, 6, n)) for n in lengths]  # many ties
    return Events(
        starts=ends - lengths,
        ends=ends,
        item_number=rng.integers(1, 100, total).astype(np.int32),
        timestamp_s=np.concatenate(times).astype(np.int64) * 100,
        is_target=np.ones(total, bool),
        context={"mood": rng.integers(0, 3, total).astype(np.int32)},
    )


@given(seed=st.integers(0, 10**6), length=st.integers(0, 5))
def test_history_is_what_came_strictly_before(seed: int, length: int) -> None:
    events = _log(seed)
    users = np.repeat(np.arange(5), 7)
    until = np.tile(np.arange(7) * 100, 5)
    found = gather_history(events, users, until, until, length)
    for q, (user, time) in enumerate(zip(users, until, strict=True)):
        rows = range(events.starts[user], events.ends[user])
        past = [r for r in rows if events.timestamp_s[r] < time][::-1][:length]
        padding = length - len(past)
        assert found.item_number[q].tolist() == [*events.item_number[past], *[0] * padding]
        ages = age_bucket(time - events.timestamp_s[past]).tolist() if past else []
        assert found.age_bucket[q].tolist() == ages + [-1] * padding
        assert found.context["mood"][q][: len(past)].tolist() == [
            int(events.context["mood"][r]) for r in past
        ]


def test_a_log_without_events_has_empty_histories() -> None:
    nothing = _log(0, users=3, most=1)
    found = gather_history(nothing, np.array([0, 2]), np.array([9, 9]), np.array([9, 9]), 3)
    assert found.item_number.tolist() == [[0, 0, 0], [0, 0, 0]]
    assert (found.age_bucket == -1).all()


def test_age_buckets_double() -> None:
    # under a minute; 1, 2, 4 and 8 minutes; just before 8; a negative age counts as none
    ages = np.array([0, 59, 60, 120, 240, 480, 479, -5], np.int64)
    assert age_bucket(ages).tolist() == [0, 0, 1, 2, 3, 4, 3, 0]
    assert age_bucket(np.array([2**62], np.int64)).tolist() == [AGE_BUCKETS - 1]


@given(seed=st.integers(0, 10**6), time=st.integers(-100, 800))
def test_what_is_out_of_sight_is_gone(seed: int, time: int) -> None:
    events = _log(seed)
    seen = events.before(time)
    expected = [
        r
        for u in range(5)
        for r in range(events.starts[u], events.ends[u])
        if events.timestamp_s[r] < time
    ]
    assert seen.rows().tolist() == expected
    assert seen.count == len(expected)

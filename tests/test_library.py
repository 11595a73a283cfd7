"""Plays of an item up to a moment, against a loop over the user's events."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon import orders
from antiphon.library import PLAYS, Library
from antiphon.prepared import Events


def _events(users: list[list[tuple[int, int]]]) -> Events:
    """Users' (time, item) pairs."""
    users = [sorted(pairs, key=lambda pair: pair[0]) for pairs in users]
    lengths = [0] + [len(pairs) for pairs in users]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    flat = [pair for pairs in users for pair in pairs]
    return Events(
        starts=offsets[:-1],
        ends=offsets[1:],
        item_number=np.array([item for _, item in flat], np.int32),
        timestamp_s=np.array([time for time, _ in flat], np.int64),
        is_target=np.ones(len(flat), bool),
        context={"mood": np.arange(len(flat), dtype=np.int32)},
    )


LOGS = st.lists(
    st.lists(st.tuples(st.integers(0, 20), st.integers(1, 4)), max_size=12), min_size=1, max_size=5
)


@given(LOGS, st.integers(1, 30))
def test_plays_are_those_that_a_loop_finds(users, rows_at_once) -> None:
    events = _events(users)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(orders, "ROWS_AT_ONCE", rows_at_once)
        library = Library.of(events)
    for user in range(1, len(events.starts)):
        start, end = int(events.starts[user]), int(events.ends[user])
        for row in range(start, end):
            for until in range(start, end + 1):
                item = events.item_number[row]
                before = [r for r in range(start, until) if events.item_number[r] == item]
                last, known = library.latest(np.array([row]), np.array([until]))
                if row < until:
                    is_last = library.is_last(np.array([row]), np.array([until]))
                    assert bool(is_last[0]) == (row == before[-1])
                assert bool(known[0]) == bool(before)
                if not before:
                    continue
                assert last[0] == before[-1]
                now_s = int(events.timestamp_s[before[-1]]) + 3600
                plays = library.plays(last, known, np.array([now_s]))
                expected = before[::-1][:PLAYS]
                assert plays.count[0] == len(before)
                assert plays.known[0].sum() == len(expected)
                ages_h = (now_s - events.timestamp_s[expected]) / 3600
                np.testing.assert_allclose(plays.age_h[0, : len(expected)], ages_h, rtol=1e-6)
                assert plays.context["mood"][0, : len(expected)].tolist() == expected


def test_hidden_events_are_looked_past() -> None:
    # items 1 1 2 1 at 0, 10, 20, 30 s; at 15 s item 1 was played twice
    library = Library.of(_events([[(0, 1), (10, 1), (20, 2), (30, 1)]]))
    for row in (0, 1, 3):
        last, known = library.latest(np.array([row]), np.array([2]))
        assert (last[0], known[0]) == (1, True)
    assert not library.latest(np.array([2]), np.array([2]))[1][0]


def test_what_is_not_known_has_no_plays() -> None:
    library = Library.of(_events([[(0, 1), (10, 1)]]))
    plays = library.plays(np.array([1]), np.array([False]), np.array([100]))
    assert plays.count[0] == 0
    assert not plays.known.any()

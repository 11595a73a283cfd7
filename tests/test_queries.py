import numpy as np

from antiphon.prepared import Events
from antiphon.queries import queries_of_window

NAN = np.nan


def _events() -> Events:
    # user 1 has rows 0-3, user 2 has rows 4-5; the last row is no target
    return Events(
        starts=np.array([0, 0, 4]),
        ends=np.array([0, 4, 6]),
        item_number=np.array([5, 6, 7, 5, 9, 9], np.int32),
        timestamp_s=np.arange(6),
        is_target=np.array([1, 1, 1, 1, 1, 0], bool),
        context={
            "tab": np.array([2, 1, 2, 1, 1, 1], np.int32),
            "hour": np.array([NAN, 1, NAN, 1, 2, 2], np.float32),
        },
    )


def test_a_query_is_one_user_and_context() -> None:
    queries, targets = queries_of_window(_events(), user_count=1, start_s=99)
    assert queries.user_key.tolist() == [1, 1, 2]
    assert queries.user_number.tolist() == [1, 1, 0], "user 2 is new"
    assert queries.context["tab"].tolist() == [2, 1, 1]
    assert queries.time_s.tolist() == [99, 99, 99]
    assert [list(t) for t in np.split(targets.item_number, targets.offsets[1:-1])] == [
        [5, 7],
        [6, 5],
        [9],
    ]


def test_features_left_out_of_the_key_take_the_first_events_value() -> None:
    queries, targets = queries_of_window(_events(), user_count=2, start_s=0, query_by=["tab"])
    assert queries.context["hour"].tolist()[1:] == [1.0, 2.0]
    assert np.isnan(queries.context["hour"][0])
    assert targets.offsets.tolist() == [0, 2, 4, 5]


def test_a_window_without_targets_has_no_queries() -> None:
    events = _events()
    empty = Events(
        events.starts,
        events.ends,
        events.item_number,
        events.timestamp_s,
        np.zeros(6, bool),
        events.context,
    )
    queries, targets = queries_of_window(empty, user_count=2, start_s=0)
    assert len(queries) == 0
    assert targets.offsets.tolist() == [0]

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.errors import ArtifactError
from antiphon.prepare import prepare
from antiphon.prepared import Events, Prepared, owners, rows_between
from small_log import config, write_log


def _events(times_by_user: list[list[int]]) -> Events:
    offsets = np.cumsum([0, 0, *(len(times) for times in times_by_user)])
    times = np.array([time for times in times_by_user for time in sorted(times)], np.int64)
    numbers = np.arange(1, len(times) + 1, dtype=np.int32)
    return Events(offsets[:-1], offsets[1:], numbers, times, np.ones(len(times), bool), {})


@given(st.lists(st.integers(0, 4), max_size=6))
def test_each_row_knows_its_range(lengths: list[int]) -> None:
    offsets = np.cumsum([0, *lengths])
    expected = [number for number, length in enumerate(lengths) for _ in range(length)]
    assert owners(offsets).tolist() == expected
    assert rows_between(offsets[:-1], offsets[1:]).tolist() == list(range(sum(lengths)))


def test_what_is_in_sight_before_a_time() -> None:
    events = _events([[1, 5, 5, 9], [], [5], [7, 8]])
    assert events.count == 7
    seen = events.before(5)
    # of user 1 only the event at 1; nobody else has anything before 5
    assert seen.ends.tolist() == [0, 1, 4, 4, 5]
    assert seen.count == 1
    assert seen.rows().tolist() == [0]
    assert events.before(8).rows().tolist() == [0, 1, 2, 4, 5]
    assert events.before(8).row_users().tolist() == [1, 1, 1, 3, 4]
    assert events.before(100).count == 7
    assert events.before(100).before(6).count == 4


@given(
    st.lists(st.lists(st.integers(0, 30), max_size=12), min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(0, 6), st.integers(-1, 31)), max_size=20),
)
def test_first_at_is_a_search_in_each_user(
    times_by_user: list[list[int]], queries: list[tuple[int, int]]
) -> None:
    events = _events(times_by_user)
    asked = [(user, time) for user, time in queries if user <= len(times_by_user)]
    users = np.array([user for user, _ in asked], np.int64)
    times = np.array([time for _, time in asked], np.int64)
    expected = [
        int(events.starts[user]) + sum(t < time for t in (times_by_user[user - 1] if user else []))
        for user, time in asked
    ]
    assert events.first_at(users, times).tolist() == expected


def _prepared(folder: Path) -> Prepared:
    rows = [
        {"user": user, "item": item, "at": at, "kind": "play"}
        for user, item, at in (("b", 5, 0), ("a", 5, 1), ("a", 6, 2), ("c", 7, 200_000))
    ]
    return prepare(
        config(write_log(folder / "log.parquet", rows, user=pa.string())), folder / "prepared"
    )


def test_opening_what_prepare_wrote(tmp_path: Path) -> None:
    written = _prepared(tmp_path)
    opened = Prepared.open(tmp_path / "prepared")
    assert opened.schema == written.schema
    assert opened.stage.hash == written.stage.hash
    assert opened.user_ids().to_pylist() == ["a", "b"]
    assert opened.item_ids().to_pylist() == [5, 6]
    assert opened.user_counts().tolist() == [0, 2, 1]
    assert opened.titles() is None
    assert isinstance(opened.events.item_number.base, np.memmap), "events aren't read into memory"
    assert not opened.events.item_number.flags.writeable


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    _prepared(tmp_path)
    part = tmp_path / "prepared/events/item_number.npy"
    whole = part.read_bytes()
    part.write_bytes(whole[:-1])
    with pytest.raises(ArtifactError, match=r"item_number\.npy is truncated"):
        Prepared.open(tmp_path / "prepared")
    part.write_bytes(whole[:-1] + b"\x07")
    with pytest.raises(ArtifactError, match=r"item_number\.npy is damaged"):
        Prepared.open(tmp_path / "prepared")
    part.unlink()
    with pytest.raises(ArtifactError, match=r"item_number\.npy is missing"):
        Prepared.open(tmp_path / "prepared")

"""A log's other orders: by parts as at once, from disk as from memory, within a bounded memory."""

from __future__ import annotations

import tracemalloc
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from antiphon import orders
from antiphon.library import Library
from antiphon.npy import NpyWriter
from antiphon.prepare import prepare
from antiphon.prepared import Events
from antiphon.timeline import Timeline
from antiphon.trend import Kinds, Trend
from small_log import config, random_rows, write_log


def _events(seed: int, users: int, count: int, span_s: int) -> Events:
    """Random events; times from 10^9 s on, some users without any."""
    rng = np.random.default_rng(seed)
    owner = np.sort(rng.integers(1, users + 1, count))
    offsets = np.searchsorted(owner, np.arange(users + 2)).astype(np.int64)
    times_s = 10**9 + rng.integers(0, span_s, count)
    times_s = times_s[np.lexsort((times_s, owner))]
    items = rng.integers(1, 6, count).astype(np.int32)
    return Events(offsets[:-1], offsets[1:], items, times_s, np.ones(count, bool), {})


@given(
    seed=st.integers(0, 2**32 - 1),
    users=st.integers(1, 9),
    count=st.integers(0, 120),
    span_s=st.sampled_from([1, 7, 1000, 2**40]),
    rows_at_once=st.integers(1, 40),
    bins=st.sampled_from([2, 16, 1 << 20]),
)
def test_orders_are_those_of_a_whole_sort(seed, users, count, span_s, rows_at_once, bins) -> None:
    events = _events(seed, users, count, span_s)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(orders, "ROWS_AT_ONCE", rows_at_once)
        patch.setattr(orders, "_BINS", bins)
        by_time, by_item = orders.by_time(events), orders.by_item(events)
    row = np.argsort(events.timestamp_s, kind="stable")
    assert by_time.row.tolist() == row.tolist()
    assert by_time.item_number.tolist() == events.item_number[row].tolist()
    assert by_time.timestamp_s.tolist() == events.timestamp_s[row].tolist()
    user = np.repeat(np.arange(users + 1), events.ends - events.starts)
    row = np.lexsort((events.item_number, user))
    assert by_item.row.tolist() == row.tolist()
    assert by_item.place[row].tolist() == list(range(count))
    for at in range(count):
        same = (user[:at] == user[at]) & (events.item_number[:at] == events.item_number[at])
        assert by_item.earlier[at] == same.sum()
    assert by_time.row.dtype == by_item.row.dtype == by_item.place.dtype == np.int32
    assert by_time.timestamp_s.dtype == np.int64


@given(seed=st.integers(0, 2**32 - 1), after_s=st.integers(-1, 51))
def test_events_before_a_moment_are_the_first_ones(seed: int, after_s: int) -> None:
    events = _events(seed, 4, 60, 50)
    known = events.before(10**9 + after_s)
    timeline = Timeline(known)
    assert timeline.rows.tolist() == sorted(
        known.rows().tolist(), key=lambda row: (events.timestamp_s[row], row)
    )
    assert (timeline.timestamp_s == events.timestamp_s[timeline.rows]).all()
    assert timeline.first_at(10**9 + 20) == (timeline.timestamp_s < 10**9 + 20).sum()


@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 70))
def test_blocks_of_rows_are_all_rows(seed: int, rows: int) -> None:
    events = _events(seed, 5, 60, 50).before(10**9 + 30)
    blocks = list(events.row_blocks(rows))
    assert np.concatenate(blocks).tolist() == events.rows().tolist()
    users = np.diff(np.concatenate([[0], np.cumsum(events.ends - events.starts)]))
    assert all(len(block) <= max(rows, users.max()) for block in blocks)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=5)
@given(seed=st.integers(0, 2**32 - 1))
def test_training_reads_from_disk_what_it_would_make(tmp_path: Path, seed: int) -> None:
    rows = random_rows(np.random.default_rng(seed), 500)
    log = write_log(tmp_path / "log.parquet", rows)
    events = prepare(config(log), tmp_path / "prepared").events
    assert events.by_time is not None
    assert events.by_item is not None
    without = replace(events, by_time=None, by_item=None)
    for found, made in (
        (events.by_time, orders.by_time(without)),
        (events.by_item, orders.by_item(without)),
    ):
        for left, right in zip(astuple(found), astuple(made), strict=True):
            assert left.dtype == right.dtype
            assert left.tolist() == right.tolist()


def test_what_an_event_costs_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Orders are made, and read, in blocks: a million events and under two bytes of each."""
    count, users = 1_000_000, 1000
    made = _events(0, users, count, 10**7)
    for name, values in (
        ("user_offsets", np.append(made.starts, count)),
        ("item_number", made.item_number),
        ("timestamp_s", made.timestamp_s),
        ("is_target", made.is_target),
    ):
        with NpyWriter(tmp_path / f"{name}.npy", values.dtype, values.shape) as writer:
            writer.write(values)
    monkeypatch.setattr(orders, "ROWS_AT_ONCE", 1 << 13)
    monkeypatch.setattr("antiphon.trend.ROWS_AT_ONCE", 1 << 13)
    monkeypatch.setattr(orders, "_BINS", 1 << 13)
    tracemalloc.start()
    try:
        orders.write_orders(tmp_path)
        events = Events.open(tmp_path, ())
        Timeline(events)
        Library.of(events)
        Trend.as_of(events, 6, Kinds((3600.0,)), 10**9 + 10**7)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # blocks of 8,192 events of about 100 bytes are 0.8 MB; a sort of all would be 24 MB and more
    assert peak_bytes < 2 * count
    assert (np.diff(Timeline(events).timestamp_s) >= 0).all()

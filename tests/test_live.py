"""Plays and items since training: kept durably, known to the very next answer, harmless twice."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from antiphon.appending import Appended
from antiphon.errors import BackendError, ConfigError, RequestError
from antiphon.live import AddedItem, LiveEvent, LiveStore, open_live
from antiphon.postgres import Connections
from antiphon.recommend import Recommender
from antiphon.request import Request
from chain import FIRST_ITEM, FIRST_USER
from searched_run import trained_model

NEW_USER = 99_999


@pytest.fixture(params=["sqlite", "postgres"])
def where(request, tmp_path) -> Iterator[str | Path]:
    """Of an empty store of each kind."""
    if request.param == "sqlite":
        yield tmp_path / "folder" / "live.sqlite"
        return
    url = request.getfixturevalue("postgres")
    yield url
    with psycopg.connect(url, autocommit=True) as connection:
        for name in ("event", "item", "withdrawn", "version"):
            connection.execute(f"DROP TABLE IF EXISTS antiphon_{name}")
        connection.execute("DROP SEQUENCE IF EXISTS antiphon_call")


@pytest.fixture
def store(where) -> Iterator[LiveStore]:
    opened = open_live(where)
    yield opened
    opened.close()


def play(user: object, item: int, time_s: int, **more: object) -> LiveEvent:
    return LiveEvent(user, item, time_s, **more)


def items_of(store: LiveStore, *users: str, since_s: int = 0) -> list[list[str]]:
    found = store.of(users, since_s)
    assert list(found.owner) == sorted(found.owner)
    return [
        [item for owner, item in zip(found.owner, found.item_id, strict=True) if owner == place]
        for place in range(len(users))
    ]


def test_events_of_users_by_time_and_since(store) -> None:
    assert isinstance(store, LiveStore)
    told = [play("b", 3, 30), play("a", 1, 20), play("a", 2, 10), play("a", 4, 20)]
    assert store.append(told) == 4
    assert items_of(store, "b", "a", "nobody") == [["3"], ["2", "1", "4"], []]
    assert items_of(store, "a", "b", since_s=20) == [["1", "4"], ["3"]]
    assert items_of(store) == []
    assert store.of(["a"], 0).timestamp_s.tolist() == [10, 20, 20]
    assert store.counts() == {"events": 4, "users": 2, "items": 4, "added": 0, "withdrawn": 0}


def test_replays_and_duplicates_change_nothing(store) -> None:
    told = [play("a", 1, 10), play("a", 1, 10), play("a", 1, 11), play("a", 1, 12, key="x")]
    assert store.append(told) == 3
    assert store.append(told) == 0
    assert store.append([play("a", 1, 13, key="x"), play("a", 2, 13, key="y")]) == 1
    assert items_of(store, "a") == [["1", "1", "1", "2"]]


def test_a_context_and_many_users_come_back_as_they_were(store) -> None:
    context = {"mood": "1", "hour": 3.5, "weather": [0.25, 1.0]}
    store.append([play(f"u{n}", n, n, context=context) for n in range(1200)])
    found = store.of([f"u{n}" for n in range(1200)], 0)
    assert [int(item) for item in found.item_id] == list(range(1200))
    assert all(json.loads(text) == context for text in found.context)


def test_items_are_kept_replaced_withdrawn_and_restored(where, store) -> None:
    before = store.version()
    store.add([AddedItem("n1", {"maker": ["ann", "ben"]}, "One"), AddedItem("n2")])
    store.add([AddedItem("n1", {"length": 2.5})])
    store.withdraw(["501", "n2"])
    store.withdraw(["501"])
    store.restore(["n2", "never"])
    again = open_live(where)
    shelved = again.shelved()
    again.close()
    assert shelved.items == (AddedItem("n1", {"length": 2.5}), AddedItem("n2"))
    assert shelved.withdrawn == ("501",)
    assert shelved.version == store.version() == before + 5


def test_several_threads_append_side_by_side(store) -> None:
    failures: list[BaseException] = []

    def append(first: int) -> None:
        try:
            for n in range(20):
                # every event from two threads, so that they meet
                store.append([play("a", n, n), play("a", 100 + first, n)])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=append, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert store.counts()["events"] == 20 + 4 * 20


APPENDING = """
import sys
from antiphon.live import LiveEvent, open_live
store = open_live(sys.argv[1])
print("ready", flush=True)
for number in range(10**9):
    store.append([LiveEvent("a", number, number), LiveEvent("b", number, number)])
    print(number, flush=True)
"""


def test_a_killed_process_loses_nothing_that_was_acknowledged(tmp_path) -> None:
    path = tmp_path / "live.sqlite"
    acknowledged = 0
    for turn in range(10):
        process = subprocess.Popen(
            [sys.executable, "-c", APPENDING, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        last = -1
        for _ in range(3 + turn):
            last = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate()
        numbers = [last, *map(int, rest.split("\n")[:-1])]
        acknowledged = max(acknowledged, numbers[-1])
    store = open_live(path)
    for user in items_of(store, "a", "b"):
        # all acknowledged ones, and at most one more that was on its way
        assert [int(item) for item in user] == list(range(len(user)))
        assert len(user) > acknowledged
    a, b = items_of(store, "a", "b")
    assert len(a) == len(b), "all of a call's events or none"
    store.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_connections_that_broke_fail_once(postgres) -> None:
    connections = Connections(postgres)
    with connections.one() as first, connections.one() as second:
        numbers = [one.info.backend_pid for one in (first, second)]
    with psycopg.connect(postgres, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", [numbers])
    with pytest.raises(BackendError, match="the database refuses"), connections.one() as broken:
        broken.execute("SELECT 1")
    for _ in range(2):
        with connections.one() as good:
            assert good.execute("SELECT 1").fetchone() == (1,)
    connections.close()


def test_a_store_that_cannot_be_had_is_an_error_that_says_so(tmp_path) -> None:
    (tmp_path / "other").write_bytes(b"not a database at all, but long enough to be looked at" * 9)
    with pytest.raises(BackendError, match="store of live plays refuses"):
        open_live(tmp_path / "other")
    with pytest.raises(BackendError, match="the database refuses"):
        open_live("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(ConfigError, match=r"can't be kept there(?s:.)*redis://x"):
        open_live("redis://x")


@pytest.fixture
def load(tmp_path_factory, tmp_path) -> Iterator[Callable[..., Recommender]]:
    """A recommender of the small run, with a store of this test's."""
    model = trained_model(tmp_path_factory)
    opened = []

    def load(**more: object) -> Recommender:
        opened.append(open_live(tmp_path / "live.sqlite"))
        return Recommender(model, opened[-1], **more)

    yield load
    for one in opened:
        one.close()


def heard(recommender: Recommender, user: object, **more: object) -> list[int]:
    answer = recommender.recommend(user, k=200, mode="repeat", **more)
    return [item.id for item in answer.items]


def test_the_very_next_answer_knows_a_play(load) -> None:
    recommender = load()
    now_s = recommender.schema.held_out_start_s
    plain = recommender.recommend(FIRST_USER, {"mood": "1"}, 20)
    new = next(item.id for item in recommender.recommend(FIRST_USER, mode="discover").items)
    kept = recommender.append([play(FIRST_USER, new, now_s + 60, context={"mood": "1"})])
    assert kept == Appended(1, 0, unknown_users=0, unknown_items=0, before_log=0)
    after = recommender.recommend(FIRST_USER, {"mood": "1"}, 20)
    assert after.items != plain.items
    assert after.live_events == 1
    assert after.time_s == now_s + 61
    assert new in heard(recommender, FIRST_USER)
    others = [one.recommend(FIRST_USER + 1) for one in (recommender, load())]
    assert others[0] == others[1]
    assert others[0].live_events == 0
    assert load().recommend(FIRST_USER, {"mood": "1"}, 20) == after, "after a restart as well"


def test_live_events_answer_as_if_the_log_had_had_them(load) -> None:
    """What a stranger did is worth what the same history in the request is, at the same time."""
    recommender = load()
    given = [FIRST_ITEM + n for n in (3, 50, 80)]
    now_s = recommender.schema.held_out_start_s
    for item in given:
        recommender.append([play(NEW_USER, item, now_s, context={"mood": "0"}, key=str(item))])
    live = recommender.recommend(NEW_USER, {"mood": "0"}, 30)
    stated = recommender.recommend(None, {"mood": "0"}, 30, history=given)
    assert live.items == stated.items
    assert not live.known_user
    assert (live.live_events, stated.live_events) == (3, 0)
    assert live.items != recommender.recommend(None, {"mood": "0"}, 30).items


def test_strangers_and_ids_in_other_spellings(load) -> None:
    recommender = load()
    now_s = recommender.schema.held_out_start_s
    told = [
        play(f"0{NEW_USER}", FIRST_ITEM, now_s + 1),
        play(NEW_USER, str(FIRST_ITEM), now_s + 1),
        play("somebody", 7, now_s + 1),
    ]
    assert recommender.append(told) == Appended(2, 1, 3, 1, 0)
    assert heard(recommender, NEW_USER) == heard(recommender, str(NEW_USER)) == [FIRST_ITEM]
    # kept, and of no effect until it is known
    answer = recommender.recommend("somebody")
    assert answer.live_events == 0
    assert answer.items == recommender.recommend(None).items
    recommender.add_items([AddedItem(7, {"maker": "ann"})])
    assert heard(recommender, "somebody") == [7]


def test_what_the_log_was_trained_on_is_not_counted_twice(load) -> None:
    recommender = load()
    before = recommender.recommend(FIRST_USER, k=30)
    train_end_s = recommender.schema.train_end_s
    told = [play(FIRST_USER, FIRST_ITEM + n, train_end_s - 1 - n) for n in range(5)]
    assert recommender.append(told).before_log == 5
    assert recommender.recommend(FIRST_USER, k=30) == before


def test_an_event_without_a_time_happened_at_its_users_present(load) -> None:
    recommender = load()
    start_s = recommender.schema.held_out_start_s
    # the first ones at the log's end, the next one after what was told before
    untimed = [LiveEvent(FIRST_USER, FIRST_ITEM + n) for n in range(2)]
    assert recommender.append(untimed) == Appended(2, 0, 0, 0, 0)
    recommender.append([LiveEvent(FIRST_USER, FIRST_ITEM), LiveEvent(NEW_USER, FIRST_ITEM)])
    recommender.append([LiveEvent(NEW_USER, FIRST_ITEM, start_s + 50)])
    recommender.append([LiveEvent(NEW_USER, FIRST_ITEM)])
    kept = recommender.live.of([str(FIRST_USER), str(NEW_USER)], 0)
    assert kept.owner.tolist() == [0, 0, 0, 1, 1, 1]
    expected = [start_s, start_s, start_s + 1, start_s, start_s + 50, start_s + 51]
    assert kept.timestamp_s.tolist() == expected
    clocked = load(clock=lambda: start_s + 1000)
    clocked.append([LiveEvent(FIRST_USER, FIRST_ITEM)])
    assert clocked.live.of([str(FIRST_USER)], 0).timestamp_s.tolist()[-1] == start_s + 1000


def test_the_present_is_the_latest_event_or_the_clock_or_what_is_asked(load) -> None:
    clock = 0
    recommender = load(clock=lambda: clock)
    start_s = recommender.schema.held_out_start_s
    assert recommender.recommend(FIRST_USER).time_s == start_s
    clock = start_s + 1000
    assert recommender.recommend(FIRST_USER).time_s == clock
    recommender.append([play(FIRST_USER, FIRST_ITEM + 9, clock)])
    batch = [Request(FIRST_USER, mode="repeat"), Request(FIRST_USER + 1)]
    first, second = recommender.answer(batch)
    # "now" is as fine as a second: what was just heard must be known
    assert (first.time_s, second.time_s) == (clock + 1, clock)
    past = recommender.recommend(FIRST_USER, time_s=clock)
    assert (past.time_s, past.live_events) == (clock, 0)
    told = [play(1, 1, clock), play(1, 1, 1000 * clock)]
    with pytest.raises(RequestError, match=r"event 1 is in the far future(?s:.)*000"):
        recommender.append(told)
    assert recommender.live.counts()["events"] == 1


def test_one_wrong_context_keeps_none_of_the_events(load) -> None:
    recommender = load()
    now_s = recommender.schema.held_out_start_s
    told = [play(1, 1, now_s), play(1, 2, now_s, context={"mood": "sad"})]
    with pytest.raises(RequestError, match=r"event 1: mood has no such value(?s:.)*calm"):
        recommender.append(told)
    assert recommender.live.counts()["events"] == 0
    assert recommender.append([]) == Appended(0, 0, 0, 0, 0)


def test_contexts_that_another_schema_knew_are_unknown(load, tmp_path) -> None:
    recommender = load()
    now_s = recommender.schema.held_out_start_s
    context = {"weather": "wet", "mood": "1"}
    recommender.live.append([play(NEW_USER, FIRST_ITEM, now_s, context=context)])
    odd = recommender.recommend(NEW_USER)
    recommender.append([play(NEW_USER + 1, FIRST_ITEM, now_s, context={"mood": "1"})])
    assert odd.items == recommender.recommend(NEW_USER + 1).items


def test_without_a_store_there_is_nowhere_to_keep_anything(load) -> None:
    recommender = Recommender(load().model)
    for tell in (
        lambda: recommender.append([play(1, 1, 1)]),
        lambda: recommender.add_items([AddedItem(1)]),
        lambda: recommender.withdraw_items([1]),
    ):
        with pytest.raises(ConfigError, match=r"nowhere to keep(?s:.)*live="):
            tell()
    assert not recommender.refresh()


def test_two_processes_share_postgresql(load, postgres) -> None:
    model = load().model
    here, there = (Recommender(model, open_live(postgres)) for _ in range(2))
    now_s = here.schema.held_out_start_s
    here.append([play(NEW_USER, FIRST_ITEM, now_s)])
    assert heard(there, NEW_USER) == [FIRST_ITEM]
    here.add_items([AddedItem("4000", {"maker": "cleo"}, "New")])
    here.withdraw_items([FIRST_ITEM])
    assert there.refresh()
    assert not there.refresh()
    assert [item.id for item in there.recommend(None, allow=[4000, FIRST_ITEM]).items] == [4000]
    for one in (here, there):
        one.live.close()

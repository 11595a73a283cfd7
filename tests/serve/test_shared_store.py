"""Two processes of the service that share one PostgreSQL answer as one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from serving import wait_until
from test_durability import post, wait_for

import chain
from antiphon.live import open_live

AT_S = 1_800_000_000

SERVICE = """
import sys
from pathlib import Path
from antiphon.serve.server import bind, serve
from antiphon.serve.settings import Limits, Settings

settings = Settings(
    port=0, store=sys.argv[2], log_requests=False, watch=False, limits=Limits(together=2)
)
bound = bind(settings)
print(bound.getsockname()[1], flush=True)
serve(Path(sys.argv[1]), settings, bound)
"""


@contextmanager
def process(run: Path, store: str) -> Iterator[int]:
    """The port of a service in a process of its own; stopped at the end."""
    started = subprocess.Popen(
        [sys.executable, "-c", SERVICE, str(run), store], stdout=subprocess.PIPE, text=True
    )
    assert started.stdout is not None
    try:
        port = int(started.stdout.readline())
        wait_for(port)
        yield port
    finally:
        started.terminate()
        code = started.wait(60)
        started.stdout.close()
    assert code == 0


@pytest.fixture(scope="module")
def both(run: Path, postgres: str) -> Iterator[tuple[int, int]]:
    """The ports of two services with the same store."""
    with ExitStack() as stack:
        yield tuple(stack.enter_context(process(run, postgres)) for _ in range(2))


def answer(port: int, path: str, body: Any) -> Any:
    status, data = post(port, path, body)
    assert status == 200, data
    return data


def heard(port: int, user: object) -> set[Any]:
    listed = answer(port, "/v1/recommend", {"user": user, "mode": "repeat", "k": 100})
    return {item["id"] for item in listed["items"]}


@pytest.mark.slow
def test_the_next_answer_of_each_knows_what_the_other_was_told(both: tuple[int, int]) -> None:
    told: set[int] = set()
    for turn in range(10):
        here, there = both if turn % 2 else both[::-1]
        item = chain.FIRST_ITEM + turn
        event = {"user": "of both", "item": item, "timestamp_s": AT_S + turn}
        assert answer(here, "/v1/events", {"events": [event]})["new"] == 1
        told.add(item)
        assert heard(there, "of both") == told
        assert heard(here, "of both") == told
        # told again, to the other, as a caller does that never got its answer
        again = answer(there, "/v1/events", {"events": [event]})
        assert (again["new"], again["duplicates"]) == (0, 1)
        assert heard(here, "of both") == told


@pytest.mark.slow
def test_the_same_events_told_to_both_at_once_are_kept_once(
    both: tuple[int, int], postgres: str
) -> None:
    calls = [
        [
            {
                "user": f"u{n % 3}",
                "item": chain.FIRST_ITEM + n,
                "timestamp_s": AT_S + n,
                "key": f"k{n}",
            }
            for n in range(first, first + 10)
        ]
        for first in range(0, 200, 10)
    ]
    before = open_live(postgres)
    known = before.counts()["events"]

    def tell(port: int) -> int:
        # one of them backwards, so that calls and the events in them meet crosswise
        order = calls if port == both[0] else [call[::-1] for call in calls[::-1]]
        return sum(answer(port, "/v1/events", {"events": call})["new"] for call in order)

    with ThreadPoolExecutor(4) as pool:
        new = list(pool.map(tell, [*both, *both]))
    assert sum(new) == 200
    assert before.counts()["events"] == known + 200
    before.close()
    lists = [[heard(port, f"u{n}") for n in range(3)] for port in both]
    assert lists[0] == lists[1]
    every = {chain.FIRST_ITEM + n for n in range(200)}
    corpus = set(range(chain.FIRST_ITEM, chain.FIRST_ITEM + chain.ITEMS))
    assert set.union(*lists[0]) == every & corpus


@pytest.mark.slow
def test_items_added_to_one_are_soon_listed_by_the_other(both: tuple[int, int]) -> None:
    asked = {"allow": ["fresh", 503], "k": 5}

    def listed(port: int) -> set[Any]:
        return {item["id"] for item in answer(port, "/v1/recommend", asked)["items"]}

    here, there = both
    item = {"id": "fresh", "title": "Fresh", "features": {"maker": "ann", "length": 3.5}}
    assert answer(here, "/v1/items", {"items": [item]}) == {"items": 1}
    assert listed(here) == {503, "fresh"}
    wait_until(lambda: listed(there) == {503, "fresh"})
    # an event of an item that only the store knows
    event = {"user": "first", "item": "fresh", "timestamp_s": AT_S}
    assert answer(there, "/v1/events", {"events": [event]})["unknown_items"] == 0
    assert heard(here, "first") == {"fresh"}

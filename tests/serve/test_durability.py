"""Processes of the service killed at any moment lose nothing that they acknowledged."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import chain
from antiphon.live import open_live

KILLS, CALL = 20, 5
USER = chain.FIRST_USER + 7

# The libraries are read once; each service is a fork, before JAX has a thread.
PROGRAM = """
import os, signal, sys, warnings
from pathlib import Path
warnings.filterwarnings("ignore", message=".*fork.*")
from antiphon.serve.server import bind, serve
from antiphon.serve.settings import Limits, Settings

limits = Limits(together=1)  # the less is compiled
for line in sys.stdin:
    settings = Settings(
        port=0, store=sys.argv[2], log_requests=False, watch=False, limits=limits
    )
    bound = bind(settings)
    child = os.fork()
    if not child:
        serve(Path(sys.argv[1]), settings, bound)
        os._exit(0)
    print(child, bound.getsockname()[1], flush=True)
    bound.close()
    os.waitpid(child, 0)
"""


def post(port: int, path: str, body: Any) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        headers = {"Content-Type": "application/json"}
        connection.request("POST", path, json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def wait_for(port: int) -> None:
    for _ in range(3000):
        try:
            if post(port, "/v1/recommend", {})[0] == 200:
                return
        except OSError:
            pass
        time.sleep(0.02)
    pytest.fail("the service didn't come up")


def tell_until_killed(port: int, first: int, acknowledged: list[int]) -> None:
    """Events without a pause, a few a call; times are numbers that go up."""
    at = first
    try:
        while True:
            times = range(at, at + CALL)
            events = [{"user": USER, "item": 501, "timestamp_s": t} for t in times]
            if post(port, "/v1/events", {"events": events})[0] == 200:
                acknowledged += times
            at += CALL
    except (OSError, http.client.HTTPException, ValueError):
        return  # killed


@pytest.mark.slow
def test_killed_while_it_writes_it_loses_nothing_that_was_acknowledged(run, tmp_path) -> None:
    store = tmp_path / "live"
    generator = random.Random(0)
    acknowledged: list[int] = []
    started = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(run), str(store)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert started.stdin
    assert started.stdout
    for kill in range(KILLS):
        started.stdin.write("\n")
        started.stdin.flush()
        process, port = map(int, started.stdout.readline().split())
        wait_for(port)
        before = len(acknowledged)
        first = 1_800_000_000 + kill * 1_000_000
        teller = threading.Thread(target=tell_until_killed, args=(port, first, acknowledged))
        teller.start()
        while len(acknowledged) == before:
            time.sleep(0.002)
        time.sleep(generator.uniform(0, 0.1))
        os.kill(process, signal.SIGKILL)
        teller.join()
        assert len(acknowledged) > before
    started.stdin.close()
    started.wait(30)
    started.stdout.close()
    live = open_live(store)
    kept = live.of([str(USER)], 0).timestamp_s.tolist()
    live.close()
    assert len(kept) == len(set(kept))
    assert set(acknowledged) <= set(kept)
    # all of a call or nothing of it
    assert len(kept) % CALL == 0


def test_a_call_that_is_repeated_changes_nothing(client) -> None:
    events = [{"user": USER, "item": 502, "timestamp_s": 1_800_000_000 + n} for n in range(3)]
    told = client.post("/v1/events", {"events": events})
    assert told == {
        "new": 3,
        "duplicates": 0,
        "unknown_users": 0,
        "unknown_items": 0,
        "before_log": 0,
    }
    again = client.post("/v1/events", {"events": events})
    assert (again["new"], again["duplicates"]) == (0, 3)
    other = [{**events[0], "key": "k1"}, {**events[0], "key": "k1"}]
    assert client.post("/v1/events", {"events": other})["new"] == 1


def test_the_very_next_answer_knows_what_was_told(client) -> None:
    asked = {"user": "somebody new", "mode": "repeat", "context": {"mood": "0"}}
    assert client.post("/v1/recommend", asked)["items"] == []
    for item in (505, 511):
        event = {"user": "somebody new", "item": item, "context": {"mood": "0"}}
        client.post("/v1/events", {"events": [event]})
    answer = client.post("/v1/recommend", asked)
    assert {item["id"] for item in answer["items"]} == {505, 511}
    assert answer["live_events"] == 2
    assert not answer["known_user"]
    error = client.refused(
        422, "POST", "/v1/events", {"events": [{"user": 1, "item": 2, "context": {"mood": "9"}}]}
    )
    assert error["allowed"] == "0, 1"


def test_items_come_and_go_at_once(client) -> None:
    asked = {"allow": ["fresh", 503], "k": 5}

    def listed() -> set[Any]:
        return {item["id"] for item in client.post("/v1/recommend", asked)["items"]}

    assert listed() == {503}
    item = {"id": "fresh", "title": "Fresh", "features": {"maker": "ann", "length": 3.5}}
    assert client.post("/v1/items", {"items": [item]}) == {"items": 1}
    assert listed() == {503, "fresh"}
    assert client.ask("DELETE", "/v1/items/fresh")[:2] == (200, {"id": "fresh", "listed": False})
    assert client.ask("DELETE", "/v1/items/503")[0] == 200
    assert listed() == set()
    for id_ in ("fresh", "503"):
        client.post(f"/v1/items/{id_}/restore", {})
    assert listed() == {503, "fresh"}
    client.refused(404, "DELETE", "/v1/items/nothing")
    wrong = {"items": [{"id": 1, "features": {"makr": "ann"}}]}
    assert client.refused(422, "POST", "/v1/items", wrong)["hint"] == "did you mean 'maker'?"


def test_a_restarted_service_knows_what_the_other_was_told(run, tmp_path: Path) -> None:
    from serving import serving

    store = str(tmp_path / "live")
    with serving(run, store=store) as client:
        client.post("/v1/events", {"events": [{"user": "new", "item": 505}]})
        client.post("/v1/items", {"items": [{"id": "fresh", "features": {"maker": "ann"}}]})
        client.ask("DELETE", "/v1/items/506")
    with serving(run, store=store) as client:
        answer = client.post("/v1/recommend", {"user": "new", "mode": "repeat"})
        assert [item["id"] for item in answer["items"]] == [505]
        answer = client.post("/v1/recommend", {"allow": ["fresh", 506, 507]})
        assert {item["id"] for item in answer["items"]} == {"fresh", 507}

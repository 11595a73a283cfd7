"""Runs that take over, services that stop, and too many requests: counted answer by answer."""

from __future__ import annotations

import json
import shutil
import threading
import time
import weakref
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving import Client, serving, wait_until

import chain
from antiphon.artifacts import open_stage, write_stage
from antiphon.errors import ArtifactError, GateError
from antiphon.recommend import Recommender

ASKED = {"user": chain.FIRST_USER + 3, "context": {"mood": "1"}, "k": 8}


def rewrite(stage: Path, **changes: Any) -> None:
    """Put other files into a stage, as if it had been made so."""
    old = stage.with_name("old")
    stage.rename(old)
    manifest = json.loads((old / "manifest.json").read_text())
    inputs = {name: open_stage(stage.parent / name) for name in manifest["inputs"]}
    with write_stage(stage, made_from=sorted(changes), inputs=inputs) as folder:
        shutil.copytree(old, folder, dirs_exist_ok=True)
        (folder / "manifest.json").unlink()
        for name, change in changes.items():
            change(next(folder.glob(f"{name}.*")))
    shutil.rmtree(old)


def turned(path: Path) -> None:
    """Candidates in another order: the same model with other lists."""
    candidates = np.load(path)
    candidates[1:] = candidates[:0:-1].copy()
    np.save(path, candidates)


@pytest.fixture
def runs(run: Path, tmp_path: Path) -> Path:
    """A folder with two runs, `one` and `two`, whose answers differ."""
    folder = tmp_path / "runs"
    for name in ("one", "two"):
        shutil.copytree(run, folder / name)
    for stage in ("evaluation", "index"):
        shutil.rmtree(folder / "two" / stage)
    rewrite(folder / "two" / "model", candidates=turned)
    return folder


def expected(path: Path) -> list[int]:
    answer = Recommender.load(path).recommend(ASKED["user"], ASKED["context"], ASKED["k"])
    return [int(item.id) for item in answer.items]


@contextmanager
def asking(client: Client, threads: int = 3) -> Iterator[Counter[Any]]:
    """Requests without a pause; counts (status, run, ids) of what came back."""
    seen: Counter[Any] = Counter()
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            status, data, _ = client.ask("POST", "/v1/recommend", ASKED)
            ids = tuple(item["id"] for item in data.get("items", ()))
            seen[status, data.get("run", {}).get("name"), ids] += 1

    with ThreadPoolExecutor(threads) as pool:
        asked = [pool.submit(ask) for _ in range(threads)]
        try:
            yield seen
        finally:
            stop.set()
            for one in asked:
                one.result()


def test_runs_change_under_load_without_a_failed_or_a_mixed_answer(runs) -> None:
    lists = {name: tuple(expected(runs / name)) for name in ("one", "two")}
    assert lists["one"] != lists["two"]
    with serving(runs / "one") as client, asking(client) as seen:
        first = client.get("/v1/model")["run"]
        for name in ("two", "one"):
            told = client.post("/v1/admin/deploy", {"run": name})
            assert told["run"]["name"] == name
            assert told["run"] == client.get("/v1/model")["run"]
            count = seen.total()
            wait_until(lambda count=count: seen.total() > count + 20)
        told = client.post("/v1/admin/rollback", {})
        assert (told["run"]["name"], told["previous"]["name"]) == ("two", "one")
        count = seen.total()
        wait_until(lambda: seen.total() > count + 20)
        back = client.post("/v1/admin/rollback", {})
        assert back["run"] == first
    # every single answer is the whole answer of the run it names
    assert set(seen) == {(200, name, ids) for name, ids in lists.items()}, seen


def test_what_the_path_leads_to_is_served_when_it_changes(runs) -> None:
    path = runs / "now"
    path.symlink_to("one")
    with serving(path) as client:
        assert client.get("/v1/model")["run"]["name"] == "one"
        other = runs / "next"
        other.symlink_to("two")
        other.rename(path)
        wait_until(lambda: client.get("/v1/model")["run"]["name"] == "two")
        # what was rolled back stays so, although the path still leads there
        client.post("/v1/admin/rollback", {})
        time.sleep(2.5)
        assert client.get("/v1/model")["run"]["name"] == "one"


def failed_gate(path: Path) -> None:
    document = json.loads(path.read_text())
    document["gates"] = {"learned": {"passed": False, "sentence": "it didn't", "figures": []}}
    path.write_text(json.dumps(document))


def refused_runs(runs: Path, run: Path) -> dict[str, str]:
    """Runs that mustn't be served, and a word of why."""
    for name in ("gate", "cut", "unchecked", "mixed"):
        shutil.copytree(run, runs / name)
    rewrite(runs / "gate" / "evaluation", evaluation=failed_gate)
    with (runs / "cut" / "model" / "candidates.npy").open("r+b") as file:
        file.truncate(100)
    shutil.rmtree(runs / "unchecked" / "evaluation")
    config = runs / "unchecked" / "config.toml"
    config.write_text(config.read_text().replace("learned = false", "learned = true"))
    shutil.rmtree(runs / "mixed" / "model")
    shutil.copytree(runs / "two" / "model", runs / "mixed" / "model")
    return {
        "gate": "gates failed: learned",
        "cut": "truncated",
        "unchecked": "wasn't evaluated",
        "mixed": "was not computed from",
        "nothing": "no such run",
    }


def test_a_run_that_is_refused_leaves_the_old_one_answering(runs, run) -> None:
    wrong = refused_runs(runs, run)
    with serving(runs / "one") as client, asking(client, 1) as seen:
        for name, why in wrong.items():
            error = client.refused(409, "POST", "/v1/admin/deploy", {"run": name})
            assert why in error["what"], name
        assert client.get("/v1/model")["run"]["name"] == "one"
        client.refused(409, "POST", "/v1/admin/rollback", {})
    assert {(status, name) for status, name, _ in seen} == {(200, "one")}


@pytest.mark.parametrize(("name", "error"), [("gate", GateError), ("cut", ArtifactError)])
def test_a_service_doesnt_begin_with_a_run_that_is_refused(runs, run, name, error) -> None:
    from antiphon.serve.server import bind, serve
    from antiphon.serve.settings import Settings

    refused_runs(runs, run)
    settings = Settings(port=0)
    with pytest.raises(error):
        serve(runs / name, settings, bind(settings))


def slowly(client: Client, seconds: float) -> None:
    """Let the model take its time."""
    model = client.service.current.desks.model
    answer = model._answer

    def slow(asked: Any) -> Any:
        time.sleep(seconds)
        return answer(asked)

    model._answer = slow


def test_stopping_finishes_what_was_taken(run, tmp_path) -> None:
    with ThreadPoolExecutor(6) as pool:
        with serving(run, store=str(tmp_path / "live")) as client:
            slowly(client, 0.3)
            asked = [pool.submit(client.ask, "POST", "/v1/recommend", ASKED) for _ in range(6)]
            wait_until(lambda: client.service.current.asked == 6)
        statuses = [one.result()[0] for one in asked]
    assert statuses == [200] * 6


def test_too_much_is_refused_at_once_and_the_rest_answered(run, tmp_path, caplog) -> None:
    caplog.set_level("INFO", "antiphon.serve")
    limits, store = {"queue": 4, "together": 2}, str(tmp_path / "live")
    with serving(run, store=store, limits=limits, log_requests=True) as client:
        slowly(client, 0.05)

        def ask_until_answered(_: int) -> list[tuple[int, float, str | None]]:
            seen = []
            while not seen or seen[-1][0] != 200:
                started = time.monotonic()
                status, data, headers = client.ask("POST", "/v1/recommend", ASKED)
                assert status == 200 or data["error"]["what"] == "too much is asked at once"
                seen.append((status, time.monotonic() - started, headers.get("retry-after")))
            return seen

        with ThreadPoolExecutor(16) as pool:
            tried = list(pool.map(ask_until_answered, range(32)))
        refused = [one for seen in tried for one in seen[:-1]]
        assert len(refused) > 16, "so many wait for a queue of four"
        assert {(status, retry) for status, _, retry in refused} == {(503, "1")}
        assert max(taken for _, taken, _ in refused) < 5
        # and afterwards all is well
        assert client.ask("POST", "/v1/recommend", ASKED)[0] == 200
    # the log counts them together; who found the queue full only after a look has a line
    lines = [one for one in caplog.records if one.name == "antiphon.serve"]
    told = [one.requests for one in lines if one.message == "refused"]
    alone = [one for one in lines if one.message == "request" and one.status == 503]
    assert sum(told) + len(alone) == len(refused)
    assert 0 < len(told) < sum(told), "not a line for each"
    assert sum(one.message == "request" and one.status == 200 for one in lines) == 33


def test_before_a_run_is_ready_the_service_says_so(run) -> None:
    import asyncio

    from antiphon.serve.edge import Edge
    from antiphon.serve.service import Service
    from antiphon.serve.settings import Settings

    edge = Edge(Service(run, Settings(log_requests=False)))

    async def status(path: str) -> int:
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "headers": [(b"host", b"localhost")],
        }
        await edge(scope, receive, send)
        return int(sent[0]["status"])

    assert asyncio.run(status("/health")) == 200
    assert asyncio.run(status("/ready")) == 503
    assert asyncio.run(status("/v1/users")) == 503


def test_nothing_is_left_in_memory_of_a_run_that_has_gone(runs: Path) -> None:
    with serving(runs / "one", watch=False) as client:
        first = client.service.current
        assert first is not None
        gone = [weakref.ref(part) for part in (first.loaded, first.desks, first.loaded.recommender)]
        del first
        for name in ("two", "one"):  # the run before stays for a rollback
            client.post("/v1/admin/deploy", {"run": name})
        client.post("/v1/recommend", ASKED)
        wait_until(lambda: all(ref() is None for ref in gone))

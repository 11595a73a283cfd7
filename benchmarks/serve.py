"""What does a service cost on top of its model, and what does it do when too much is asked?

    python benchmarks/serve.py [--quick] [--items N ...]

Prints JSON. A run with made-up weights (`_made_up_run.py`) is served by a process of its own, and
asked by another over 16 connections; by one worker process, and where the graph answers by two as
well. `closed_loop` is the throughput: each connection asks again as soon as it is answered, so an
answer takes 16 times as long as the service needs for one, however fast it is. What an answer takes
is told by `open_loop`: requests come in at random at a fixed rate, a quarter, half and three
quarters of that throughput, and waiting for a connection counts. Then runs are swapped meanwhile,
and four times is asked what the service can do. Beside it stand the bare `Recommender`, and a
minimal endpoint of the same framework that multiplies one random query with the embeddings. Memory
is the service's, its share of mapped files included, when ready and at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from _load import Seen, http_request, load
from _made_up_run import make_run
from antiphon.recommend import Recommender
from antiphon.request import Request
from antiphon.serve.server import bind
from antiphon.serve.settings import Settings

CONNECTIONS, USERS, FIRST_USER = 16, 20_000, 1001
OPEN_SHARES = (0.25, 0.5, 0.75)
OVERLOAD, OVERLOAD_CONNECTIONS = 4.0, 128  # a worker: more than may wait and be answered at once
AT_ONCE_MS = 100.0

MINIMAL = """
import sys
import numpy as np
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
candidates = np.load(sys.argv[1] + "/model/candidates.npy")
query = np.random.default_rng(0).standard_normal(candidates.shape[1], np.float32)
app = FastAPI()
class Asked(BaseModel):
    user: int
    context: dict[str, int] = {}
    k: int = 10
@app.post("/v1/recommend")
async def recommend(asked: Asked):
    scores = candidates @ query
    best = np.argpartition(-scores, asked.k)[:asked.k]
    best = best[np.argsort(-scores[best])]
    return {"items": [{"id": int(n), "score": float(scores[n])} for n in best]}
@app.get("/ready")
async def ready():
    return {}
uvicorn.run(app, port=int(sys.argv[2]), log_level="critical", access_log=False)
"""


def asked() -> list[dict[str, Any]]:
    generator = np.random.default_rng(0)
    users = generator.integers(FIRST_USER, FIRST_USER + USERS, 2000).tolist()
    return [{"user": u, "context": {"is_organic": u % 2}, "k": 10} for u in users]


def free_port() -> int:
    bound = bind(Settings(port=0))
    port: int = bound.getsockname()[1]
    bound.close()
    return port


def service(run: Path, workers: int, port: int) -> list[str]:
    """The command that serves a run."""
    antiphon = str(Path(sys.executable).with_name("antiphon"))
    return [antiphon, "serve", str(run), "--port", str(port), "--workers", str(workers)]


def minimal(run: Path, port: int) -> list[str]:
    """The command of the minimal endpoint."""
    return [sys.executable, "-c", MINIMAL, str(run), str(port)]


@contextmanager
def process(command: Callable[[int], list[str]]) -> Iterator[tuple[int, float, int]]:
    """Port, seconds until it was ready, and process id."""
    port, started = free_port(), time.perf_counter()
    with Path(os.devnull).open("w") as nowhere:
        running = subprocess.Popen(command(port), stdout=nowhere, stderr=nowhere)
    try:
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5).close()
                break
            except OSError:
                if running.poll() is not None:
                    raise RuntimeError("the service ended") from None
                time.sleep(0.02)
        yield port, time.perf_counter() - started, running.pid
    finally:
        running.terminate()
        running.wait(60)


def bare(run: Path, together: int, seconds: float) -> dict[str, float]:
    """The Recommender alone."""
    recommender = Recommender.load(run)
    recommender.warm_up(together)
    requests = [Request(a["user"], a["context"], k=10) for a in asked()]
    taken, at, end = [], 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        some = [requests[(at + n) % len(requests)] for n in range(together)]
        started = time.perf_counter()
        recommender.answer(some)
        taken.append(time.perf_counter() - started)
        at += together
    p50, p99 = np.quantile(taken, [0.5, 0.99]) * 1000
    return {
        "answers_per_s": round(at / sum(taken), 1),
        "p50_ms": round(float(p50), 2),
        "p99_ms": round(float(p99), 2),
    }


def resident_mib(process_id: int) -> float:
    """Memory of a process and its children; of what processes share, each has its part."""
    total, some = 0, [process_id]
    while some:
        one = some.pop()
        lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        children = Path(f"/proc/{one}/task/{one}/children").read_text()
        some += [int(child) for child in children.split()]
    return round(total / 1024, 1)


def reloads(
    port: int, run: Path, items: int, requests: list[bytes], times: int, rate: float
) -> dict[str, Any]:
    """Runs swapped under load; every answer is held against the run that it names."""
    other = make_run(run.parent / "other", items, USERS, "exact", seed=1)
    took: list[float] = []
    done = threading.Event()

    def swap() -> None:
        for turn in range(times):
            name = (other, run)[turn % 2].name
            body = json.dumps({"run": name}).encode()
            ask = urllib.request.Request(
                f"http://127.0.0.1:{port}/v1/admin/deploy",
                body,
                {"Content-Type": "application/json"},
            )
            started = time.perf_counter()
            urllib.request.urlopen(ask, timeout=120).close()
            took.append(time.perf_counter() - started)
        done.set()

    total, names = Seen(), {run.name: 0, other.name: 0}
    first: dict[str, Any] = {}
    mixed = 0
    swapping = threading.Thread(target=swap)
    swapping.start()
    while not done.is_set():
        seen = load(port, requests[:1], 4, 1.0, rate, keep_bodies=True)
        total.latency_s += seen.latency_s
        total.statuses += seen.statuses
        total.elapsed_s += seen.elapsed_s
        for body in seen.bodies:
            answer = json.loads(body)
            from_run = answer["run"]["name"]
            names[from_run] += 1
            ids = [item["id"] for item in answer["items"]]
            mixed += ids != first.setdefault(from_run, ids)
    swapping.join()
    failed = total.statuses.total() - total.statuses[200]
    return {
        "reloads": len(took),
        "seconds_each": round(float(np.mean(took)), 2),
        "answers": total.statuses[200],
        "answers_by_run": names,
        "lists_differ": len({tuple(ids) for ids in first.values()}) == len(first),
        "failed": failed,
        "statuses": {str(status): count for status, count in total.statuses.items()},
        "mixed": mixed,
        **{name: value for name, value in total.told().items() if name.startswith("p")},
    }


def measure(items: int, kind: str, workers: list[int], seconds: float, swaps: int) -> Any:
    """One corpus and kind of index."""
    requests = [http_request(one) for one in asked()]
    with tempfile.TemporaryDirectory() as name:
        run = make_run(Path(name) / "run", items, USERS, kind)
        document = json.loads((run / "index" / "index.json").read_text())
        found: dict[str, Any] = {
            "items": items,
            "engine": document["engine"],
            "index_recall_at_10": min(
                part["index_recall_at_k"]
                for part in document["recall"]
                if part["index_recall_at_k"] is not None
            ),
            "bare_one_by_one": bare(run, 1, seconds),
            "bare_together": bare(run, CONNECTIONS, seconds),
        }
        with process(partial(minimal, run)) as (port, _, _):
            load(port, requests, CONNECTIONS, 1)
            found["minimal_endpoint"] = load(port, requests, CONNECTIONS, seconds).told()
        beside = {
            name: found[name]["answers_per_s"]
            for name in ("bare_one_by_one", "bare_together", "minimal_endpoint")
        }
        found["services"] = [
            asked_of(run, count, requests, seconds, swaps if count == 1 else 0, beside)
            for count in workers
        ]
    return found


def asked_of(
    run: Path,
    workers: int,
    requests: list[bytes],
    seconds: float,
    swaps: int,
    beside: dict[str, float],
) -> dict[str, Any]:
    """A service of so many worker processes."""
    with process(partial(service, run, workers)) as (port, ready_s, process_id):
        found: dict[str, Any] = {
            "workers": workers,
            "ready_s": round(ready_s, 2),
            "ready_resident_mib": resident_mib(process_id),
        }
        load(port, requests, CONNECTIONS, 2)
        found["closed_loop"] = load(port, requests, CONNECTIONS, seconds).told()
        most = found["closed_loop"]["answers_per_s"]
        found["open_loop"] = [
            {"rate_per_s": round(share * most)}
            | load(port, requests, CONNECTIONS, seconds, share * most).told()
            for share in OPEN_SHARES
        ]
        connections = OVERLOAD_CONNECTIONS * workers
        over = load(port, requests, connections, seconds, OVERLOAD * most)
        late = sum(taken * 1000 > AT_ONCE_MS for taken in over.refused_s)
        found["overload"] = over.told() | {"refused_late": late}
        if swaps:
            items = len(np.load(run / "model" / "candidates.npy", mmap_mode="r")) - 1
            found["reloads"] = reloads(port, run, items, requests, swaps, most / 4)
        found["resident_mib"] = resident_mib(process_id)
    found["ratios"] = {
        **{f"{name}_over_service": round(rate / most, 3) for name, rate in beside.items()},
        "goodput_at_overload": round(found["overload"]["answers_per_s"] / most, 3),
    }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one small corpus")
    parser.add_argument("--items", type=int, nargs="+", help="sizes of corpora")
    options = parser.parse_args()
    sizes = options.items or ([20_000] if options.quick else [138_000, 1_000_000])
    seconds, swaps = (1.0, 2) if options.quick else (4.0, 10)
    measured = []
    for items in sizes:
        if items < 1_000_000:
            measured.append(measure(items, "exact", [1], seconds, swaps))
        measured.append(measure(items, "approximate", [1, 2], seconds, 0))
    print(
        json.dumps({"benchmark": "serve", "connections": CONNECTIONS, "runs": measured}, indent=2)
    )


if __name__ == "__main__":
    main()

"""Does a service's memory stay bounded through a day's worth of traffic?

    python benchmarks/day.py [--quick] [--items N] [--recommends N]

Prints JSON. A run with made-up weights (`_made_up_run.py`) is served by a process of its own, with
a store in a file. A day of requests goes to it over 16 connections, as fast as it answers: 86,400
for lists, one a second; half as many calls that tell one to three plays; and one call in 200 that
adds an item. One user in twenty is new, and once items were added some plays are of them. After
each hour's worth the service's memory is looked at: all that is resident, and the part of it that
isn't mapped from files, which alone can grow without end. What the service is told is kept (events
in the store's file, added items in memory too), so `growth` stands beside what was told. The first
hours fill caches and connections, so growth is also told from the sixth hour on. An answer that
isn't 200 ends the benchmark.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from _load import Seen, http_request, load
from _made_up_run import DAY, DAYS, make_run
from serve import CONNECTIONS, FIRST_USER, USERS, process, service

HOURS, SETTLED = 24, 6
EVENT_CALLS, MOST_EVENTS, ADDED = 0.5, 3, 1 / 200
NEW_USERS, NEW_ITEMS = 0.05, 0.02
FIRST_ITEM, ITEM_STEP = 7, 3  # as `make_run` calls them


def memory_mib(process_id: int) -> dict[str, float]:
    """What is resident, and how much of it is mapped from no file."""
    lines = Path(f"/proc/{process_id}/status").read_text(encoding="utf-8").splitlines()
    found = {name: rest for name, _, rest in (line.partition(":") for line in lines)}
    return {
        name: round(int(found[field].split()[0]) / 1024, 1)
        for name, field in (("resident_mib", "VmRSS"), ("anonymous_mib", "RssAnon"))
    }


def hours(items: int, recommends: int) -> Iterator[tuple[list[bytes], dict[str, int]]]:
    """The requests of each hour in a random order, and how many of each there are."""
    generator = np.random.default_rng(0)
    # some come again and again, most seldom
    often = 1 / (np.arange(USERS) + 20.0)
    often /= often.sum()
    added = 0
    for hour in range(HOURS):
        count = recommends // HOURS
        users = FIRST_USER + generator.choice(USERS, count, p=often)
        strangers = generator.random(count) < NEW_USERS
        who = [f"new-{u}" if s else int(u) for u, s in zip(users, strangers, strict=True)]
        asked: list[bytes] = [
            http_request({"user": user, "context": {"is_organic": n % 2}, "k": 10})
            for n, user in enumerate(who)
        ]
        told = 0
        for user in who[: int(count * EVENT_CALLS)]:
            events = []
            for _ in range(int(generator.integers(1, MOST_EVENTS + 1))):
                item: int | str = FIRST_ITEM + ITEM_STEP * int(generator.integers(0, items))
                if added and generator.random() < NEW_ITEMS:
                    item = f"added-{generator.integers(0, added)}"
                second = DAYS * DAY + int(DAY / HOURS * (hour + generator.random()))
                events.append(
                    {
                        "user": user,
                        "item": item,
                        "timestamp_s": second,
                        "context": {"is_organic": int(generator.integers(0, 2))},
                    }
                )
            told += len(events)
            asked.append(http_request({"events": events}, "/v1/events"))
        new = max(1, int(count * ADDED))
        for n in range(added, added + new):
            artist = int(generator.integers(1, items // 10))
            item = {"id": f"added-{n}", "title": f"Added {n}", "features": {"artist": artist}}
            asked.append(http_request({"items": [item]}, "/v1/items"))
        added += new
        order = generator.permutation(len(asked))
        yield (
            [asked[place] for place in order],
            {"recommends": count, "events": told, "items_added": new},
        )


def measure(items: int, recommends: int) -> dict[str, Any]:
    """A day's worth; see the module."""
    rows: list[dict[str, Any]] = []
    every = Seen()
    with tempfile.TemporaryDirectory() as name:
        run = make_run(Path(name) / "run", items, USERS, "exact")
        with process(partial(service, run, 1)) as (port, _, process_id):
            ready = memory_mib(process_id)
            for asked, counts in hours(items, recommends):
                seen = load(port, asked, CONNECTIONS, float("inf"), most=len(asked))
                if set(seen.statuses) != {200}:
                    raise RuntimeError(f"not all were answered: {dict(seen.statuses)}")
                every.statuses += seen.statuses
                every.latency_s += seen.latency_s
                every.elapsed_s += seen.elapsed_s
                rows.append({**counts, **memory_mib(process_id), **seen.told()})
    totals = {name: sum(row[name] for row in rows) for name in rows[0] if name in counts}
    return {
        "items": items,
        "told": totals,
        "seconds": round(every.elapsed_s, 1),
        "all": every.told(),
        "ready": ready,
        "growth": {
            "anonymous_mib": round(rows[-1]["anonymous_mib"] - ready["anonymous_mib"], 1),
            f"anonymous_mib_after_{SETTLED}_hours": round(
                rows[-1]["anonymous_mib"] - rows[SETTLED - 1]["anonymous_mib"], 1
            ),
            f"events_after_{SETTLED}_hours": sum(row["events"] for row in rows[SETTLED:]),
        },
        "by_hour": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small corpus and a quiet day")
    parser.add_argument("--items", type=int, help="of the corpus")
    parser.add_argument("--recommends", type=int, help="lists asked for in all")
    options = parser.parse_args()
    items = options.items or (20_000 if options.quick else 138_000)
    recommends = options.recommends or (2_400 if options.quick else 86_400)
    found = measure(items, recommends)
    print(json.dumps({"benchmark": "day", "connections": CONNECTIONS, **found}, indent=2))


if __name__ == "__main__":
    main()

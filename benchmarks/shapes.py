"""Does one set of defaults do on logs of other shapes than those it was made on?

    python benchmarks/shapes.py [--logs news apps radio] [--runs FOLDER] [--quick]

Prints JSON. Three logs are made up, each by a process of its own, and taken through the chain with
the defaults as they are. Those were chosen on other logs, but for one: that small logs are trained
for 400 steps was seen on these with 150 users. With 2,000, as here, they take more anyway.

    news    what is new is read for a day; topics, devices; hardly anything lasts
    apps    few items, launched again and again; the place decides, and what was launched before
    radio   tastes wander through a space, by activity; a fourth are replays, by how often played

Beside the model stand all tuned baselines; differences from the best one, with 95% intervals, are
paired by user. This is about models and takes ten minutes, so it is no part of `make bench`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from antiphon.config import Config
from antiphon.pipeline import run

DAY_S = 86_400
METRICS = ("ndcg_at_10", "recall_at_100")
Table = dict[str, np.ndarray]


def _draw(rng: np.random.Generator, weight: np.ndarray) -> np.ndarray:
    """One column of each row, in proportion to its weight."""
    total = weight.cumsum(axis=1)
    drawn = rng.random((len(weight), 1)) * total[:, -1:]
    return (total > drawn).argmax(axis=1)


def news(rng: np.random.Generator, users: int) -> tuple[Table, Table]:
    """Forty articles a day; an interest fades by a factor of e in ten hours."""
    days, topics = 30, 10
    published = np.sort(rng.integers(-2 * DAY_S, days * DAY_S, 40 * (days + 2)))
    topic = rng.integers(0, topics, len(published))
    quality = rng.lognormal(0, 1, len(published))
    taste = rng.dirichlet(np.full(topics, 0.4), users)
    on_device = rng.lognormal(0, 0.7, (2, topics))
    parts = []
    for hour in range(24 * days):
        now_s = hour * 3600
        user = np.flatnonzero(rng.random(users) < 0.25)
        device = rng.integers(0, 2, len(user))
        alive = np.flatnonzero((published <= now_s) & (published > now_s - 3 * DAY_S))
        fresh = quality[alive] * np.exp((published[alive] - now_s) / (10 * 3600))
        liking = taste[user][:, topic[alive]] * on_device[device][:, topic[alive]]
        chosen = alive[_draw(rng, liking * fresh)]
        parts.append((user, chosen, now_s + rng.integers(0, 3600, len(user)), device))
    user, item, time_s, device = (np.concatenate(part) for part in zip(*parts, strict=True))
    log = {"user": user, "item": item, "time_s": time_s, "device": device}
    return log, {"item": np.arange(len(published)), "topic": topic}


def apps(rng: np.random.Generator, users: int) -> tuple[Table, Table]:
    """Some thirty of 300 apps a user; in three of ten cases the one that goes with the last."""
    items, each, days = 300, 30, 20
    kind = rng.integers(0, 12, items)
    known = 1 / np.arange(1, items + 1) ** 0.7
    has = np.argsort(-(np.log(known) + rng.gumbel(size=(users, items))), axis=1)[:, :each]
    place_kind = rng.lognormal(0, 1.2, (2, 12))
    often = rng.lognormal(0, 1, (users, each))
    partner = rng.integers(0, each, (users, each))
    last = np.zeros(users, np.int64)
    everybody = np.arange(users)
    parts = []
    for launch in range(7 * days):
        time_s = np.int64(launch * DAY_S // 7) + rng.integers(0, DAY_S // 8, users)
        place = (((time_s // 3600) % 24 > 12) ^ (rng.random(users) < 0.2)).astype(np.int64)
        slot = _draw(rng, often * place_kind[place[:, None], kind[has]])
        follows = rng.random(users) < 0.3
        slot = np.where(follows, partner[everybody, last], slot)
        parts.append((everybody, has[everybody, slot], time_s, place))
        last = slot
    user, item, time_s, place = (np.concatenate(part) for part in zip(*parts, strict=True))
    log = {"user": user, "item": item, "time_s": time_s, "place": place}
    return log, {"item": np.arange(items), "kind": kind}


def radio(rng: np.random.Generator, users: int) -> tuple[Table, Table]:
    """Items and tastes are points; who plays moves on, and away from home by activity."""
    items, width, songs, days = 6000, 12, 120, 40
    point = rng.normal(size=(items, width))
    known = 1 / np.arange(1, items + 1) ** 0.8
    known /= known.sum()
    home = rng.normal(size=(users, width))
    away = 1.2 * rng.normal(size=(3, width))
    played = np.zeros((users, songs), np.int64)
    doing = np.zeros((users, songs), np.int64)
    activity = rng.integers(0, 3, users)
    time_s = np.sort(rng.integers(0, days * DAY_S, (users, songs)), axis=1)
    for song in range(songs):
        activity = np.where(rng.random(users) < 0.15, rng.integers(0, 3, users), activity)
        home += 0.05 * rng.normal(size=home.shape)
        offered = rng.choice(items, (users, 150), p=known)
        near = np.einsum("uw,uow->uo", home + away[activity], point[offered])
        chosen = offered[np.arange(users), _draw(rng, np.exp(near - near.max(axis=1)[:, None]))]
        if song:
            before = (doing[:, :song] == activity[:, None]) + 0.05
            again = played[np.arange(users), _draw(rng, before)]
            chosen = np.where(rng.random(users) < 0.25, again, chosen)
        played[:, song], doing[:, song] = chosen, activity
    user = np.repeat(np.arange(users), songs)
    log = {
        "user": user,
        "item": played.ravel(),
        "time_s": time_s.ravel(),
        "activity": doing.ravel(),
    }
    return log, {"item": np.arange(items), "album": np.argsort(np.argsort(point[:, 0])) // 12}


LOGS: dict[str, tuple[Callable[..., tuple[Table, Table]], str, str, str]] = {
    "news": (news, "device", "topic", "[evaluate]\nexclude_heard = true"),
    "apps": (apps, "place", "kind", ""),
    "radio": (radio, "activity", "album", ""),
}

CONFIG = """
name = "{name}"
[log]
events = "{folder}/log.parquet"
user = "user"
item = "item"
time = "time_s"
positive = "TRUE"
[[features.context]]
name = "{context}"
kind = "categorical"
[[features.item]]
name = "{feature}"
kind = "categorical"
table = "{folder}/items.parquet"
item_column = "item"
[split]
test_days = 1
{more}
"""


def measure(name: str, users: int, folder: Path, runs: Path) -> dict[str, Any]:
    """The chain on one log, and what came of it."""
    make, context, feature, more = LOGS[name]
    log, items = make(np.random.default_rng(7), users)
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(log), folder / "log.parquet")
    pq.write_table(pa.table(items), folder / "items.parquet")
    path = folder / "config.toml"
    path.write_text(
        CONFIG.format(name=name, folder=folder, context=context, feature=feature, more=more),
        encoding="utf-8",
    )
    done = run(Config.load(path), runs, until="evaluate")
    report = done.path / "evaluation" / "evaluation.json"
    evaluation = json.loads(report.read_text(encoding="utf-8"))
    found: dict[str, Any] = {
        "events": len(log["user"]),
        "users": users,
        "items": len(items["item"]),
    }
    for metric in METRICS:
        against = evaluation["comparisons"]["best_baseline"]["all"][metric]
        ours, theirs = (
            evaluation["models"][name]["all"][metric]["value"]
            for name in ("antiphon", against["baseline"])
        )
        found[metric] = {"antiphon": ours, "of_baseline": theirs, **against}
    found["seconds"] = {stage: one["seconds"] for stage, one in done.summary["stages"].items()}
    return found


def main() -> None:
    """Print what came of each log."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--logs", nargs="+", choices=sorted(LOGS), default=sorted(LOGS))
    parser.add_argument("--runs", type=Path, help="where run folders stay; by default nowhere")
    parser.add_argument("--quick", action="store_true", help="few users: does it run at all?")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        found = {}
        for name in arguments.logs:
            print(f"{name} ...", file=sys.stderr, flush=True)
            folder = Path(scratch) / name
            runs = arguments.runs or Path(scratch) / "runs"
            found[name] = measure(name, 150 if arguments.quick else 2000, folder, runs)
    print(json.dumps({"benchmark": "shapes", "logs": found}, indent=2))


if __name__ == "__main__":
    main()

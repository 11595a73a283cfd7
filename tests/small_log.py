"""Small random logs on disk, configs that read them, and what prepare must make of them."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from antiphon.config import Config

Row = dict[str, Any]

DAY_S = 86_400


def write_parquet(path: Path, rows: list[Row], types: dict[str, pa.DataType]) -> Path:
    """Rows as a Parquet file with the given column types."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {name: pa.array([row[name] for row in rows], kind) for name, kind in types.items()}
    pq.write_table(pa.table(columns), path)
    return path


def write_log(path: Path, rows: list[Row], **types: pa.DataType) -> Path:
    """A log of `rows` with the columns user, item, at, kind and whatever else they have."""
    known = {"user": pa.uint32(), "item": pa.uint32(), "at": pa.uint32(), "kind": pa.string()}
    return write_parquet(path, rows, known | types)


def config(events: Path | str, **sections: Any) -> Config:
    """A config over such a log; `log={...}` and other sections add to or replace keys."""
    log = {
        "events": str(events),
        "user": "user",
        "item": "item",
        "time": "at",
        "positive": "kind != 'skip'",
        "target": "kind = 'play'",
    } | sections.pop("log", {})
    split = {"test_days": 1, "gap_s": 1800} | sections.pop("split", {})
    prepare = {"memory_limit": "1GiB", "threads": 2} | sections.pop("prepare", {})
    return Config.parse(
        {"name": "test", "log": log, "split": split, "prepare": prepare, **sections}
    )


def random_rows(rng: np.random.Generator, count: int, *, text: bool = False) -> list[Row]:
    """Events over four days by few users, with ties in time, nulls and skipped plays."""
    users, items = int(rng.integers(1, 8)), int(rng.integers(1, 12))
    name = (lambda n: f"u{n * 7 % 31:02d}") if text else (lambda n: n * 3)
    return [
        {
            "user": name(int(rng.integers(users))),
            "item": name(int(rng.integers(items)) + 100),
            # few different times, so that many events of a user share one
            "at": int(rng.integers(4 * 24)) * 3600,
            "kind": str(rng.choice(["play", "like", "skip"], p=[0.6, 0.2, 0.2])),
            "place": None if rng.random() < 0.3 else int(rng.integers(3)),
            "hour": None if rng.random() < 0.2 else float(rng.integers(-30, 60)),
            "speed": None if rng.random() < 0.2 else float(rng.normal(5, 2)),
        }
        for _ in range(count)
    ]


CONTEXT_TYPES = {"place": pa.int8(), "hour": pa.float64(), "speed": pa.float64()}
CONTEXT = (
    {"name": "place", "kind": "categorical"},
    {"name": "hour", "kind": "cyclic", "period": 24},
    {"name": "speed", "kind": "numeric"},
)


def reference(rows: list[Row], *, test_days: float = 1, gap_s: int = 1800) -> dict[str, Any]:
    """What the arrays must hold, computed row by row in plain Python."""
    end = max(row["at"] for row in rows) + 1
    start = end - round(test_days * DAY_S)
    train_end = start - gap_s
    positive = [row for row in rows if row["kind"] != "skip"]
    train = [row for row in positive if row["at"] < train_end]
    held_out = [row for row in positive if row["at"] >= start and row["kind"] == "play"]

    plays = Counter(row["item"] for row in train)
    items = sorted(plays, key=lambda item: (-plays[item], item))
    items += sorted({row["item"] for row in held_out} - set(items))
    users = sorted({row["user"] for row in train})
    user_count, item_count = len(users), len(plays)
    users += sorted({row["user"] for row in held_out} - set(users))

    places = Counter(str(row["place"]) for row in train if row["place"] is not None)
    values = sorted(places, key=lambda value: (-places[value], value))
    speeds = [row["speed"] for row in train if row["speed"] is not None]
    mean = sum(speeds) / len(speeds) if speeds else 0.0
    deviation = 1.0
    if speeds:
        deviation = math.sqrt(sum((x - mean) ** 2 for x in speeds) / len(speeds)) or 1.0

    def nulls_first(value: float | None) -> tuple[bool, float]:
        return (value is not None, value or 0.0)

    def events(chosen: list[Row], last_user: int) -> dict[str, Any]:
        keyed = sorted(
            chosen,
            key=lambda row: (
                users.index(row["user"]),
                row["at"],
                items.index(row["item"]),
                row["kind"] == "play",
                *(nulls_first(row[name]) for name in ("place", "hour", "speed")),
            ),
        )
        counts = Counter(users.index(row["user"]) for row in chosen)
        offsets = [0, 0]
        for user in range(last_user):
            offsets.append(offsets[-1] + counts[user])
        return {
            "user_offsets": offsets,
            "item_number": [items.index(row["item"]) + 1 for row in keyed],
            "timestamp_s": [row["at"] for row in keyed],
            "is_target": [row["kind"] == "play" for row in keyed],
            "place": [
                0
                if row["place"] is None or str(row["place"]) not in values
                else values.index(str(row["place"])) + 1
                for row in keyed
            ],
            "hour": [math.nan if row["hour"] is None else row["hour"] % 24 for row in keyed],
            "speed": [
                math.nan if row["speed"] is None else (row["speed"] - mean) / deviation
                for row in keyed
            ],
        }

    return {
        "train": events(train, user_count),
        "held_out": events(held_out, len(users)),
        "users": users,
        "items": items,
        "plays": [plays[item] for item in items],
        "user_count": user_count,
        "item_count": item_count,
        "train_end_s": train_end,
        "held_out_start_s": start,
        "held_out_end_s": end,
        "validation_start_s": train_end - round(test_days * DAY_S),
    }


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder but the manifest."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "manifest.json"
    }

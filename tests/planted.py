"""Small logs with planted truth, as a prepared folder without a prepare stage."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from antiphon.artifacts import write_stage
from antiphon.config import Config
from antiphon.prepared import Prepared
from antiphon.schema import FittedCategorical, Schema

DAY = 86_400


def config(**changes: object) -> Config:
    """A small config; changes are `section__key=value`."""
    document: dict = {
        "name": "planted",
        "log": {"events": "none.parquet", "user": "u", "item": "i", "time": "t"},
        "features": {"context": [{"name": "mood", "kind": "categorical"}]},
        "model": {"width": 16, "history_length": 8},
        "train": {"global_batch_size": 64, "sampled_negatives": 32, "epochs": 10.0},
    }
    for key, value in changes.items():
        section, name = key.split("__")
        document.setdefault(section, {})[name] = value
    return Config.parse(document)


def moods(
    folder: Path, *, users: int = 120, items: int = 60, per_user: int = 40, seed: int = 0
) -> Prepared:
    """Users whose taste depends on the mood.

    Items fall into six kinds; a user has one favourite kind for each of two moods, and in a mood
    plays items of its kind nine times of ten. The last day is held out.
    """
    rng = np.random.default_rng(seed)
    favourite = rng.permuted(np.tile(np.arange(6), (users, 1)), axis=1)[:, :2]
    mood = rng.integers(0, 2, (users, per_user))
    kind = np.take_along_axis(favourite, mood, axis=1)
    kind = np.where(rng.random(kind.shape) < 0.9, kind, rng.integers(0, 6, kind.shape))
    item = kind * (items // 6) + rng.integers(0, items // 6, kind.shape) + 1
    time = np.sort(rng.integers(0, 10 * DAY, (users, per_user)), axis=1)
    user = np.repeat(np.arange(1, users + 1), per_user)
    return write(
        folder, user, item.ravel(), time.ravel(), {"mood": mood.ravel() + 1}, users, items, 9 * DAY
    )


def write(
    folder: Path,
    user: np.ndarray,
    item: np.ndarray,
    time: np.ndarray,
    context: dict[str, np.ndarray],
    users: int,
    items: int,
    cutoff: int,
) -> Prepared:
    """Write a prepared folder of events sorted by (user, time)."""
    schema = Schema(
        context=tuple(
            FittedCategorical(name=name, cardinality=2, values=("0", "1")) for name in context
        ),
        item_count=items,
        user_count=users,
        train_end_s=cutoff,
        held_out_start_s=cutoff,
        held_out_end_s=cutoff + DAY,
        validation_start_s=cutoff - DAY,
        gap_s=0,
    )
    with write_stage(folder, made_from="planted") as out:
        (out / "schema.json").write_text(schema.model_dump_json(), encoding="utf-8")
        (out / "statistics.json").write_text(json.dumps({"rows": len(user)}), encoding="utf-8")
        for name, chosen in (("events", time < cutoff), ("held_out", time >= cutoff)):
            part = out / name
            (part / "context").mkdir(parents=True)
            counts = np.bincount(user[chosen], minlength=users + 1)
            np.save(part / "user_offsets.npy", np.concatenate([[0], np.cumsum(counts)]))
            np.save(part / "item_number.npy", item[chosen].astype(np.int32))
            np.save(part / "timestamp_s.npy", time[chosen].astype(np.int64))
            np.save(part / "is_target.npy", np.ones(chosen.sum(), bool))
            for feature, values in context.items():
                np.save(part / "context" / f"{feature}.npy", values[chosen].astype(np.int32))
        for name, numbers, count in (("users", user, users), ("items", item, items)):
            numbers_in_training = numbers[time < cutoff]
            table = {
                "id": pa.array(np.arange(1, count + 1) * 10),
                "number": pa.array(np.arange(1, count + 1), pa.int32()),
                "count": pa.array(np.bincount(numbers_in_training, minlength=count + 1)[1:]),
            }
            pq.write_table(pa.table(table), out / f"{name}.parquet")
    return Prepared.open(folder)

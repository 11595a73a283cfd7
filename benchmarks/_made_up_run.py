"""A run of any size in seconds: what training would leave, with made-up weights.

Users play what lies near their two tastes, so libraries, lists and queries are about as alike as a
trained run's. Plays of a user follow a lognormal law: its median is `PLAYS`, its mean twice that.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from antiphon.artifacts import write_json, write_stage
from antiphon.config import Config
from antiphon.index import build_index
from antiphon.npy import NpyWriter
from antiphon.prepared import Prepared
from antiphon.repeat_term import RepeatTerm
from antiphon.retrieval import TrainedModel
from antiphon.schema import FittedCategorical, FittedCyclic, Schema
from antiphon.towers import QueryTower
from antiphon.trend import Kinds

PLAYS, MOST_PLAYS = 200, 4000
DAY, DAYS = 86_400, 100
WIDTH = 64
KINDS = 2000
BLOCK = 1 << 18

CONTEXT = [
    {"name": "is_organic", "kind": "categorical", "values": {"0": "leaning back", "1": "asking"}},
    {"name": "hour", "kind": "cyclic", "period": 24},
]


def make_run(folder: Path, items: int, users: int, kind: str = "auto", seed: int = 0) -> Path:
    """Write a run with an index.

    Args:
        folder: of the run, which may not exist.
        items: candidates.
        users: of the log.
        kind: `index.kind`.
        seed: of everything random; runs of different seeds have different versions.
    """
    folder.mkdir(parents=True)
    config = Config.parse(
        {
            "name": folder.name,
            "log": {"events": "made_up.parquet", "user": "u", "item": "i", "time": "t"},
            "features": {
                "context": CONTEXT,
                "item": [{"name": "artist", "kind": "categorical", "table": "made_up.parquet"}],
            },
            "model": {"width": WIDTH},
            "index": {"kind": kind, "k": (10,)},
        }
    )
    (folder / "config.toml").write_text(config.to_toml(), encoding="utf-8")
    generator = np.random.default_rng(seed)
    centres = _unit(generator.standard_normal((KINDS, WIDTH), np.float32))
    prepared = _prepared(folder / "prepared", items, users, generator, seed)
    _model(folder / "model", config, prepared, centres, generator)
    build_index(config, TrainedModel.load_run(folder), folder / "index")
    return folder


def _prepared(
    folder: Path, items: int, users: int, generator: np.random.Generator, seed: int
) -> Prepared:
    """Items of a kind are neighbours in number; kinds stand in the order of popularity."""
    plays = np.minimum(generator.lognormal(np.log(PLAYS), 1.2, users), MOST_PLAYS).astype(np.int64)
    rows, of_kind = int(plays.sum()), max(1, items // KINDS)
    user = np.repeat(np.arange(users), plays)
    tastes = np.minimum(generator.pareto(0.8, (users, 2)) * 20, KINDS - 1).astype(np.int64)
    organic = generator.integers(1, 3, rows).astype(np.int32)
    near = generator.random(rows) < 0.8
    other = np.minimum(generator.pareto(0.8, rows) * 20, KINDS - 1).astype(np.int64)
    kind = np.where(near, tastes[user, organic - 1], other)
    number = np.minimum(kind * of_kind + generator.integers(0, of_kind, rows), items - 1) + 1
    time_s = np.sort(generator.integers(0, DAYS * DAY, rows))
    time_s = time_s[np.argsort(user[generator.permutation(rows)], kind="stable")]
    start = np.concatenate([[0, 0], np.cumsum(plays)]).astype(np.int64)
    for first, last in itertools.pairwise(start):
        time_s[first:last].sort()
    hour = (time_s // 3600 % 24).astype(np.float32)
    schema = Schema(
        context=(
            FittedCategorical(
                name="is_organic",
                cardinality=2,
                values=("0", "1"),
                labels=("leaning back", "asking"),
            ),
            FittedCyclic(name="hour", period=24),
        ),
        item=(FittedCategorical(name="artist", cardinality=max(1, items // 10)),),
        item_count=items,
        user_count=users,
        train_end_s=DAYS * DAY,
        held_out_start_s=DAYS * DAY + 1800,
        held_out_end_s=(DAYS + 1) * DAY,
        validation_start_s=(DAYS - 1) * DAY,
        gap_s=1800,
    )
    with write_stage(folder, made_from=[items, users, seed]) as out:
        (out / "schema.json").write_text(schema.model_dump_json(), encoding="utf-8")
        write_json(out / "statistics.json", {"rows": rows})
        (out / "held_out").mkdir()
        write_json(out / "held_out" / "statistics.json", {"rows": users})
        last = start[2:] - 1
        counts = np.bincount(number, minlength=items + 1)
        for name, offsets, chosen, seconds in (
            ("events", start, slice(None), time_s),
            (
                "held_out",
                np.r_[0, 0, np.arange(1, users + 1)],
                last,
                time_s[last] * 0 + schema.held_out_start_s,
            ),
        ):
            part = out / name
            (part / "context").mkdir(parents=True)
            np.save(part / "user_offsets.npy", offsets.astype(np.int64))
            np.save(part / "item_number.npy", number[chosen].astype(np.int32))
            np.save(part / "timestamp_s.npy", seconds.astype(np.int64))
            np.save(part / "is_target.npy", np.ones(len(seconds), bool))
            np.save(part / "context" / "is_organic.npy", organic[chosen])
            np.save(part / "context" / "hour.npy", hour[chosen])
        _vocabulary(out / "users.parquet", 1001 + np.arange(users), plays)
        _vocabulary(out / "items.parquet", 7 + 3 * np.arange(items), counts[1:])
        (out / "item_features").mkdir()
        artist = np.arange(items + 1) // 10 % max(1, items // 10) + 1
        artist[0] = 0
        np.save(out / "item_features" / "artist.npy", artist.astype(np.int32))
        (out / "values").mkdir()
        codes = np.arange(1, max(1, items // 10) + 1, dtype=np.int32)
        pq.write_table(
            pa.table({"value": codes.astype(np.int64), "code": codes}),
            out / "values" / "artist.parquet",
        )
    return Prepared.open(folder)


def _vocabulary(path: Path, ids: np.ndarray, counts: np.ndarray) -> None:
    numbers = np.arange(1, len(ids) + 1, dtype=np.int32)
    columns = {"id": ids, "number": numbers, "count": counts}
    if path.stem == "items":
        columns["title"] = pa.array([f"Track {id_:x}" for id_ in ids.tolist()])
    pq.write_table(pa.table(columns), path, row_group_size=131_072)


def _model(
    folder: Path,
    config: Config,
    prepared: Prepared,
    centres: np.ndarray,
    generator: np.random.Generator,
) -> None:
    tower = QueryTower.of(prepared.schema, config.model)
    repeat_term = RepeatTerm(tower.context)
    items, users = prepared.schema.item_count, prepared.schema.user_count
    trends = Kinds.of(prepared.schema, config.model).width
    counts = prepared.item_counts()
    of_kind = max(1, items // KINDS)
    with write_stage(folder, made_from=config.name, inputs={"prepared": prepared.stage}) as out:
        weights = {
            v.path: np.asarray(v.value) for part in (tower, repeat_term) for v in part.variables
        }
        np.savez(out / "dense.npz", allow_pickle=False, **weights)
        width = WIDTH + trends
        with NpyWriter(out / "candidates.npy", np.dtype(np.float32), (items + 1, width)) as writer:
            for start in range(0, items + 1, BLOCK):
                numbers = np.arange(start, min(start + BLOCK, items + 1))
                kind = np.minimum(np.maximum(numbers - 1, 0) // of_kind, KINDS - 1)
                noise = generator.standard_normal((len(numbers), WIDTH), np.float32) / 8
                trend = np.log1p(counts[numbers])[:, None] * generator.uniform(
                    0.5, 1, (len(numbers), trends)
                )
                rows = np.hstack([_unit(centres[kind] + noise), trend / 4]).astype(np.float32)
                rows[numbers == 0] = 0
                writer.write(rows)
        (out / "tables").mkdir()
        rows = 0.1 * generator.standard_normal((users + 1, WIDTH), np.float32)
        np.save(out / "tables" / "user.npy", rows)
        artists = max(1, items // 10) + 1
        rows = generator.standard_normal((artists, WIDTH), np.float32) / 8
        np.save(out / "tables" / "item.artist.npy", rows)


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)

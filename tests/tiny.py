"""A prepared log of a few events, written the way the prepare stage writes it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from antiphon.artifacts import write_stage
from antiphon.prepared import Prepared
from antiphon.queries import Queries
from antiphon.schema import FittedCategorical, FittedFeature, Schema

TAB = FittedCategorical(name="tab", cardinality=2, values=("home", "search"))
Event = tuple[int, int, int, int]
"""User number, item number, second, code of the tab."""


def write_prepared(
    folder: Path,
    train: Sequence[Event],
    held_out: Sequence[Event],
    *,
    item_count: int,
    user_count: int,
    validation_start_s: int = 50,
    train_end_s: int = 90,
    held_out_start_s: int = 100,
    gap_s: int = 10,
    context: tuple[FittedFeature, ...] = (TAB,),
    artist: Sequence[int] | None = None,
    not_targets: Sequence[int] = (),
) -> Prepared:
    """Users and items are called 1001, 1002, ... and 501, 502, ...; artists by item number 1..."""
    artist_feature = FittedCategorical(name="artist", cardinality=9)
    schema = Schema(
        context=context,
        item=() if artist is None else (artist_feature,),
        item_count=item_count,
        user_count=user_count,
        train_end_s=train_end_s,
        held_out_start_s=held_out_start_s,
        held_out_end_s=held_out_start_s + 1000,
        validation_start_s=validation_start_s,
        gap_s=gap_s,
    )
    with write_stage(folder / "prepared", made_from=[list(train), list(held_out)]) as stage:
        (stage / "schema.json").write_text(schema.model_dump_json())
        names = [f.name for f in context]
        _events(stage / "events", train, user_count, names, not_targets)
        most = max([user_count, *(e[0] for e in held_out)])
        _events(stage / "held_out", held_out, most, names, ())
        _vocabulary(stage, "users", 1000, user_count, [e[0] for e in train], 0)
        _vocabulary(stage, "items", 500, item_count, [e[1] for e in train], 0)
        new = [e[0] for e in held_out]
        _vocabulary(stage / "held_out", "users", 1000, most - user_count, new, user_count)
        cold = [e[1] for e in held_out]
        last = max([item_count, *cold])
        _vocabulary(stage / "held_out", "items", 500, last - item_count, cold, item_count)
        if artist is not None:
            (stage / "item_features").mkdir()
            np.save(stage / "item_features" / "artist.npy", np.array([0, *artist], np.int32))
    return Prepared.open(folder / "prepared")


def _events(
    folder: Path,
    events: Sequence[Event],
    users: int,
    context: Sequence[str],
    not_targets: Sequence[int],
) -> None:
    (folder / "context").mkdir(parents=True)
    rows = np.array(sorted(events, key=lambda e: (e[0], e[2])), np.int64).reshape(-1, 4)
    counts = np.bincount(rows[:, 0], minlength=users + 1)
    np.save(folder / "user_offsets.npy", np.concatenate([[0], np.cumsum(counts)]))
    np.save(folder / "item_number.npy", rows[:, 1].astype(np.int32))
    np.save(folder / "timestamp_s.npy", rows[:, 2])
    np.save(folder / "is_target.npy", ~np.isin(rows[:, 1], not_targets))
    for name in context:
        np.save(folder / "context" / f"{name}.npy", rows[:, 3].astype(np.int32))


def _vocabulary(
    folder: Path, which: str, base: int, count: int, used: Sequence[int], before: int
) -> None:
    numbers = np.arange(before + 1, before + count + 1)
    counts = np.bincount(np.array(used, np.int64), minlength=before + count + 1)[numbers]
    table = pa.table({"id": base + numbers, "number": numbers.astype(np.int32), "count": counts})
    pq.write_table(table, folder / f"{which}.parquet")


class FixedLists:
    """A ranker that answers with given lists, by (user key, code of the tab) or for all alike."""

    def __init__(self, lists: dict[tuple[int, int], list[int]] | list[int]) -> None:
        self.lists = lists

    def rank(
        self, queries: Queries, k: int, *, exclude_heard: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        numbers = np.zeros((len(queries), k), np.int32)
        for row in range(len(queries)):
            mine = self.lists
            if isinstance(mine, dict):
                tab = int(queries.context["tab"][row])
                mine = mine.get((int(queries.user_key[row]), tab), [])
            numbers[row, : len(mine[:k])] = mine[:k]
        places = np.arange(k, dtype=np.float32)
        return numbers, np.where(numbers > 0, -places, -np.inf).astype(np.float32)

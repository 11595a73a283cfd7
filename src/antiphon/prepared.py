"""A prepared log: what the prepare stage leaves on disk, as memory-mapped arrays.

prepared/
  schema.json                     the fitted Schema
  users.parquet, items.parquet    id, number, count (training positives); items also title
  values/NAME.parquet             value, code of a categorical item feature
  events/                         the training positives, sorted by (user, time)
    user_offsets.npy              int64 [user_count + 2]
    item_number.npy               int32 [events]
    timestamp_s.npy               int64 [events]
    is_target.npy                 bool  [events]
    context/NAME.npy              one row an event, encoded as in schema.py
    by_time/, by_item/            the same events in other orders: see `ByTime`, `ByItem`
  held_out/                       the targets of the test window, in the same form
    users.parquet, items.parquet  the same columns: new users and cold items, numbered on
  item_features/NAME.npy          one row an item number; row 0 is all missing
  statistics.json                 counts, and shares of missing values, of what training sees
  held_out/statistics.json        counts of the whole log and of the test window
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Bool, Int, Int32, Int64, Shaped

from antiphon.artifacts import Stage, open_stage
from antiphon.brackets import search_between
from antiphon.schema import Schema

__all__ = ["ByItem", "ByTime", "Events", "Prepared", "owners", "read_schema", "rows_between"]


@dataclass(frozen=True)
class ByTime:
    """All rows of events by time, and as they stand within a second; orders.py makes it.

    What is in the rows stands beside them, so that a stretch of time is read in one piece.
    """

    row: Int[np.ndarray, " events"]
    item_number: Int32[np.ndarray, " events"]
    timestamp_s: Int64[np.ndarray, " events"]


@dataclass(frozen=True)
class ByItem:
    """All rows of events user by user, and then by (item, time); orders.py makes it.

    `place` is where each row stands in `row`; `earlier` how many earlier events there are of its
    user and item.
    """

    row: Int[np.ndarray, " events"]
    place: Int[np.ndarray, " events"]
    earlier: Int32[np.ndarray, " events"]


Order = TypeVar("Order", ByTime, ByItem)


@dataclass(frozen=True)
class Events:
    """Events sorted by (user, time).

    Those of user `u` are the rows `starts[u]` to `ends[u]`; user 0, the unknown one, has none.
    The other orders, if there, are of all rows, whatever is in sight.
    """

    starts: Int64[np.ndarray, " users"]
    ends: Int64[np.ndarray, " users"]
    item_number: Int32[np.ndarray, " events"]
    timestamp_s: Int64[np.ndarray, " events"]
    is_target: Bool[np.ndarray, " events"]
    context: Mapping[str, Shaped[np.ndarray, "events ..."]]
    by_time: ByTime | None = None
    by_item: ByItem | None = None

    @classmethod
    def open(cls, folder: Path, context_names: tuple[str, ...]) -> Events:
        """Memory-map a folder of events."""
        offsets = np.load(folder / "user_offsets.npy")
        return cls(
            starts=offsets[:-1],
            ends=offsets[1:],
            item_number=_map(folder / "item_number.npy"),
            timestamp_s=_map(folder / "timestamp_s.npy"),
            is_target=_map(folder / "is_target.npy"),
            context={name: _map(folder / "context" / f"{name}.npy") for name in context_names},
            by_time=_open_order(ByTime, folder / "by_time"),
            by_item=_open_order(ByItem, folder / "by_item"),
        )

    @property
    def count(self) -> int:
        """How many events are in sight (`before` hides some)."""
        return int((self.ends - self.starts).sum())

    def first_at(
        self, users: Int64[np.ndarray, " queries"], times_s: Int64[np.ndarray, " queries"]
    ) -> Int64[np.ndarray, " queries"]:
        """For each (user, time): the row of the user's first event at or after that time.

        Where there is none, the row just after the user's last one.
        """
        low, high = self.starts[users], self.ends[users]
        some = np.flatnonzero(low < high)
        # as a rule all of a user's events come before
        if (self.timestamp_s[high[some] - 1] < times_s[some]).all():
            return np.asarray(high)
        return search_between(self.timestamp_s, times_s, low, high)

    def before(self, time_s: int) -> Events:
        """The same events as seen at `time_s`: later ones are out of sight."""
        users = np.arange(len(self.starts))
        ends = self.first_at(users, np.full(len(users), time_s, np.int64))
        return replace(self, ends=ends)

    def rows(self) -> Int64[np.ndarray, " visible"]:
        """The row numbers of all events in sight."""
        return rows_between(self.starts, self.ends)

    def row_blocks(self, rows: int) -> Iterator[Int64[np.ndarray, " some"]]:
        """The row numbers of `rows()`, about so many at a time, or one user's."""
        ends = np.cumsum(self.ends - self.starts)
        first = 0
        while first < len(ends):
            before = ends[first - 1] if first else 0
            last = max(first + 1, int(np.searchsorted(ends, before + rows, side="right")))
            yield rows_between(self.starts[first:last], self.ends[first:last])
            first = last

    def row_users(self) -> Int64[np.ndarray, " visible"]:
        """The user number of each row of `rows()`."""
        return np.repeat(np.arange(len(self.starts)), self.ends - self.starts)


@dataclass(frozen=True)
class Prepared:
    """The folder of the prepare stage."""

    stage: Stage
    schema: Schema
    events: Events
    held_out: Events

    @classmethod
    def open(cls, path: Path) -> Prepared:
        """Check and memory-map a prepared log.

        Raises:
            ArtifactError: a part is missing, damaged or of another version.
        """
        stage = open_stage(path)
        schema = read_schema(path)
        names = schema.context_names()
        return cls(
            stage,
            schema,
            Events.open(path / "events", names),
            Events.open(path / "held_out", names),
        )

    def item_feature(self, name: str) -> Shaped[np.ndarray, "items ..."]:
        """The encoded feature, one row an item number, memory-mapped."""
        return _map(self.stage.path / "item_features" / f"{name}.npy")

    def statistics(self) -> dict[str, Any]:
        """Counts and shares of missing values; those of the future under `held_out`."""
        training, held_out = (
            json.loads((self.stage.path / name).read_text(encoding="utf-8"))
            for name in ("statistics.json", "held_out/statistics.json")
        )
        return {**training, "held_out": held_out}

    def item_counts(self) -> Int[np.ndarray, " items"]:
        """Training positives of each item number; 0 for number 0."""
        return self._counts("items")

    def user_counts(self) -> Int[np.ndarray, " users"]:
        """Training positives of each user number; 0 for number 0."""
        return self._counts("users")

    def item_ids(self) -> pa.Array:
        """The log's ids of item numbers 1.. in order."""
        return self._column("items", "id")

    def user_ids(self) -> pa.Array:
        """The log's ids of user numbers 1.. in order."""
        return self._column("users", "id")

    def titles(self) -> pa.Array | None:
        """Titles of item numbers 1.. in order, or None where the log has none."""
        path = self.stage.path / "items.parquet"
        if "title" not in pq.read_schema(path).names:
            return None
        return self._column("items", "title")

    def _counts(self, which: str) -> Int[np.ndarray, " rows"]:
        counts = self._column(which, "count").to_numpy(zero_copy_only=False)
        # half the memory, where there are ten million items, unless an item was played that often
        kind = np.int32 if counts.max(initial=0) <= np.iinfo(np.int32).max else np.int64
        return np.concatenate([np.zeros(1, kind), counts.astype(kind)])

    def _column(self, which: str, column: str) -> Any:
        table = pq.read_table(self.stage.path / f"{which}.parquet", columns=[column])
        return table.column(column).combine_chunks()


def rows_between(
    starts: Int64[np.ndarray, " ranges"], ends: Int64[np.ndarray, " ranges"]
) -> Int64[np.ndarray, " rows"]:
    """All rows of ranges [start, end), one range after the other."""
    lengths = ends - starts
    return np.repeat(ends - np.cumsum(lengths), lengths) + np.arange(int(lengths.sum()))


def owners(offsets: Int64[np.ndarray, " ranges_and_one"]) -> Int64[np.ndarray, " rows"]:
    """Of each row its range `i`, which is from `offsets[i]` to `offsets[i + 1]`."""
    return np.arange(len(offsets) - 1).repeat(offsets[1:] - offsets[:-1])


def read_schema(folder: Path) -> Schema:
    """The fitted schema of a prepared folder."""
    return Schema.model_validate_json((folder / "schema.json").read_text(encoding="utf-8"))


def _open_order(kind: type[Order], folder: Path) -> Order | None:
    # held-out events have none, and neither has what older versions prepared
    if not folder.is_dir():
        return None
    return kind(*(_map(folder / f"{field.name}.npy") for field in fields(kind)))


def _map(path: Path) -> Shaped[np.ndarray, "..."]:
    # a plain view of what is mapped: indexing a memmap costs several times as much
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))

"""Ids and numbers: users 1.. in the order of their ids, items 1.. from the most played down.

Number 0 is the unknown one. Only training events number users and items; items that nothing but a
feature table knows follow by id, with a count of 0. What first appears in the held-out window is
numbered on from there, in files of its own.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Bool, Int32, Shaped

from antiphon.engine import Engine

__all__ = ["Vocabulary", "number_items", "number_users", "write_parquet"]

_ROW_GROUP = 131_072
_LONGEST_KEY = 64


class Vocabulary:
    """Looks up the numbers of ids and the ids of numbers.

    Args:
        ids: the ids of numbers 1.. in order: whole numbers or text.
    """

    def __init__(self, ids: pa.Array) -> None:
        self._ids = ids
        self._is_text = pa.types.is_string(ids.type) or pa.types.is_large_string(ids.type)
        if self._is_text:
            keys = self._keys(ids.to_pylist())
        else:
            keys = ids.to_numpy().astype(np.uint64 if ids.type == pa.uint64() else np.int64)
        self._order = np.argsort(keys, kind="stable").astype(np.int32)
        self._sorted = keys[self._order]

    @classmethod
    def open(cls, path: Path) -> Vocabulary:
        """Read `users.parquet` or `items.parquet`."""
        return cls(pq.read_table(path, columns=["id"]).column("id").combine_chunks())

    def __len__(self) -> int:
        return len(self._ids)

    def numbers(
        self, ids: Sequence[int | str] | Shaped[np.ndarray, " ids"]
    ) -> Int32[np.ndarray, " ids"]:
        """The number of each id; 0 where the log has none such.

        Whole numbers may be given as text, and text ids that look like numbers as numbers.
        """
        if len(ids) == 0 or len(self) == 0:
            return np.zeros(len(ids), np.int32)
        if self._is_text:
            wanted = self._keys([str(id_) for id_ in ids])
            valid = np.ones(len(ids), bool)
        else:
            wanted, valid = _whole(ids, self._sorted.dtype)
        place = np.minimum(np.searchsorted(self._sorted, wanted), len(self) - 1)
        known = valid & (self._sorted[place] == wanted)
        return np.where(known, self._order[place] + 1, 0).astype(np.int32)

    def ids(self, numbers: Sequence[int] | Shaped[np.ndarray, " numbers"]) -> list[Any]:
        """The id of each number from 1 on, as `int` or `str`."""
        rows = np.asarray(numbers, np.int64) - 1
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self)):
            raise IndexError(f"numbers run from 1 to {len(self)}")
        taken: list[Any] = self._ids.take(pa.array(rows)).to_pylist()
        return taken

    def spelling(self, id_: int | str) -> str:
        """An id as text, the same however it is given: known or not, 17 and "017" are one."""
        if not self._is_text:
            with contextlib.suppress(ValueError):
                return str(int(id_))
        return str(id_)

    @staticmethod
    def _keys(texts: Sequence[str]) -> Shaped[np.ndarray, " texts"]:
        """Texts as bytes of one width; very long ones stand as their digest."""
        return np.array([_key(text) for text in texts], dtype=np.bytes_)


def _key(text: str) -> bytes:
    encoded = text.encode()
    if len(encoded) <= _LONGEST_KEY:
        return encoded
    return hashlib.sha256(encoded).hexdigest().encode()


def _whole(
    ids: Sequence[int | str] | Shaped[np.ndarray, " ids"], dtype: np.dtype[Any]
) -> tuple[Shaped[np.ndarray, " ids"], Bool[np.ndarray, " ids"]]:
    """The ids as whole numbers, and which of them are such."""
    least, most = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    if isinstance(ids, np.ndarray) and ids.dtype.kind in "iu":
        fits = np.asarray((ids >= least) & (ids <= most))
        return np.where(fits, ids, 0).astype(dtype), fits
    values, valid = np.zeros(len(ids), dtype), np.zeros(len(ids), bool)
    for row, id_ in enumerate(ids):
        try:
            number = int(id_)
        except (ValueError, OverflowError, TypeError):
            continue
        if least <= number <= most and (isinstance(id_, str) or number == id_):
            values[row], valid[row] = number, True
    return values, valid


def number_users(engine: Engine, train_end_s: int) -> tuple[int, int]:
    """Make the table `users` (id, number, count): those of training, then new ones.

    Reads the table `positives`.

    Returns:
        How many users training has, and how many there are in all.
    """
    engine.run(
        "CREATE TABLE users AS SELECT user_id AS id, "
        "CAST(row_number() OVER (ORDER BY CASE WHEN n > 0 THEN 0 ELSE 1 END, user_id) AS INTEGER) "
        "AS number, n AS count "
        f"FROM (SELECT user_id, {_count_before(train_end_s)} AS n FROM positives GROUP BY user_id)"
    )
    return _sizes(engine, "users", "count > 0")


def number_items(engine: Engine, train_end_s: int, catalogue: Sequence[str]) -> tuple[int, int]:
    """Make the table `items` (id, number, count, known): known ones, then cold ones.

    Args:
        engine: has the table `positives`.
        train_end_s: only earlier events count.
        catalogue: relations with a column `item_id`, whose items are known too.

    Returns:
        How many items are known, and how many there are in all.
    """
    listed = "".join(
        f" UNION ALL SELECT item_id, 0 AS n, TRUE AS known FROM {relation}"
        for relation in catalogue
    )
    counted = (
        f"SELECT item_id, {_count_before(train_end_s)} AS n, "
        f"{_count_before(train_end_s)} > 0 AS known FROM positives GROUP BY item_id"
    )
    engine.run(
        "CREATE TABLE items AS SELECT item_id AS id, "
        "CAST(row_number() OVER (ORDER BY known DESC, n DESC, item_id) AS INTEGER) AS number, "
        "CAST(n AS BIGINT) AS count, known FROM (SELECT item_id, sum(n) AS n, "
        "max(CASE WHEN known THEN 1 ELSE 0 END) = 1 AS known "
        f"FROM ({counted}{listed}) AS listed GROUP BY item_id)"
    )
    return _sizes(engine, "items", "known")


def _count_before(time_s: int) -> str:
    return f"CAST(sum(CASE WHEN timestamp_s < {time_s} THEN 1 ELSE 0 END) AS BIGINT)"


def _sizes(engine: Engine, table: str, known: str) -> tuple[int, int]:
    ((count, known_count),) = engine.rows(
        f"SELECT count(*), count(CASE WHEN {known} THEN 1 END) FROM {table}"
    )
    return known_count, count


def write_parquet(path: Path, batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> None:
    """Write batches as row groups of a fixed size, however they were cut."""
    path.parent.mkdir(exist_ok=True)
    with pq.ParquetWriter(path, schema) as writer:
        waiting: list[pa.RecordBatch] = []
        rows = 0
        for batch in batches:
            waiting.append(batch)
            rows += len(batch)
            while rows >= _ROW_GROUP:
                table = pa.Table.from_batches(waiting, schema)
                writer.write_table(table.slice(0, _ROW_GROUP).combine_chunks())
                waiting = table.slice(_ROW_GROUP).to_batches()
                rows -= _ROW_GROUP
        if rows:
            writer.write_table(pa.Table.from_batches(waiting, schema).combine_chunks())

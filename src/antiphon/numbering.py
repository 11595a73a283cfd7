"""Users are numbered 1.. in the order of their ids, items 1.. from the most played down.

Number 0 is the unknown one. Only training events number users and items; items that nothing but a
feature table knows follow by id, with a count of 0. What first appears in the held-out window is
numbered on from there, in files of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from antiphon.engines import Engine

__all__ = ["number_items", "number_users", "write_parquet"]

_ROW_GROUP = 131_072


def number_users(engine: Engine, train_end_s: int) -> tuple[int, int]:
    """Make the table `users` (id, number, count): those of training, then new ones.

    Reads the table `positives`.

    Returns:
        How many users training has, and how many there are in all.
    """
    engine.store(
        "users",
        "SELECT user_id AS id, "
        "CAST(row_number() OVER (ORDER BY CASE WHEN n > 0 THEN 0 ELSE 1 END, user_id) AS INTEGER) "
        "AS number, n AS count "
        f"FROM (SELECT user_id, {_count_before(train_end_s)} AS n FROM positives GROUP BY user_id)",
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
    engine.store(
        "items",
        "SELECT item_id AS id, "
        "CAST(row_number() OVER (ORDER BY known DESC, n DESC, item_id) AS INTEGER) AS number, "
        "CAST(n AS BIGINT) AS count, known FROM (SELECT item_id, sum(n) AS n, "
        "max(CASE WHEN known THEN 1 ELSE 0 END) = 1 AS known "
        f"FROM ({counted}{listed}) AS listed GROUP BY item_id)",
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

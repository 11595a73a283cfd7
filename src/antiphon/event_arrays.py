"""Positives of a window of time, sorted by (user, time), as arrays.

A sort never holds more than the events of a range of users that fits in memory; there are no lists
of a user's events anywhere, only rows, and where each user's rows start. Events of one user and
second are ordered by item number, then by whether they are targets, then by context, so that equal
logs make equal bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Int64, Shaped

from antiphon.encode import encode, numbers
from antiphon.engines import Engine
from antiphon.events import context_column
from antiphon.fit import fit_categorical, fit_numeric
from antiphon.npy import NpyWriter, read_blocks
from antiphon.orders import write_orders
from antiphon.schema import (
    CategoricalFeature,
    CyclicFeature,
    Feature,
    FittedCategorical,
    FittedCyclic,
    FittedFeature,
    FittedNumeric,
    FittedVector,
    NumericFeature,
    VectorFeature,
)

__all__ = ["WrittenEvents", "write_events", "write_training_events"]

_BLOCK = 1_000_000
# seen for a sort of four narrow columns and a join, with room for its copies
_BYTES_PER_ROW = 100
_BYTES_PER_CONTEXT = 40


@dataclass(frozen=True)
class WrittenEvents:
    """What was written: the context features as fitted, and how much of each is missing."""

    events: int
    targets: int
    users: int
    context: tuple[FittedFeature, ...]
    missing: dict[str, int]


@dataclass(frozen=True)
class _Column:
    """How a context feature's raw values become rows of an array."""

    name: str
    dtype: np.dtype[Any]
    width: tuple[int, ...]
    encode: Callable[[pa.Array], Shaped[np.ndarray, "rows ..."]]


def write_training_events(
    engine: Engine, folder: Path, declared: Sequence[Feature], train_end_s: int, user_count: int
) -> WrittenEvents:
    """Fit the context features and write the events before `train_end_s`.

    Args:
        engine: has the tables `positives`, `users` and `items`.
        folder: gets the arrays.
        declared: the context features of the config.
        train_end_s: training events are before it.
        user_count: users have the numbers 1 to this.
    """
    window = f"timestamp_s < {train_end_s}"
    fitted = [
        _fit(engine, feature, context_column(number), window)
        for number, feature in enumerate(declared)
    ]
    columns = [_raw(f.name) if isinstance(f, FittedNumeric) else _encoded(f) for f in fitted]
    written = _write(engine, folder, window, user_count, columns)
    for number, feature in enumerate(fitted):
        if isinstance(feature, FittedNumeric):
            fitted[number] = _standardise(folder / "context" / f"{feature.name}.npy", feature.name)
    write_orders(folder)
    return WrittenEvents(*written[:3], tuple(fitted), written[3])


def write_events(
    engine: Engine,
    folder: Path,
    fitted: Sequence[FittedFeature],
    start_s: int,
    end_s: int,
    user_count: int,
) -> WrittenEvents:
    """Write the events of [start_s, end_s), their contexts encoded as fitted."""
    window = f"timestamp_s >= {start_s} AND timestamp_s < {end_s}"
    written = _write(engine, folder, window, user_count, [_encoded(f) for f in fitted])
    return WrittenEvents(*written[:3], tuple(fitted), written[3])


def _fit(engine: Engine, feature: Feature, column: str, window: str) -> FittedFeature:
    match feature:
        case CategoricalFeature():
            known = f"{column} IS NOT NULL"
            if engine.type_kind(engine.columns("positives")[column]) == "float":
                known += f" AND NOT isnan({column})"
            counted = engine.rows(
                f"SELECT {column}, count(*) FROM positives WHERE {window} AND {known} "
                f"GROUP BY {column}"
            )
            return fit_categorical(feature, [(row[0], row[1]) for row in counted])
        case CyclicFeature():
            return FittedCyclic(name=feature.name, period=feature.period)
        case NumericFeature():
            return FittedNumeric(name=feature.name, mean=0.0, deviation=1.0)  # not known yet
        case VectorFeature():
            return FittedVector(name=feature.name, size=feature.size)


def _encoded(feature: FittedFeature) -> _Column:
    width = (feature.size,) if isinstance(feature, FittedVector) else ()
    dtype = feature.dtype if isinstance(feature, FittedCategorical) else np.dtype(np.float32)
    return _Column(feature.name, dtype, width, partial(encode, feature))


def _raw(name: str) -> _Column:
    return _Column(name, np.dtype(np.float64), (), numbers)


def _standardise(path: Path, name: str) -> FittedNumeric:
    """Turn an array of raw numbers into an encoded one."""
    raw = path.with_suffix(".raw")
    path.rename(raw)
    fitted = fit_numeric(name, lambda: read_blocks(raw, _BLOCK))
    count = sum(len(block) for block in read_blocks(raw, _BLOCK))
    with NpyWriter(path, np.float32, (count,)) as writer:
        for block in read_blocks(raw, _BLOCK):
            writer.write(encode(fitted, pa.array(block)))
    raw.unlink()
    return fitted


def _write(
    engine: Engine, folder: Path, window: str, user_count: int, columns: Sequence[_Column]
) -> tuple[int, int, int, dict[str, int]]:
    counts = _counts(engine, window, user_count)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    events, targets = int(offsets[-1]), 0
    missing = {column.name: 0 for column in columns}
    raw = [context_column(number) for number in range(len(columns))]
    selected = "".join(f", {name}" for name in raw)
    order = "".join(f", {name} NULLS FIRST" for name in raw)
    width = sum(8 * int(np.prod(c.width)) if c.width else _BYTES_PER_CONTEXT for c in columns)
    rows_at_once = engine.memory_bytes // (_BYTES_PER_ROW + width)
    with ExitStack() as files:

        def array(name: str, dtype: Any, *shape: int) -> NpyWriter:
            return files.enter_context(NpyWriter(folder / f"{name}.npy", dtype, (events, *shape)))

        items, times = array("item_number", np.int32), array("timestamp_s", np.int64)
        is_target = array("is_target", np.bool_)
        contexts = [array(f"context/{c.name}", c.dtype, *c.width) for c in columns]
        for first, last in _user_ranges(counts, rows_at_once):
            sql = (
                "SELECT items.number AS item_number, p.timestamp_s, p.is_target"
                f"{selected} FROM positives AS p JOIN users ON users.id = p.user_id "
                "JOIN items ON items.id = p.item_id "
                f"WHERE {window} AND users.number BETWEEN {first} AND {last} "
                f"ORDER BY users.number, timestamp_s, item_number, is_target{order}"
            )
            for batch in engine.batches(sql):
                items.write(batch.column(0).to_numpy())
                times.write(batch.column(1).to_numpy())
                flags = batch.column(2).to_numpy(zero_copy_only=False)
                targets += int(flags.sum())
                is_target.write(flags)
                for column, writer, values in zip(
                    columns, contexts, batch.columns[3:], strict=True
                ):
                    encoded = column.encode(values)
                    missing[column.name] += _count_missing(encoded)
                    writer.write(encoded)
    np.save(folder / "user_offsets.npy", np.concatenate([[0], offsets]).astype(np.int64))
    return events, targets, int((counts > 0).sum()), missing


def _counts(engine: Engine, window: str, user_count: int) -> Int64[np.ndarray, " users"]:
    """Events of each user number from 1 on."""
    counted = engine.table(
        "SELECT users.number AS number, count(*) AS events FROM positives "
        f"JOIN users ON users.id = positives.user_id WHERE {window} GROUP BY users.number"
    )
    counts = np.zeros(user_count, np.int64)
    counts[counted.column("number").to_numpy() - 1] = counted.column("events").to_numpy()
    return counts


def _user_ranges(counts: Int64[np.ndarray, " users"], rows: int) -> Iterator[tuple[int, int]]:
    """Ranges of user numbers, both ends included, with at most `rows` events, or one user."""
    ends = np.cumsum(counts)
    first = 0
    while first < len(counts):
        before = ends[first - 1] if first else 0
        after = max(first + 1, int(np.searchsorted(ends, before + rows, side="right")))
        if ends[after - 1] > before:
            yield first + 1, after
        first = after


def _count_missing(encoded: Shaped[np.ndarray, "rows ..."]) -> int:
    if encoded.dtype.kind == "i":
        return int((encoded == 0).sum())
    first = encoded if encoded.ndim == 1 else encoded[:, 0]
    return int(np.isnan(first).sum())

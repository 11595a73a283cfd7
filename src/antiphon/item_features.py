"""Tables about items, as arrays with one row an item number.

Row 0, and the row of an item that a table doesn't know, is missing. An item with several numbers in
a table has the smallest; one with several vectors is an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

import numpy as np
import pyarrow as pa
from jaxtyping import Int64

from antiphon.columns import check_feature, column_of
from antiphon.config import Config
from antiphon.encode import encode, missing_vectors, vectors
from antiphon.engines import Engine
from antiphon.errors import LogError
from antiphon.files import find_files
from antiphon.fit import fit_numeric
from antiphon.item_values import write_categorical
from antiphon.npy import NpyWriter
from antiphon.schema import (
    CategoricalFeature,
    CyclicFeature,
    Feature,
    FittedCyclic,
    FittedFeature,
    FittedVector,
    NumericFeature,
    VectorFeature,
)

__all__ = ["ItemTable", "open_item_tables", "open_titles", "write_item_feature"]

_BLOCK = 1_000_000
_VECTOR_BLOCK = 4_096


@dataclass(frozen=True)
class ItemTable:
    """A feature table as a relation with `item_id` (of the log's type) and `value`."""

    feature: Feature
    relation: str


def open_item_tables(engine: Engine, config: Config, item_type: str) -> list[ItemTable]:
    """Check the tables and expressions of all item features.

    Raises:
        ConfigError: a file or column isn't there, or an expression doesn't fit its kind.
        LogError: a file is damaged, or its ids aren't like the log's.
    """
    tables = []
    for feature in config.features.item:
        key = f"features.item.{feature.name}"
        source = _scan(engine, str(feature.table), key)
        check_feature(engine, feature, source, key)
        item = feature.item_column or config.log.item
        relation = _item_values(engine, source, item, feature.expression, key, item_type)
        tables.append(ItemTable(feature, relation))
    return tables


def open_titles(engine: Engine, config: Config, item_type: str) -> str | None:
    """The relation with `item_id` and `value` (the title), if the config names one."""
    log = config.log
    if log.titles is None:
        return None
    source = _scan(engine, log.titles, "log.titles")
    engine.check(log.title, source, "log.title")
    item = log.title_item_column or log.item
    return _item_values(engine, source, item, log.title, "log.titles", item_type)


def _scan(engine: Engine, table: str, key: str) -> str:
    files = find_files((table,), key)
    return engine.scan(files.paths, files.kind)


def _item_values(
    engine: Engine, source: str, item: str, expression: str, key: str, item_type: str
) -> str:
    columns = engine.columns(source)
    item_id = column_of(columns, item, f"{key}: the item column")
    if engine.type_kind(item_type) == "whole" and engine.type_kind(columns[item]) != "whole":
        raise LogError(
            f"{key}: the item column {item!r} has the type {columns[item]}",
            received=source,
            allowed="whole numbers, as in the log",
        )
    return (
        f"(SELECT CAST({item_id} AS {item_type}) AS item_id, ({expression}\n) AS value "
        f"FROM {source} AS files WHERE {item_id} IS NOT NULL)"
    )


def write_item_feature(
    engine: Engine, table: ItemTable, item_count: int, folder: Path
) -> tuple[FittedFeature, float]:
    """Encode one feature of all known items.

    Args:
        engine: has the table `items`.
        table: where the values are.
        item_count: items have the numbers 1 to this.
        folder: gets `item_features/NAME.npy` and, of categorical ones, `values/NAME.parquet`.

    Returns:
        The fitted feature, and the share of items without a value.

    Raises:
        LogError: the table knows none of the items, or a vector can't be used.
    """
    feature = table.feature
    values = (
        "(SELECT items.number AS number, items.id AS id, listed.value AS value "
        f"FROM {table.relation} AS listed JOIN items ON items.id = listed.item_id "
        f"WHERE items.number <= {item_count} AND listed.value IS NOT NULL)"
    )
    fitted: FittedFeature
    match feature:
        case CategoricalFeature():
            fitted, found = write_categorical(engine, feature, values, item_count, folder)
        case CyclicFeature() | NumericFeature():
            fitted, found = _write_number(engine, feature, values, item_count, folder)
        case VectorFeature():
            fitted, found = _write_vector(engine, feature, values, item_count, folder)
        case _:
            assert_never(feature)
    if found == 0:
        raise LogError(
            f"the table of {feature.name!r} knows none of the log's items",
            received=feature.table,
            hint="is item_column right, and are its ids written as in the log?",
        )
    return fitted, 1 - found / item_count


def _write_number(
    engine: Engine,
    feature: CyclicFeature | NumericFeature,
    values: str,
    item_count: int,
    folder: Path,
) -> tuple[FittedFeature, int]:
    raw = np.full(item_count + 1, np.nan)
    smallest = f"SELECT number, min(CAST(value AS DOUBLE)) FROM {values} AS each GROUP BY number"
    for batch in engine.batches(smallest):
        raw[batch.column(0).to_numpy()] = batch.column(1).to_numpy()
    raw[~np.isfinite(raw)] = np.nan
    blocks = [raw[start : start + _BLOCK] for start in range(0, len(raw), _BLOCK)]
    fitted: FittedFeature
    match feature:
        case CyclicFeature():
            fitted = FittedCyclic(name=feature.name, period=feature.period)
        case NumericFeature():
            fitted = fit_numeric(feature.name, lambda: blocks)
        case _:
            assert_never(feature)
    path = folder / "item_features" / f"{feature.name}.npy"
    with NpyWriter(path, np.float32, raw.shape) as writer:
        for block in blocks:
            writer.write(encode(fitted, pa.array(block)))
    return fitted, int(np.isfinite(raw).sum())


def _write_vector(
    engine: Engine, feature: VectorFeature, values: str, item_count: int, folder: Path
) -> tuple[FittedVector, int]:
    fitted = FittedVector(name=feature.name, size=feature.size)
    path = folder / "item_features" / f"{feature.name}.npy"
    missing = missing_vectors(feature.size, _VECTOR_BLOCK).astype(np.float16)
    with NpyWriter(path, np.float16, (item_count + 1, feature.size)) as writer:
        for start in range(0, item_count + 1, _VECTOR_BLOCK):
            writer.write(missing[: item_count + 1 - start])
    seen = np.zeros(item_count + 1, bool)
    for batch in engine.batches(f"SELECT number, value, id FROM {values} AS each", _VECTOR_BLOCK):
        number, ids = batch.column(0).to_numpy(), batch.column(2)
        found, _ = vectors(fitted, batch.column(1), ids)
        with np.errstate(over="ignore"):
            narrow = found.astype(np.float16)
        finite = np.isfinite(narrow).all(axis=1)
        _refuse(feature, np.flatnonzero(~finite), ids, "elements beyond float16's 65,504")
        _, firsts = np.unique(number, return_index=True)
        once = np.zeros(len(number), bool)
        once[firsts] = ~seen[number[firsts]]
        _refuse(feature, np.flatnonzero(~once), ids, "several vectors of one item")
        seen[number] = True
        # mapped anew for each block, since touched pages count as memory of the process
        mapped = np.lib.format.open_memmap(path, "r+")
        mapped[number] = narrow
        del mapped
    return fitted, int(seen.sum())


def _refuse(
    feature: VectorFeature, rows: Int64[np.ndarray, " rows"], ids: pa.Array, received: str
) -> None:
    if len(rows):
        raise LogError(
            f"a vector of {feature.name!r} can't be used: item {ids[int(rows[0])]}",
            received=received,
            allowed=f"one vector of {feature.size} finite numbers for an item",
        )

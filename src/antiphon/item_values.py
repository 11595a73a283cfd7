"""Categorical features of items: values numbered, and several of them for one item."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Int32, Int64

from antiphon.encode import find_spelling
from antiphon.engines import Engine
from antiphon.npy import NpyWriter
from antiphon.numbering import write_parquet
from antiphon.schema import CategoricalFeature, FittedCategorical

__all__ = ["write_categorical"]

_BLOCK = 1_000_000


def write_categorical(
    engine: Engine, feature: CategoricalFeature, values: str, item_count: int, folder: Path
) -> tuple[FittedCategorical, int]:
    """Write `item_features/NAME.npy` and `values/NAME.parquet` (value, code).

    Codes go to the values of most items first, equals by value; or in the order declared. An item
    with more than `max_values` keeps those with the smallest codes, in their order.

    Args:
        engine: runs everything.
        feature: as declared.
        values: a relation with `number` (of the item) and `value`, not null.
        item_count: items have the numbers 1 to this.
        folder: of the stage.

    Returns:
        The fitted feature and how many items have a value.
    """
    engine.store("item_values", _distinct(engine, feature, values))
    if feature.values is None:
        engine.store(
            "item_codes",
            "SELECT value, "
            "CAST(row_number() OVER (ORDER BY n DESC, value) AS INTEGER) AS code "
            "FROM (SELECT value, count(*) AS n FROM item_values GROUP BY value)",
        )
        cardinality = int(engine.rows("SELECT count(*) FROM item_codes")[0][0])
    else:
        _declare(engine, feature.values)
        cardinality = len(feature.values)
    ordered = "SELECT value, code FROM item_codes ORDER BY code, value"
    schema = engine.schema(ordered)
    write_parquet(folder / "values" / f"{feature.name}.parquet", engine.batches(ordered), schema)
    engine.store(
        "item_coded",
        "SELECT DISTINCT item_values.number, item_codes.code "
        "FROM item_values JOIN item_codes ON item_codes.value = item_values.value",
    )
    found = _write_codes(engine, feature, item_count, folder)
    return FittedCategorical(
        name=feature.name, cardinality=cardinality, max_values=feature.max_values
    ), found


def _distinct(engine: Engine, feature: CategoricalFeature, values: str) -> str:
    """SQL for each item's values, each once."""
    value = "value"
    if engine.type_kind(engine.columns(values)["value"]) == "list":
        values = f"(SELECT number, {engine.each_of('value')} AS value FROM {values} AS lists)"
    elif feature.separator is not None:
        parts = engine.each_of(engine.split_text("CAST(value AS STRING)", feature.separator))
        values = f"(SELECT number, {parts} AS value FROM {values} AS joined)"
        value = "nullif(trim(value), '')"
    known = f"{value} IS NOT NULL"
    if engine.type_kind(engine.columns(values)["value"]) == "float":
        known += f" AND NOT isnan({value})"
    return f"SELECT DISTINCT number, {value} AS value FROM {values} AS each WHERE {known}"


def _declare(engine: Engine, declared: dict[str, str]) -> None:
    """Make `item_codes` of the values in the table that were declared, however they are written."""
    known = {value: code for code, value in enumerate(declared, 1)}
    raw = engine.table("SELECT DISTINCT value FROM item_values").column("value").combine_chunks()
    codes = np.array([find_spelling(value, known) for value in raw.to_pylist()], np.int32)
    coded = pa.table({"value": raw, "code": pa.array(codes)})
    engine.load("item_codes", coded.filter(pa.array(codes > 0)))


def _write_codes(engine: Engine, feature: CategoricalFeature, item_count: int, folder: Path) -> int:
    path = folder / "item_features" / f"{feature.name}.npy"
    shape = (item_count + 1, feature.max_values)
    found = 0
    with NpyWriter(path, np.int32, shape if feature.max_values > 1 else shape[:1]) as writer:
        for start in range(0, item_count + 1, _BLOCK):
            rows = min(_BLOCK, item_count + 1 - start)
            pairs = engine.table(
                "SELECT number, code FROM item_coded "
                f"WHERE number BETWEEN {start} AND {start + rows - 1} ORDER BY number, code"
            )
            block = _side_by_side(
                pairs.column("number").to_numpy().astype(np.int64) - start,
                pairs.column("code").to_numpy(),
                rows,
                feature.max_values,
            )
            found += int((block[:, 0] > 0).sum())
            writer.write(block if feature.max_values > 1 else block[:, 0])
    return found


def _side_by_side(
    rows: Int64[np.ndarray, " pairs"], codes: Int32[np.ndarray, " pairs"], count: int, width: int
) -> Int32[np.ndarray, "count width"]:
    """Codes sorted by row, laid out as the first `width` of each row, padded with 0."""
    block = np.zeros((count, width), np.int32)
    first = np.searchsorted(rows, rows)
    place = np.arange(len(rows)) - first
    fits = place < width
    block[rows[fits], place[fits]] = codes[fits]
    return block

"""Files as Spark reads them: their places and types kept, where it would lose them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f

__all__ = ["ARROW_TYPE", "PLACE", "open_csv", "open_parquet", "source", "with_types"]

ARROW_TYPE = "arrow_type"
"""In a column's metadata: the unsigned type that it has outside Spark."""
PLACE = "place_in_files"
"""A column that Parquet files get: the file's URI, and the row in it, from 0."""


def open_parquet(session: SparkSession, paths: Sequence[Path]) -> DataFrame:
    """Parquet files of the same columns; read in pieces by many workers."""
    frame = session.read.parquet(*map(source, paths))
    place = f.struct("_metadata.file_path", "_metadata.row_index").alias(PLACE)
    return with_types(frame.select("*", place), pq.read_schema(paths[0]))


def open_csv(session: SparkSession, paths: Sequence[Path]) -> DataFrame:
    """CSV files of the same columns, types from all rows; each read by one worker."""
    # multiLine: a quoted text may go over several lines, and then no file can be cut
    frame = session.read.csv(
        [source(path) for path in paths],
        sep=_separator(paths[0]),
        header=True,
        inferSchema=True,
        multiLine=True,
        escape='"',
    )
    for name, kind in frame.dtypes:
        if kind == "int":  # by what happens to be in the files
            frame = frame.withColumn(name, frame[name].cast("bigint"))
    return frame


def with_types(frame: DataFrame, types: Iterable[pa.Field]) -> DataFrame:
    """Columns that know of themselves what Spark has no type for."""
    for field in types:
        if pa.types.is_unsigned_integer(field.type):
            frame = frame.withMetadata(field.name, {ARROW_TYPE: str(field.type)})
    return frame


def source(path: Path) -> str:
    """A path to read from; Spark would take some of its characters for a pattern."""
    return "file:" + re.sub(r"([*?{}\[\]\\])", r"\\\1", str(path.resolve()))


def _separator(path: Path) -> str:
    """What stands between the columns of a CSV file, by its first line."""
    with pa.input_stream(str(path), compression="detect") as file:
        line = file.read(1 << 16).split(b"\n", 1)[0].decode(errors="replace")
    return max(",;\t|", key=line.count)

"""Spark as the engine of the prepare stage: the same SQL on as many machines as there are.

Tables and results are Parquet files in the work folder, which the workers share with this process:
nothing is put into anybody's catalogue, and a result of any size is read back file by file, in the
order of its partitions. Spark has no unsigned numbers; what a column was in its file travels as its
metadata, and is given back on the way out.
"""

from __future__ import annotations

import logging
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame
from pyspark.sql.pandas.types import to_arrow_schema

from antiphon.engines.protocol import FileKind, TypeKind
from antiphon.engines.spark_files import (
    ARROW_TYPE,
    PLACE,
    open_csv,
    open_parquet,
    source,
    with_types,
)
from antiphon.engines.spark_session import explained, first_line, open_session, require_workers
from antiphon.errors import ConfigError, did_you_mean

__all__ = ["Spark"]

_SETTINGS = {
    "spark.sql.ansi.enabled": "true",  # what can't be converted is an error, not null
    "spark.sql.ansi.doubleQuotedIdentifiers": "true",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.timestampType": "TIMESTAMP_NTZ",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
}
_KINDS: dict[str, TypeKind] = {
    **dict.fromkeys(("tinyint", "smallint", "int", "bigint", "decimal(20,0)"), "whole"),
    **dict.fromkeys(("float", "double"), "float"),
    **dict.fromkeys(("date", "timestamp", "timestamp_ntz"), "time"),
    "string": "text",
    "boolean": "boolean",
}


class Spark:
    """A session on a cluster, and a folder that its workers share; see `Engine`.

    Args:
        folder: an existing folder for tables and results.
        master: the cluster's URL; by default that of Spark's own configuration.

    Raises:
        BackendError: no Java, no such cluster, no workers, or they don't share the folder.
    """

    memory_bytes = sys.maxsize  # Spark sorts on disk what is too much for memory

    def __init__(self, folder: Path, master: str | None) -> None:
        self._folder = folder.resolve()
        self._numbers = count()
        self._scanned: list[Path] = []
        # it would print each error beside ours
        logging.getLogger("SQLQueryContextLogger").disabled = True
        self._session, self._joined = open_session(master)
        try:
            require_workers(self._session, self._new_path("first"))
        except BaseException:
            self._close()
            raise
        for key, value in _SETTINGS.items():
            self._session.conf.set(key, value)

    def __enter__(self) -> Spark:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def scan(self, paths: Sequence[Path], kind: FileKind) -> str:
        """SQL for the rows of files that have the same columns."""
        name = self._new_path("files").name
        with explained():
            if kind == "csv":
                frame = open_csv(self._session, paths)
            else:
                frame = open_parquet(self._session, paths)
                self._scanned += [path.resolve() for path in paths]
            frame.createOrReplaceTempView(name)
        return name

    def view(self, name: str, sql: str) -> None:
        """Give a query a name, replacing an older one."""
        with explained():
            self._frame(sql).createOrReplaceTempView(name)

    def store(self, name: str, sql: str) -> None:
        """Keep the result of a query as a table, replacing an older one."""
        path = self._new_path(name)
        with explained():
            self._frame(sql).write.parquet(f"file:{path}")
        self._open(name, path)

    def load(self, name: str, table: pa.Table) -> None:
        """Keep an Arrow table as a table, replacing an older one."""
        path = self._new_path(name)
        path.mkdir()
        pq.write_table(table, path / "part-00000.parquet")
        self._open(name, path, table.schema)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """A small result."""
        with explained():
            columns = [column.to_pylist() for column in self._frame(sql).toArrow().columns]
        return list(zip(*columns, strict=True))

    def table(self, sql: str) -> pa.Table:
        """A result that fits into memory."""
        with explained():
            return self._frame(sql).toArrow().cast(self.schema(sql))

    def batches(self, sql: str, rows: int = 100_000) -> Iterator[pa.RecordBatch]:
        """A result of any size in the order it asks for, about `rows` rows at a time."""
        path, schema = self._new_path("result"), self.schema(sql)
        with explained():
            self._frame(sql).write.parquet(f"file:{path}")
        try:
            # part-00000-..., part-00001-...: one file a partition, and partitions are in order
            for part in sorted(path.glob("part-*"), key=lambda part: int(part.name.split("-")[1])):
                with pq.ParquetFile(part) as file:
                    for batch in file.iter_batches(rows):
                        yield batch.cast(schema)
                part.unlink()
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def schema(self, sql: str) -> pa.Schema:
        """The Arrow types of a result, without making it."""
        with explained():
            spark = self._frame(sql).schema.toNullable()
        fields = zip(to_arrow_schema(spark), spark.fields, strict=True)
        return pa.schema(
            [(field.name, ours.metadata.get(ARROW_TYPE, field.type)) for field, ours in fields]
        )

    def columns(self, relation: str) -> dict[str, str]:
        """Names and types of a relation's columns."""
        with explained():
            types = dict(self._frame(f"SELECT * FROM {relation}").dtypes)
        types.pop(PLACE, None)
        return types

    def check(self, expression: str, relation: str, key: str) -> str:
        """The type of an SQL expression over one row of a relation."""
        try:
            # as a condition, too: there an engine refuses what looks beyond its own row
            types = self._frame(
                f"SELECT ({expression}\n) AS checked FROM {relation} "
                f"WHERE ({expression}\n) IS NOT NULL"
            ).dtypes
        except AnalysisException as error:
            columns = tuple(self.columns(relation))
            unknown = re.search(r"with name `(.+?)` cannot be resolved", str(error))
            raise ConfigError(
                f"{key} isn't Spark's SQL over the columns of its file: {first_line(error)}",
                received=expression,
                allowed=f"the columns {', '.join(columns)}",
                hint=did_you_mean(unknown[1], columns)
                if unknown
                else "with prepare.engine = spark, expressions are what Spark understands",
            ) from None
        if len(types) != 1:
            raise ConfigError(f"{key} must be one SQL expression", received=expression)
        return types[0][1]

    def places(self, existing: str, wrong: str) -> list[int]:
        """Where in the files the first rows are for which a condition holds; of Parquet only."""
        if not self._scanned:
            return []
        found = self.rows(
            f"SELECT {PLACE}.file_path, {PLACE}.row_index FROM {existing} AND {wrong} "
            f"ORDER BY {PLACE} LIMIT 5"
        )
        rows = []
        for name, row in found:
            path = Path(unquote(urlsplit(name).path))
            before = self._scanned[: self._scanned.index(path)]
            rows.append(sum(pq.read_metadata(file).num_rows for file in before) + row + 1)
        return sorted(rows)

    def type_kind(self, type_name: str) -> TypeKind:
        """What a column's type means to us."""
        if type_name.startswith("array"):
            return "list"
        return _KINDS.get(type_name, "float" if type_name.startswith("decimal") else "other")

    def seconds_of_timestamp(self, expression: str) -> str:
        """SQL for the seconds since 1970 of a timestamp or date, with their fraction."""
        return f"(unix_micros(CAST({expression} AS TIMESTAMP_LTZ)) / 1000000)"

    def each_of(self, expression: str) -> str:
        """SQL that makes one row of each element of a list."""
        return f"explode({expression})"

    def split_text(self, expression: str, separator: str) -> str:
        """SQL for the list of the parts of a text."""
        # a pattern of Java in a literal of Spark: a backslash is written twice in the latter
        pattern = re.sub(r"(\W)", r"\\\\\1", separator).replace("'", "''")
        return f"split({expression}, '{pattern}')"

    def is_no_vector(self, expression: str, size: int) -> str:
        """SQL that holds where a list has another size, or a null or infinite element, or NaN."""
        finite = f"filter({expression}, e -> abs(CAST(e AS FLOAT)) < float('infinity'))"
        return f"coalesce(size({expression}) <> {size} OR size({finite}) <> {size}, FALSE)"

    def _frame(self, sql: str) -> DataFrame:
        return self._session.sql(sql)

    def _new_path(self, name: str) -> Path:
        return self._folder / f"{name}_{next(self._numbers)}"

    def _open(self, name: str, path: Path, types: pa.Schema | None = None) -> None:
        with explained():
            frame = self._session.read.parquet(source(path))
            with_types(frame, types or ()).createOrReplaceTempView(name)

    def _close(self) -> None:
        if self._joined:
            self._session.stop()

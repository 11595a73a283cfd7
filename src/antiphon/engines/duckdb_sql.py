"""DuckDB as the engine of the prepare stage: in this process, and the only module that knows it."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb
import pyarrow as pa

from antiphon.engines.protocol import FileKind, TypeKind, quote
from antiphon.errors import AntiphonError, ConfigError, LogError, did_you_mean

__all__ = ["DuckDB"]

_WHOLE = {f"{sign}{size}INT" for sign in ("", "U") for size in ("TINY", "SMALL", "BIG")} | {
    "INTEGER",
    "UINTEGER",
}
_FLOAT = {"FLOAT", "DOUBLE", "HUGEINT", "UHUGEINT"}

# What the process needs beside the engine's own buffers: Python with numpy, pyarrow and DuckDB's
# code is about 150 MB, and what the engine allocates past its limit grows with the limit.
_RESERVED_BYTES = 280 * 2**20
_LEAST_BYTES = 128 * 2**20
_SHARE = 0.7
_THREAD_BYTES = 150 * 2**20  # what a thread needs to work with, by DuckDB's own advice


class DuckDB:
    """A database in a folder of its own; see `Engine`.

    Args:
        folder: an existing folder for tables and for what doesn't fit in memory.
        memory_bytes: what the whole process may use; the engine gets what Python leaves.
        threads: by default as many as there are cores and as memory allows.
    """

    def __init__(self, folder: Path, memory_bytes: int, threads: int | None = None) -> None:
        self.memory_bytes = max(_LEAST_BYTES, int((memory_bytes - _RESERVED_BYTES) * _SHARE))
        if threads is None:
            threads = max(1, min(os.cpu_count() or 1, self.memory_bytes // _THREAD_BYTES))
        settings = {
            "threads": str(threads),
            "memory_limit": f"{self.memory_bytes // 1000}KB",
            "temp_directory": str(folder / "spill"),
            "preserve_insertion_order": "false",
            "autoinstall_known_extensions": "false",
        }
        with _explained():
            self._database = duckdb.connect(str(folder / "tables.duckdb"), config=settings)

    def __enter__(self) -> DuckDB:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._database.close()

    def scan(self, paths: Sequence[Path], kind: FileKind) -> str:
        """SQL for the rows of files that have the same columns."""
        names = ", ".join("'" + str(path).replace("'", "''") + "'" for path in paths)
        if kind == "parquet":
            return f"read_parquet([{names}])"
        return f"read_csv([{names}], header = true, sample_size = -1)"  # types from all rows

    def view(self, name: str, sql: str) -> None:
        """Give a query a name, replacing an older one."""
        self._run(f"CREATE OR REPLACE VIEW {quote(name)} AS {sql}")

    def store(self, name: str, sql: str) -> None:
        """Keep the result of a query as a table, replacing an older one."""
        self._run(f"CREATE OR REPLACE TABLE {quote(name)} AS {sql}")

    def load(self, name: str, table: pa.Table) -> None:
        """Keep an Arrow table as a table, replacing an older one."""
        with _explained():
            self._database.register("_loading", table)
            self.store(name, "SELECT * FROM _loading")
            self._database.unregister("_loading")

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """A small result."""
        with _explained():
            return list(self._database.execute(sql).fetchall())

    def batches(self, sql: str, rows: int = 100_000) -> Iterator[pa.RecordBatch]:
        """A large result, about `rows` rows at a time."""
        with _explained():
            yield from self._database.sql(sql).to_arrow_reader(rows)

    def table(self, sql: str) -> pa.Table:
        """A result as one Arrow table."""
        with _explained():
            return self._database.sql(sql).to_arrow_table()

    def schema(self, sql: str) -> pa.Schema:
        """The Arrow types of a result, without making it."""
        return self.table(f"{sql} LIMIT 0").schema

    def columns(self, relation: str) -> dict[str, str]:
        """Names and types of a relation's columns."""
        rows = self.rows(f"DESCRIBE SELECT * FROM {relation}")
        return {str(row[0]): str(row[1]) for row in rows}

    def check(self, expression: str, relation: str, key: str) -> str:
        """The type of an SQL expression over one row of a relation."""
        try:
            # as a condition, too: there an engine refuses what looks beyond its own row
            described = self._database.execute(
                f"DESCRIBE SELECT ({expression}\n) AS checked FROM {relation} "
                f"WHERE ({expression}\n) IS NOT NULL"
            ).fetchall()
        except (duckdb.IOException, duckdb.OutOfMemoryException):
            raise
        except duckdb.Error as error:
            columns = tuple(self.columns(relation))
            raise ConfigError(
                f"{key} isn't SQL over the columns of its file: {_first_line(error)}",
                received=expression,
                allowed=f"the columns {', '.join(columns)}",
                hint=self._hint(error, expression, columns),
            ) from None
        if len(described) != 1:
            raise ConfigError(f"{key} must be one SQL expression", received=expression)
        return str(described[0][1])

    def places(self, existing: str, wrong: str) -> list[int]:
        """Where in the files the first rows are for which a condition holds."""
        # numbered before the condition; one thread, so that the numbers are those in the files
        self._run("SET threads = 1; SET preserve_insertion_order = true")
        source, condition = existing.split(" AS existing WHERE ", 1)
        numbered = f"(SELECT *, row_number() OVER () AS row_of_log FROM {source} AS files)"
        found = self.rows(
            f"SELECT row_of_log FROM {numbered} AS existing WHERE {condition} "
            f"AND {wrong} ORDER BY row_of_log LIMIT 5"
        )
        return [int(row[0]) for row in found]

    def type_kind(self, type_name: str) -> TypeKind:
        """What a column's type means to us."""
        if type_name.endswith("]"):
            return "list"
        if type_name in _WHOLE:
            return "whole"
        if type_name in {"VARCHAR", "UUID"} or type_name.startswith("ENUM"):
            return "text"
        if type_name in _FLOAT or type_name.startswith("DECIMAL"):
            return "float"
        if type_name == "BOOLEAN":
            return "boolean"
        return "time" if type_name.startswith(("TIMESTAMP", "DATE")) else "other"

    def seconds_of_timestamp(self, expression: str) -> str:
        """SQL for the seconds since 1970 of a timestamp or date, with their fraction."""
        return f"epoch({expression})"

    def each_of(self, expression: str) -> str:
        """SQL that makes one row of each element of a list."""
        return f"unnest({expression})"

    def split_text(self, expression: str, separator: str) -> str:
        """SQL for the list of the parts of a text."""
        return f"string_split({expression}, '{separator.replace(chr(39), chr(39) * 2)}')"

    def is_no_vector(self, expression: str, size: int) -> str:
        """SQL that holds where a list has another size, or a null or infinite element, or NaN."""
        finite = f"list_filter({expression}, lambda e: isfinite(CAST(e AS FLOAT)))"
        return f"coalesce(len({expression}) <> {size} OR len({finite}) <> {size}, FALSE)"

    def _run(self, sql: str) -> None:
        with _explained():
            self._database.execute(sql)

    def _hint(self, error: duckdb.Error, expression: str, columns: Sequence[str]) -> str | None:
        unknown = re.search(r'Referenced column "(.+?)" not found', str(error))
        if unknown:
            return did_you_mean(unknown[1], columns)
        words = {row[0] for row in self.rows("SELECT keyword_name FROM duckdb_keywords()")}
        for column in columns:
            if column.lower() in words and re.search(rf'(?<!")\b{column}\b', expression):
                return f"{column} is a word of SQL: as a column it is written {quote(column)}"
        return None


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0]


@contextmanager
def _explained() -> Iterator[None]:
    """DuckDB's errors as ours; a full disk as the OSError that it is."""
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        if "max_temp_directory_size" in str(error):
            raise OSError(errno.ENOSPC, "no space left for temporary files") from error
        raise ConfigError(
            "prepare.memory_limit is too small for this log",
            received=_first_line(error),
            hint="raise it, as in --set prepare.memory_limit=4GiB, or set prepare.threads = 1",
        ) from error
    except duckdb.Error as error:
        text = str(error)
        if "No space left" in text or "File too large" in text or "Could not write" in text:
            raise OSError(errno.ENOSPC, _first_line(error)) from error
        raise _log_error(error) from error


def _log_error(error: duckdb.Error) -> AntiphonError:
    what = {
        duckdb.ConversionException: "a value of the log can't be converted",
        duckdb.IOException: "a file can't be read",
        duckdb.InvalidInputException: "a file or value isn't as expected",
    }.get(type(error), "the log can't be read as the config says")
    return LogError(what, received=_first_line(error))

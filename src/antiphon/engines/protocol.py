"""What an engine does for the prepare stage.

The stage writes SQL that both engines read as it stands, names quoted by `"`. What has no common
spelling is a method that gives SQL: opening files, a few functions, and what a type is called.
Whatever comes out is a function of the SQL and the files, the same on either engine, bit by bit;
only functions whose last bit belongs to a mathematical library (`ln`, `exp`) may differ there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, runtime_checkable

import pyarrow as pa

__all__ = ["Engine", "FileKind", "TypeKind", "quote"]

FileKind = Literal["parquet", "csv"]
TypeKind = Literal["whole", "text", "float", "boolean", "list", "time", "other"]


def quote(name: str) -> str:
    """A column's name as SQL."""
    return '"' + name.replace('"', '""') + '"'


@runtime_checkable
class Engine(Protocol):
    """A database of its own, from when it is entered until it is left.

    Its errors are those of errors.py: ConfigError for what the config says, LogError for what the
    files hold, BackendError for a cluster. A full disk is the OSError that it is.
    """

    memory_bytes: int
    """What one ordered result may take; an engine that sorts anything names a huge number."""

    def __enter__(self) -> Engine:
        """This engine."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it; tables and views are gone."""
        ...

    def scan(self, paths: Sequence[Path], kind: FileKind) -> str:
        """SQL for the rows of files that have the same columns."""
        ...

    def view(self, name: str, sql: str) -> None:
        """Give a query a name, replacing an older one."""
        ...

    def store(self, name: str, sql: str) -> None:
        """Keep the result of a query as a table, replacing an older one."""
        ...

    def load(self, name: str, table: pa.Table) -> None:
        """Keep an Arrow table as a table, replacing an older one."""
        ...

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """A small result."""
        ...

    def table(self, sql: str) -> pa.Table:
        """A result that fits into memory."""
        ...

    def batches(self, sql: str, rows: int = 100_000) -> Iterator[pa.RecordBatch]:
        """A result of any size in the order it asks for, about `rows` rows at a time."""
        ...

    def schema(self, sql: str) -> pa.Schema:
        """The Arrow types of a result, without making it."""
        ...

    def columns(self, relation: str) -> dict[str, str]:
        """Names and types of a relation's columns."""
        ...

    def check(self, expression: str, relation: str, key: str) -> str:
        """The type of an SQL expression over one row of a relation.

        Raises:
            ConfigError: it isn't SQL over these columns; `key` says where it was written.
        """
        ...

    def places(self, existing: str, wrong: str) -> list[int]:
        """Where in the files the first rows are for which a condition holds; the first row is 1.

        Args:
            existing: `FILES AS existing WHERE CONDITION`.
            wrong: a condition on rows that exist.

        Returns:
            The places of the first five, or none where the engine can't tell them. The engine may
            be slow afterwards: what follows is an error.
        """
        ...

    def type_kind(self, type_name: str) -> TypeKind:
        """What a type that `columns` or `check` names means to us."""
        ...

    def seconds_of_timestamp(self, expression: str) -> str:
        """SQL for the seconds since 1970 of a timestamp or date, with their fraction."""
        ...

    def each_of(self, expression: str) -> str:
        """SQL that makes one row of each element of a list."""
        ...

    def split_text(self, expression: str, separator: str) -> str:
        """SQL for the list of the parts of a text."""
        ...

    def is_no_vector(self, expression: str, size: int) -> str:
        """SQL that holds where a list has another size, or a null or infinite element, or NaN."""
        ...

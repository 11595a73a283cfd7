"""Candidates in a database: vectors laid out as for a graph, searched by item number.

Filters, exclusions, scores and order are `Graph`'s, whoever finds the neighbours; all a database
must do is bring the nearest of a vector. Passwords come from the environment or from files that the
database's client knows, never from the config.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, runtime_checkable
from urllib.parse import urlsplit

import numpy as np
from jaxtyping import Float32, Int32

from antiphon.errors import BackendError, ConfigError
from antiphon.indexes.layout import ROWS_AT_ONCE, Layout

__all__ = [
    "Database",
    "Rows",
    "check_url",
    "connect",
    "missing_client",
    "refused",
    "rows_of_candidates",
]

# ids in the log, and vectors, of some items in the order of their numbers
Rows = Iterator[tuple[Sequence[str], Float32[np.ndarray, "items dimensions"]]]

ENGINES = {"postgresql": "pgvector", "milvus": "milvus"}


@runtime_checkable
class Database(Protocol):
    """A table of candidates; see `graph.Neighbours`."""

    widest: int
    """The widest search it does."""

    def nearest(
        self, laid: Float32[np.ndarray, "queries padded"], width: int
    ) -> Int32[np.ndarray, "queries width"]:
        """The best that a search of some width meets; see `graph.Neighbours`."""
        ...

    def load(
        self,
        rows: Rows,
        made_of: str,
        *,
        connections: int,
        build_width: int,
        progress: Callable[[int], None],
    ) -> None:
        """Fill the table, replacing an older one of the name when all is there, and index it."""
        ...

    def check(self, items: int, made_of: str) -> None:
        """Refuse a table that isn't there, or holds something else."""
        ...

    def drop(self) -> None:
        """Remove the table."""
        ...


def check_url(url: str) -> str:
    """The engine of a URL.

    Raises:
        ConfigError: it is of no database that is known, or holds a password.
    """
    parts = urlsplit(url)
    if parts.scheme not in ENGINES:
        raise ConfigError(
            "there is no such database to search in",
            received=url,
            allowed="postgresql://user@host:port/database, milvus://host:port/database",
        )
    if parts.password:
        raise ConfigError(
            "a URL in the config must not hold a password: the config is kept in the run",
            received=url.replace(parts.password, "***"),
            hint="PGPASSWORD or ~/.pgpass for PostgreSQL, ANTIPHON_MILVUS_TOKEN for Milvus",
        )
    return ENGINES[parts.scheme]


def connect(url: str, table: str, width: int) -> Database:
    """A table of a database, which may not exist yet.

    Args:
        url: as `check_url` allows.
        table: its name.
        width: of its vectors.

    Raises:
        ConfigError: see `check_url`; or the client isn't installed.
        BackendError: the database can't be reached.
    """
    if check_url(url) == "pgvector":
        from antiphon.indexes.pgvector import PgVector

        return PgVector(url, table, width)
    from antiphon.indexes.milvus import Milvus

    return Milvus(url, table, width)


def rows_of_candidates(
    candidates: Float32[np.ndarray, "items width"], ids: Sequence[str], layout: Layout
) -> Rows:
    """Candidates 1 and up as a database keeps them, some at a time.

    The further coordinate of `layout` is kept, its padding isn't.
    """
    for start in range(1, len(candidates), ROWS_AT_ONCE):
        stop = min(start + ROWS_AT_ONCE, len(candidates))
        laid = layout.of_candidates(np.asarray(candidates[start:stop]))
        yield ids[start - 1 : stop - 1], laid[:, : layout.width + 1]


def missing_client(extra: str) -> ConfigError:
    """What to say where a database's client isn't installed."""
    return ConfigError(
        f"searching in this database needs the extra {extra!r}",
        hint=f'pip install "antiphon[{extra}]"',
    )


def refused(url: str, error: Exception) -> BackendError:
    """What to say where a database refuses."""
    return BackendError(
        f"the database refuses: {str(error).strip().splitlines()[0]}",
        received=url,
        hint="is it running, and may this user create tables there?",
    )

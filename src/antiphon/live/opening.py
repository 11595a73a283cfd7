"""The store of a path or a URL."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from antiphon.errors import ConfigError
from antiphon.live.protocol import LiveStore
from antiphon.live.sqlite import SqliteStore

__all__ = ["open_live"]


def open_live(where: str | Path) -> LiveStore:
    """Open a store, and make it if it isn't there.

    Args:
        where: a file, or `postgresql://user@host:port/database` (passwords come from PGPASSWORD or
            ~/.pgpass).

    Raises:
        ConfigError: a URL of anything else, or the client isn't installed.
        BackendError: the database can't be reached, or refuses.
    """
    if isinstance(where, Path) or "://" not in where:
        return SqliteStore(Path(where))
    if urlsplit(where).scheme != "postgresql":
        raise ConfigError(
            "live plays can't be kept there",
            received=where,
            allowed="a file, or postgresql://user@host:port/database",
        )
    from antiphon.live.postgres import PostgresStore

    return PostgresStore(where)

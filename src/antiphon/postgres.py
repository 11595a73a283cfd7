"""Connections to PostgreSQL, one at a time for whoever needs one."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterator

from antiphon.errors import BackendError, ConfigError

try:
    import psycopg
except ImportError:
    raise ConfigError(
        "PostgreSQL needs the extra 'pgvector'", hint='pip install "antiphon[pgvector]"'
    ) from None

__all__ = ["Connection", "Connections"]

Connection = psycopg.Connection


class Connections:
    """Those to one database; opened when needed, and kept for the next who needs one.

    Args:
        url: of the database; passwords come from PGPASSWORD or ~/.pgpass.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._idle: list[Connection] = []
        weakref.finalize(self, _close, self._idle)

    @contextlib.contextmanager
    def one(self) -> Iterator[Connection]:
        """A connection that nobody else has.

        Raises:
            BackendError: the database can't be reached, or refuses. Where the connection broke, the
                others are taken to be broken too: a server that was restarted fails once.
        """
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = None
        try:
            if connection is None:
                connection = psycopg.connect(self._url, autocommit=True, connect_timeout=10)
            yield connection
        except psycopg.Error as error:
            if connection is not None and connection.closed:
                self.close()
            raise BackendError(
                f"the database refuses: {str(error).strip().splitlines()[0]}",
                received=self._url,
                hint="is it running, and may this user create tables there?",
            ) from error
        finally:
            if connection is not None and not connection.closed:
                self._idle.append(connection)

    def close(self) -> None:
        """Close all that aren't in use."""
        _close(self._idle)


def _close(idle: list[Connection]) -> None:
    while idle:
        idle.pop().close()

"""Live plays and items in a SQLite file: for one machine, by any number of its processes.

Written ahead (WAL) and synchronised at every commit (`synchronous = FULL`), so that a commit that
returned is on disk; readers never wait for writers.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from antiphon.errors import BackendError
from antiphon.live.protocol import AddedItem, LiveEvent, LiveEvents, Shelved, key_of

__all__ = ["SqliteStore"]

BUSY_S = 30.0
"""How long to wait for another process's commit."""
AT_ONCE = 500
"""SQLite takes a limited number of values in one statement."""

TABLES = """
CREATE TABLE IF NOT EXISTS event (
    row INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, user TEXT NOT NULL, item TEXT NOT NULL,
    timestamp_s INTEGER NOT NULL, context TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS event_of_user ON event (user, timestamp_s, row);
CREATE TABLE IF NOT EXISTS item (
    row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, features TEXT NOT NULL, title TEXT
);
CREATE TABLE IF NOT EXISTS withdrawn (id TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS version (one INTEGER PRIMARY KEY CHECK (one = 1), number INTEGER);
INSERT OR IGNORE INTO version VALUES (1, 0);
"""


class SqliteStore:
    """A store in a file; see `protocol.LiveStore`.

    Args:
        path: of the file, which may not exist yet.

    Raises:
        BackendError: it can't be opened, or isn't such a file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._threads = threading.local()
        self._all: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        with self._reading() as connection:
            connection.executescript(TABLES)

    def append(self, events: Sequence[LiveEvent]) -> int:
        """Keep events; see `LiveStore.append`."""
        rows = [
            (
                key_of(event),
                str(event.user_id),
                str(event.item_id),
                event.timestamp_s,
                json.dumps(dict(event.context)),
            )
            for event in events
        ]
        with self._writing() as connection:
            before = connection.total_changes
            connection.executemany(
                "INSERT OR IGNORE INTO event (key, user, item, timestamp_s, context) "
                "VALUES (?, ?, ?, ?, ?)",
                rows,
            )
            return connection.total_changes - before

    def of(self, user_ids: Sequence[str], since_s: int) -> LiveEvents:
        """Events of users; see `LiveStore.of`."""
        found: list[tuple[str, str, int, str]] = []
        with self._reading() as connection:
            for start in range(0, len(user_ids), AT_ONCE):
                some = user_ids[start : start + AT_ONCE]
                marks = ", ".join("?" * len(some))
                found += connection.execute(
                    f"SELECT user, item, timestamp_s, context FROM event WHERE user IN ({marks}) "
                    "AND timestamp_s >= ? ORDER BY user, timestamp_s, row",
                    [*some, since_s],
                )
        return LiveEvents.of(user_ids, found)

    def counts(self) -> dict[str, int]:
        """How many there are; see `LiveStore.counts`."""
        with self._reading() as connection:
            row = connection.execute(
                "SELECT (SELECT count(*) FROM event), (SELECT count(DISTINCT user) FROM event), "
                "(SELECT count(DISTINCT item) FROM event), (SELECT count(*) FROM item), "
                "(SELECT count(*) FROM withdrawn)"
            ).fetchone()
        return dict(zip(("events", "users", "items", "added", "withdrawn"), row, strict=True))

    def add(self, items: Sequence[AddedItem]) -> None:
        """Keep items; see `LiveStore.add`."""
        rows = [(str(i.id), json.dumps(dict(i.features)), i.title) for i in items]
        with self._changing() as connection:
            connection.executemany(
                "INSERT INTO item (id, features, title) VALUES (?, ?, ?) ON CONFLICT (id) "
                "DO UPDATE SET features = excluded.features, title = excluded.title",
                rows,
            )

    def withdraw(self, ids: Sequence[str]) -> None:
        """Keep ids; see `LiveStore.withdraw`."""
        with self._changing() as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO withdrawn VALUES (?)", [(id_,) for id_ in ids]
            )

    def restore(self, ids: Sequence[str]) -> None:
        """Forget ids; see `LiveStore.restore`."""
        with self._changing() as connection:
            connection.executemany("DELETE FROM withdrawn WHERE id = ?", [(id_,) for id_ in ids])

    def version(self) -> int:
        """Of the items; see `LiveStore.version`."""
        with self._reading() as connection:
            (number,) = connection.execute("SELECT number FROM version").fetchone()
        return int(number)

    def shelved(self) -> Shelved:
        """All items; see `LiveStore.shelved`."""
        with self._reading() as connection:
            connection.execute("BEGIN")  # one look at all tables
            try:
                (number,) = connection.execute("SELECT number FROM version").fetchone()
                items = connection.execute(
                    "SELECT id, features, title FROM item ORDER BY row"
                ).fetchall()
                ids = connection.execute("SELECT id FROM withdrawn ORDER BY id").fetchall()
            finally:
                connection.execute("COMMIT")
        return Shelved.of(number, items, ids)

    def close(self) -> None:
        """Close the file; no other thread may be using it."""
        with self._lock:
            for connection in self._all:
                connection.close()
            self._all.clear()
        self._threads = threading.local()

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """This thread's connection."""
        try:
            yield self._connection()
        except sqlite3.Error as error:
            raise BackendError(
                f"the store of live plays refuses: {error}",
                received=self.path,
                hint="may this process write the file and its folder, and is there space?",
            ) from error

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction, which nobody else writes beside."""
        with self._reading() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @contextlib.contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that changes the items."""
        with self._writing() as connection:
            yield connection
            connection.execute("UPDATE version SET number = number + 1")

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._threads, "connection", None)
        if connection is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(
                self.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
            )
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            self._threads.connection = connection
            with self._lock:
                self._all.append(connection)
        return connection

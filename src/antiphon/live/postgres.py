"""Live plays and items in PostgreSQL: shared by any number of services."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence

from antiphon.live.protocol import AddedItem, LiveEvent, LiveEvents, Shelved, key_of
from antiphon.postgres import Connection, Connections

__all__ = ["PostgresStore"]

TABLES = """
SELECT pg_advisory_xact_lock(hashtext('antiphon_live'));
CREATE SEQUENCE IF NOT EXISTS antiphon_call;
CREATE TABLE IF NOT EXISTS antiphon_event (
    key text PRIMARY KEY, user_id text NOT NULL, item_id text NOT NULL,
    timestamp_s bigint NOT NULL, context text NOT NULL, call bigint NOT NULL, place integer NOT NULL
);
CREATE INDEX IF NOT EXISTS antiphon_event_of_user
    ON antiphon_event (user_id, timestamp_s, call, place);
CREATE TABLE IF NOT EXISTS antiphon_item (
    "row" bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id text NOT NULL UNIQUE,
    features text NOT NULL, title text
);
CREATE TABLE IF NOT EXISTS antiphon_withdrawn (id text PRIMARY KEY);
CREATE TABLE IF NOT EXISTS antiphon_version (
    one integer PRIMARY KEY CHECK (one = 1), number bigint NOT NULL
);
INSERT INTO antiphon_version VALUES (1, 0) ON CONFLICT DO NOTHING;
"""


class PostgresStore:
    """A store in tables called `antiphon_...`; see `protocol.LiveStore`.

    A commit that returned is on the server's disk, unless its `synchronous_commit` was turned off.

    Args:
        url: of the database; passwords come from PGPASSWORD or ~/.pgpass.

    Raises:
        BackendError: it can't be reached, or refuses.
    """

    def __init__(self, url: str) -> None:
        self._connections = Connections(url)
        with self._connections.one() as connection, connection.transaction():
            connection.execute(TABLES)

    def append(self, events: Sequence[LiveEvent]) -> int:
        """Keep events; see `LiveStore.append`."""
        columns: list[list[object]] = [[], [], [], [], [], []]
        told = {key_of(event): (place, event) for place, event in reversed([*enumerate(events)])}
        # in one order, so that two processes with the same events don't wait for each other
        for key, (place, event) in sorted(told.items()):
            row = (
                key,
                str(event.user_id),
                str(event.item_id),
                event.timestamp_s,
                json.dumps(dict(event.context)),
                place,
            )
            for column, value in zip(columns, row, strict=True):
                column.append(value)
        with self._connections.one() as connection:
            done = connection.execute(
                "INSERT INTO antiphon_event "
                "(key, user_id, item_id, timestamp_s, context, place, call) "
                "SELECT told.*, (SELECT nextval('antiphon_call')) "
                "FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::text[], "
                "%s::integer[]) AS told ON CONFLICT (key) DO NOTHING",
                columns,
            )
            return done.rowcount

    def of(self, user_ids: Sequence[str], since_s: int) -> LiveEvents:
        """Events of users; see `LiveStore.of`."""
        with self._connections.one() as connection:
            found = connection.execute(
                "SELECT user_id, item_id, timestamp_s, context FROM antiphon_event "
                "WHERE user_id = ANY(%s) AND timestamp_s >= %s "
                "ORDER BY user_id, timestamp_s, call, place",
                [list(user_ids), since_s],
            ).fetchall()
        return LiveEvents.of(user_ids, found)

    def counts(self) -> dict[str, int]:
        """How many there are; see `LiveStore.counts`."""
        with self._connections.one() as connection:
            row = connection.execute(
                "SELECT (SELECT count(*) FROM antiphon_event), "
                "(SELECT count(DISTINCT user_id) FROM antiphon_event), "
                "(SELECT count(DISTINCT item_id) FROM antiphon_event), "
                "(SELECT count(*) FROM antiphon_item), (SELECT count(*) FROM antiphon_withdrawn)"
            ).fetchone()
        return dict(zip(("events", "users", "items", "added", "withdrawn"), row or (), strict=True))

    def add(self, items: Sequence[AddedItem]) -> None:
        """Keep items; see `LiveStore.add`."""
        with self._changing() as connection, connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO antiphon_item (id, features, title) VALUES (%s, %s, %s) "
                "ON CONFLICT (id) DO UPDATE SET features = excluded.features, "
                "title = excluded.title",
                [(str(i.id), json.dumps(dict(i.features)), i.title) for i in items],
            )

    def withdraw(self, ids: Sequence[str]) -> None:
        """Keep ids; see `LiveStore.withdraw`."""
        with self._changing() as connection:
            connection.execute(
                "INSERT INTO antiphon_withdrawn SELECT DISTINCT unnest(%s::text[]) "
                "ON CONFLICT DO NOTHING",
                [list(ids)],
            )

    def restore(self, ids: Sequence[str]) -> None:
        """Forget ids; see `LiveStore.restore`."""
        with self._changing() as connection:
            connection.execute("DELETE FROM antiphon_withdrawn WHERE id = ANY(%s)", [list(ids)])

    def version(self) -> int:
        """Of the items; see `LiveStore.version`."""
        with self._connections.one() as connection:
            return _number(connection)

    def shelved(self) -> Shelved:
        """All items; see `LiveStore.shelved`."""
        with self._connections.one() as connection, connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            number = _number(connection)
            items = connection.execute(
                'SELECT id, features, title FROM antiphon_item ORDER BY "row"'
            ).fetchall()
            ids = connection.execute("SELECT id FROM antiphon_withdrawn ORDER BY id").fetchall()
        return Shelved.of(number, items, ids)

    def close(self) -> None:
        """Close all connections that aren't in use."""
        self._connections.close()

    @contextlib.contextmanager
    def _changing(self) -> Iterator[Connection]:
        """A transaction that changes the items, one at a time."""
        with self._connections.one() as connection, connection.transaction():
            connection.execute("UPDATE antiphon_version SET number = number + 1")
            yield connection


def _number(connection: Connection) -> int:
    (number,) = connection.execute("SELECT number FROM antiphon_version").fetchone() or (0,)
    return int(number)

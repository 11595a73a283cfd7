"""Candidates in PostgreSQL with the extension pgvector.

One table: item_number, item_id, embedding. Its HNSW index is over distances: candidates are laid
out with equal lengths, so the nearest are those of the greatest inner product.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
from jaxtyping import Float32, Int32

from antiphon.errors import BackendError
from antiphon.indexes.databases import Rows, missing_client
from antiphon.postgres import Connections

try:
    import psycopg
    from psycopg import sql
except ImportError:
    raise missing_client("pgvector") from None

__all__ = ["PgVector"]

WIDEST_SEARCH = 1000
"""hnsw.ef_search allows no more; beyond, the search is gone on with."""
WIDEST = 20_000
"""hnsw.max_scan_tuples as it is by default."""
START = b"PGCOPY\n\xff\r\n\0" + bytes(8)
END = b"\xff\xff"


class PgVector:
    """A table of candidates; see `databases.Database`.

    Args:
        url: of the database; passwords come from PGPASSWORD or ~/.pgpass.
        table: its name.
        width: of its vectors.
    """

    widest = WIDEST

    def __init__(self, url: str, table: str, width: int) -> None:
        self._connections = Connections(url)
        self._table = table
        self._width = width
        self._select = sql.SQL(
            "SELECT item_number FROM {} ORDER BY embedding <-> %s::vector LIMIT %s"
        ).format(sql.Identifier(table))

    def nearest(
        self, laid: Float32[np.ndarray, "queries padded"], width: int
    ) -> Int32[np.ndarray, "queries width"]:
        """The best that a search of some width meets; see `graph.Neighbours`."""
        found = np.zeros((len(laid), width), np.int32)
        with self._connections.one() as connection, connection.transaction():
            searched = min(width, WIDEST_SEARCH)
            going_on = "strict_order" if width > WIDEST_SEARCH else "off"
            connection.execute(
                "SELECT set_config('hnsw.ef_search', %s, true), "
                "set_config('hnsw.iterative_scan', %s, true)",
                [str(searched), going_on],
            )
            for row, query in enumerate(laid[:, : self._width]):
                answer = connection.execute(self._select, [_text(query), width]).fetchall()
                found[row, : len(answer)] = [number for (number,) in answer]
        return found

    def load(
        self,
        rows: Rows,
        made_of: str,
        *,
        connections: int,
        build_width: int,
        progress: Callable[[int], None],
    ) -> None:
        """Fill the table and index it, in one transaction; see `databases.Database`.

        Raises:
            BackendError: the database refuses; it is as it was before.
        """
        names = {
            "table": sql.Identifier(self._table),
            "new": sql.Identifier(f"{self._table}_new"),
            "made_of": sql.Literal(made_of),
        }
        with self._connections.one() as connection, connection.transaction():

            def execute(text: str, **more: int) -> None:
                values = {name: sql.Literal(value) for name, value in more.items()}
                connection.execute(sql.SQL(text).format(**names, **values))

            execute("CREATE EXTENSION IF NOT EXISTS vector")
            execute("DROP TABLE IF EXISTS {new}")
            execute(
                "CREATE TABLE {new} (item_number integer PRIMARY KEY, item_id text NOT NULL, "
                "embedding vector({width}) NOT NULL)",
                width=self._width,
            )
            count = self._copy(connection, names["new"], rows, progress)
            # a graph that outgrows this is built much more slowly
            needed_mb = 64 + count * (self._width * 4 + connections * 32 + 200) // 2**20
            execute("SET LOCAL maintenance_work_mem = {mb}", mb=1024 * min(needed_mb, 2048))
            execute(
                "CREATE INDEX ON {new} USING hnsw (embedding vector_l2_ops) "
                "WITH (m = {m}, ef_construction = {ef})",
                m=connections,
                ef=max(build_width, 2 * connections),
            )
            execute("COMMENT ON TABLE {new} IS {made_of}")
            execute("DROP TABLE IF EXISTS {table}")
            execute("ALTER TABLE {new} RENAME TO {table}")
        with self._connections.one() as connection:
            connection.execute(sql.SQL("ANALYZE {table}").format(**names))

    def check(self, items: int, made_of: str) -> None:
        """Refuse a table that isn't there, or holds something else.

        Raises:
            BackendError: so it is, or the database can't be reached.
        """
        with self._connections.one() as connection:
            found = connection.execute(
                "SELECT obj_description(to_regclass(%s))", [f'"{self._table}"']
            ).fetchone()
            count = 0
            if found == (made_of,):
                query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(self._table))
                (count,) = connection.execute(query).fetchone() or (0,)
        if count != items:
            raise BackendError(
                f"the table {self._table} isn't there, or holds something else",
                received=f"{count} items of this index",
                allowed=f"{items} items",
                hint="run `antiphon index RUN` again",
            )

    def drop(self) -> None:
        """Remove the table.

        Raises:
            BackendError: the database refuses.
        """
        with self._connections.one() as connection:
            name = sql.Identifier(self._table)
            connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(name))

    def _copy(
        self,
        connection: psycopg.Connection,
        table: sql.Composable,
        rows: Rows,
        progress: Callable[[int], None],
    ) -> int:
        """Send all rows in the binary form of COPY; how many they were."""
        number = 0
        command = sql.SQL("COPY {} FROM STDIN (FORMAT BINARY)").format(table)
        with connection.cursor() as cursor, cursor.copy(command) as copy:
            copy.write(START)
            for ids, vectors in rows:
                # length in bytes, number of dimensions, nothing; numbers in network order
                head = struct.pack(">ihh", 4 + 4 * self._width, self._width, 0)
                parts = []
                for id_, vector in zip(ids, vectors.astype(">f4"), strict=True):
                    number += 1
                    text = id_.encode()
                    parts.append(struct.pack(">hiii", 3, 4, number, len(text)))
                    parts += [text, head, vector.tobytes()]
                copy.write(b"".join(parts))
                progress(number)
            copy.write(END)
        return number


def _text(vector: Float32[np.ndarray, " width"]) -> str:
    return "[" + ",".join(map(repr, vector.tolist())) + "]"

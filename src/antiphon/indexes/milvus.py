"""Candidates in Milvus: a collection of item_number, item_id and embedding, with a graph."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import numpy as np
from jaxtyping import Float32, Int32

from antiphon.errors import BackendError
from antiphon.indexes.databases import Rows, missing_client, refused

try:
    from pymilvus import DataType, MilvusClient, MilvusException
except ImportError:
    raise missing_client("milvus") from None

__all__ = ["Milvus"]

WIDEST = 16_384
"""Milvus lists no more."""
ROWS_AT_ONCE = 5_000
LONGEST_ID = 1024


class Milvus:
    """A collection of candidates; see `databases.Database`.

    Args:
        url: milvus://host:port/database; a token comes from ANTIPHON_MILVUS_TOKEN.
        table: the collection's name.
        width: of its vectors.

    Raises:
        BackendError: the server can't be reached.
    """

    widest = WIDEST

    def __init__(self, url: str, table: str, width: int) -> None:
        self._url = url
        self._table = table
        self._width = width
        parts = urlsplit(url)
        with self._telling():
            self._client = MilvusClient(
                f"http://{parts.netloc}",
                token=os.environ.get("ANTIPHON_MILVUS_TOKEN", ""),
                db_name=parts.path.strip("/"),
                timeout=10,
            )

    def nearest(
        self, laid: Float32[np.ndarray, "queries padded"], width: int
    ) -> Int32[np.ndarray, "queries width"]:
        """The best that a search of some width meets; see `graph.Neighbours`."""
        found = np.zeros((len(laid), width), np.int32)
        if not len(laid):
            return found
        with self._telling():
            answers = self._client.search(
                self._table,
                data=list(laid[:, : self._width]),
                limit=width,
                search_params={"metric_type": "L2", "params": {"ef": width}},
            )
        for row, answer in enumerate(answers):
            numbers = [hit["item_number"] for hit in answer]
            found[row, : len(numbers)] = numbers
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
        """Fill the collection and index it; see `databases.Database`.

        Raises:
            BackendError: the server refuses.
        """
        new = f"{self._table}_new"
        client = self._client
        with self._telling():
            client.drop_collection(new)
            schema = client.create_schema(
                auto_id=False, enable_dynamic_field=False, description=made_of
            )
            schema.add_field("item_number", DataType.INT64, is_primary=True)
            schema.add_field("item_id", DataType.VARCHAR, max_length=LONGEST_ID)
            schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=self._width)
            parameters = client.prepare_index_params()
            parameters.add_index(
                "embedding",
                index_type="HNSW",
                metric_type="L2",
                params={"M": connections, "efConstruction": build_width},
            )
            client.create_collection(new, schema=schema)
            number = 0
            for ids, vectors in rows:
                for start in range(0, len(ids), ROWS_AT_ONCE):
                    some = [
                        {"item_number": number + place, "item_id": id_, "embedding": vector}
                        for place, (id_, vector) in enumerate(
                            zip(
                                ids[start : start + ROWS_AT_ONCE],
                                vectors[start : start + ROWS_AT_ONCE],
                                strict=True,
                            ),
                            1,
                        )
                    ]
                    client.insert(new, some)
                    number += len(some)
                    progress(number)
            client.flush(new)
            client.create_index(new, parameters)
            client.drop_collection(self._table)
            client.rename_collection(new, self._table)
            client.load_collection(self._table)

    def check(self, items: int, made_of: str) -> None:
        """Refuse a collection that isn't there, or holds something else; make it ready.

        Raises:
            BackendError: so it is, or the server can't be reached.
        """
        count = 0
        with self._telling():
            if self._client.has_collection(self._table):
                told = self._client.describe_collection(self._table)
                # Milvus Lite keeps no description; the name holds a part of it too
                if told["description"] in (made_of, ""):
                    count = int(self._client.get_collection_stats(self._table)["row_count"])
                    self._client.load_collection(self._table)
        if count != items:
            raise BackendError(
                f"the collection {self._table} isn't there, or holds something else",
                received=f"{count} items of this index",
                allowed=f"{items} items",
                hint="run `antiphon index RUN` again",
            )

    def drop(self) -> None:
        """Remove the collection.

        Raises:
            BackendError: the server refuses.
        """
        with self._telling():
            self._client.drop_collection(self._table)

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except MilvusException as error:
            raise refused(self._url, error) from error

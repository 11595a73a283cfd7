"""The log's ids of users and items by number, those of the held-out window included."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Shaped

from antiphon.prepared import Prepared

__all__ = ["LogIds"]


class LogIds:
    """The log's ids by number, those of new users and cold items included."""

    def __init__(self, prepared: Prepared) -> None:
        path = prepared.stage.path

        def read(which: str) -> pa.ChunkedArray:
            files = (path / f"{which}.parquet", path / "held_out" / f"{which}.parquet")
            return pa.concat_tables([pq.read_table(file, columns=["id"]) for file in files]).column(
                "id"
            )

        self._users, self._items = read("users"), read("items")

    def users(self, numbers: Shaped[np.ndarray, " rows"]) -> pa.Array:
        """Ids of user numbers from 1 on."""
        return self._users.take(pa.array(numbers.astype(np.int64) - 1)).combine_chunks()

    def items(self, numbers: Shaped[np.ndarray, " rows"]) -> pa.Array:
        """Ids of item numbers from 1 on."""
        return self._items.take(pa.array(numbers.astype(np.int64) - 1)).combine_chunks()

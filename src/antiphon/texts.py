"""A column of text, of which a few rows at a time are wanted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Integer

__all__ = ["Texts"]


class Texts:
    """Reads rows straight from a column's bytes.

    Arrow's own way of taking some rows looks up and runs a kernel, which for ten of them takes
    several times as long, and more where nothing of it is in the processor's caches.

    Args:
        column: of type string or large_string; may hold nulls.

    Attributes:
        column: the same, for whoever wants all of it.
    """

    def __init__(self, column: pa.Array) -> None:
        self.column = column
        _, offsets, data = column.buffers()
        kind = np.int64 if pa.types.is_large_string(column.type) else np.int32
        first, count = column.offset, len(column)
        self._bounds = np.zeros(count + 1, kind)
        if count:
            self._bounds = np.frombuffer(offsets, kind)[first : first + count + 1]
        self._data = memoryview(b"" if data is None else data)
        self._missing: Any = None
        if column.null_count:
            self._missing = column.is_null().to_numpy(zero_copy_only=False)

    def __len__(self) -> int:
        return len(self._bounds) - 1

    def take(self, rows: Integer[np.ndarray, " rows"]) -> list[str | None]:
        """The texts of some rows, which count from 0; None where there is none.

        Raises:
            IndexError: there is no such row.
        """
        if len(rows) and rows.min() < 0:
            raise IndexError(f"rows run from 0 to {len(self) - 1}")
        bounds = zip(self._bounds[rows].tolist(), self._bounds[rows + 1].tolist(), strict=True)
        texts: list[str | None] = [str(self._data[start:end], "utf-8") for start, end in bounds]
        if self._missing is not None:
            for place in np.flatnonzero(self._missing[rows]).tolist():
                texts[place] = None
        return texts

"""Arrays written to .npy piece by piece, without a mapping that would count as memory."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
from jaxtyping import Shaped
from numpy.typing import DTypeLike

__all__ = ["NpyWriter", "read_blocks", "read_rows"]

_one_header_at_a_time = threading.Lock()
"""numpy parses a header as Python, which older versions of Python 3.11 can't do in two threads at
once: one ends now and then with "AST constructor recursion depth mismatch" (gh-106905)."""


class NpyWriter:
    """Writes an array of known shape in pieces, first rows first.

    Args:
        path: the file; its folder is made.
        dtype: of the elements.
        shape: of the whole array.
    """

    def __init__(self, path: Path, dtype: DTypeLike, shape: tuple[int, ...]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._dtype, self._shape, self._rows = np.dtype(dtype), shape, 0
        self._file = path.open("wb")
        header = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": shape,
        }
        np.lib.format.write_array_header_1_0(self._file, header)
        self.data_start = self._file.tell()

    def __enter__(self) -> NpyWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        if kind is None and self._rows != self._shape[0]:
            raise ValueError(f"{self._rows} rows were written of {self._shape[0]}")

    def write(self, rows: Shaped[np.ndarray, "rows ..."]) -> None:
        """Append rows."""
        if rows.shape[1:] != self._shape[1:]:
            raise ValueError(f"rows of shape {rows.shape[1:]} in an array of {self._shape}")
        self._file.write(np.ascontiguousarray(rows, self._dtype).data)
        self._rows += len(rows)


def read_blocks(path: Path, rows: int) -> Iterator[Shaped[np.ndarray, "rows ..."]]:
    """Read an array back, `rows` rows at a time."""
    with _one_header_at_a_time:
        count = len(np.load(path, mmap_mode="r", allow_pickle=False))
    for start in range(0, count, rows):
        yield read_rows(path, start, min(start + rows, count))


def read_rows(path: Path, start: int, end: int) -> Shaped[np.ndarray, "rows ..."]:
    """Some successive rows of an array, which is as `NpyWriter` and numpy write it."""
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"{path} has .npy version {version}")
        with _one_header_at_a_time:
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        width = int(np.prod(shape[1:], dtype=np.int64))
        file.seek(start * width * dtype.itemsize, os.SEEK_CUR)
        return np.fromfile(file, dtype, (end - start) * width).reshape(end - start, *shape[1:])

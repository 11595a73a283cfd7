"""Ids and numbers, as `numbering` paired them: number 0 is the unknown one."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Bool, Int32, Shaped

from antiphon.texts import Texts

__all__ = ["Vocabulary"]

_LONGEST_KEY = 64


class Vocabulary:
    """Looks up the numbers of ids and the ids of numbers.

    Args:
        ids: the ids of numbers 1.. in order: whole numbers or text.
    """

    def __init__(self, ids: pa.Array) -> None:
        self._is_text = pa.types.is_string(ids.type) or pa.types.is_large_string(ids.type)
        if self._is_text:
            self._texts = Texts(ids)
            keys = self._keys(ids.to_pylist())
        else:
            self._whole = ids.to_numpy()
            keys = self._whole.astype(np.uint64 if ids.type == pa.uint64() else np.int64)
        self._order = np.argsort(keys, kind="stable").astype(np.int32)
        self._sorted = keys[self._order]

    @classmethod
    def open(cls, path: Path) -> Vocabulary:
        """Read `users.parquet` or `items.parquet`."""
        return cls(pq.read_table(path, columns=["id"]).column("id").combine_chunks())

    def __len__(self) -> int:
        return len(self._sorted)

    def numbers(
        self, ids: Sequence[int | str] | Shaped[np.ndarray, " ids"]
    ) -> Int32[np.ndarray, " ids"]:
        """The number of each id; 0 where the log has none such.

        Whole numbers may be given as text, and text ids that look like numbers as numbers.
        """
        if len(ids) == 0 or len(self) == 0:
            return np.zeros(len(ids), np.int32)
        if self._is_text:
            wanted = self._keys([str(id_) for id_ in ids])
            valid = np.ones(len(ids), bool)
        else:
            wanted, valid = _whole(ids, self._sorted.dtype)
        place = np.minimum(np.searchsorted(self._sorted, wanted), len(self) - 1)
        known = valid & (self._sorted[place] == wanted)
        return np.where(known, self._order[place] + 1, 0).astype(np.int32)

    def ids(self, numbers: Sequence[int] | Shaped[np.ndarray, " numbers"]) -> list[Any]:
        """The id of each number from 1 on, as `int` or `str`."""
        rows = np.asarray(numbers, np.int64) - 1
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self)):
            raise IndexError(f"numbers run from 1 to {len(self)}")
        if not self._is_text:  # far faster than Arrow takes a few rows
            whole: list[Any] = self._whole[rows].tolist()
            return whole
        return list(self._texts.take(rows))

    def spelling(self, id_: int | str) -> str:
        """An id as text, the same however it is given: known or not, 17 and "017" are one."""
        if not self._is_text:
            with contextlib.suppress(ValueError):
                return str(int(id_))
        return str(id_)

    @staticmethod
    def _keys(texts: Sequence[str]) -> Shaped[np.ndarray, " texts"]:
        """Texts as bytes of one width; very long ones stand as their digest."""
        return np.array([_key(text) for text in texts], dtype=np.bytes_)


def _key(text: str) -> bytes:
    encoded = text.encode()
    if len(encoded) <= _LONGEST_KEY:
        return encoded
    return hashlib.sha256(encoded).hexdigest().encode()


def _whole(
    ids: Sequence[int | str] | Shaped[np.ndarray, " ids"], dtype: np.dtype[Any]
) -> tuple[Shaped[np.ndarray, " ids"], Bool[np.ndarray, " ids"]]:
    """The ids as whole numbers, and which of them are such."""
    least, most = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    if isinstance(ids, np.ndarray) and ids.dtype.kind in "iu":
        fits = np.asarray((ids >= least) & (ids <= most))
        return np.where(fits, ids, 0).astype(dtype), fits
    values, valid = np.zeros(len(ids), dtype), np.zeros(len(ids), bool)
    for row, id_ in enumerate(ids):
        try:
            number = int(id_)
        except (ValueError, OverflowError, TypeError):
            continue
        if least <= number <= most and (isinstance(id_, str) or number == id_):
            values[row], valid[row] = number, True
    return values, valid

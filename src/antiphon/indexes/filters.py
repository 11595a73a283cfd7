"""Which items of a corpus may be listed at all: an allow list or a deny list of item numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int32, Int64

from antiphon.exclusions import Exclusions

__all__ = ["Filter", "left_out_of", "numbers_of", "rows_of", "with_denied"]


@dataclass(frozen=True)
class Filter:
    """What every query of a call may find.

    Attributes:
        item_number: ascending, each once, from 1 on; numbers above the corpus do no harm.
        allow: whether these items are the only ones that may be listed; else they may not be.
    """

    item_number: Int32[np.ndarray, " items"]
    allow: bool

    @classmethod
    def allowing(cls, numbers: np.ndarray) -> Filter:
        """Only these; number 0, the unknown item, is dropped."""
        return cls(numbers_of(numbers), allow=True)

    @classmethod
    def denying(cls, numbers: np.ndarray) -> Filter:
        """All but these."""
        return cls(numbers_of(numbers), allow=False)

    def __and__(self, other: Filter) -> Filter:
        """What both let pass."""
        mine, theirs = self.item_number, other.item_number
        if self.allow and other.allow:
            return Filter(np.intersect1d(mine, theirs, assume_unique=True), allow=True)
        if self.allow:
            return Filter(np.setdiff1d(mine, theirs, assume_unique=True), allow=True)
        if other.allow:
            return Filter(np.setdiff1d(theirs, mine, assume_unique=True), allow=True)
        return Filter(np.union1d(mine, theirs), allow=False)

    def allowed(self, item_count: int) -> Int32[np.ndarray, " allowed"]:
        """Numbers of all items that pass, ascending."""
        if self.allow:
            return self.item_number[: np.searchsorted(self.item_number, item_count, side="right")]
        return np.flatnonzero(self.mask(item_count)).astype(np.int32)

    def count(self, item_count: int) -> int:
        """How many items pass."""
        inside = int(np.searchsorted(self.item_number, item_count, side="right"))
        return inside if self.allow else item_count - inside

    def mask(self, item_count: int) -> Bool[np.ndarray, " numbers"]:
        """Whether each item number from 0 on passes; number 0 never does."""
        inside = self.item_number[: np.searchsorted(self.item_number, item_count, side="right")]
        mask = np.full(item_count + 1, not self.allow)
        mask[inside] = self.allow
        mask[0] = False
        return mask


def numbers_of(numbers: np.ndarray) -> Int32[np.ndarray, " numbers"]:
    """Item numbers ascending, each once, without the unknown item."""
    unique = np.unique(np.asarray(numbers, np.int32))
    return unique[np.searchsorted(unique, 1) :]


def left_out_of(exclude: Exclusions, row: int) -> Int32[np.ndarray, " exclusions"]:
    """What one query leaves out."""
    return exclude.item_number[exclude.offsets[row] : exclude.offsets[row + 1]]


def rows_of(exclude: Exclusions, rows: Int64[np.ndarray, " rows"]) -> Exclusions:
    """What some of the queries leave out."""
    if len(rows) == len(exclude.offsets) - 1 and (rows == np.arange(len(rows))).all():
        return exclude
    parts = [left_out_of(exclude, int(row)) for row in rows]
    lengths = [len(part) for part in parts]
    return Exclusions(
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        np.concatenate([np.zeros(0, np.int32), *parts]),
    )


def with_denied(
    exclude: Exclusions | None, denied: Int32[np.ndarray, " denied"], queries: int
) -> Exclusions:
    """What each query leaves out, and the denied items besides."""
    if exclude is None:
        offsets: Int64[np.ndarray, " bounds"] = np.arange(queries + 1, dtype=np.int64)
        return Exclusions(offsets * len(denied), np.tile(denied, queries))
    ends = exclude.offsets[1:]
    each = np.repeat(ends, len(denied))
    shift = np.arange(queries + 1, dtype=np.int64) * len(denied)
    return Exclusions(
        exclude.offsets + shift, np.insert(exclude.item_number, each, np.tile(denied, queries))
    )

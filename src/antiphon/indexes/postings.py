"""Which items have a value: item numbers by code of each categorical item feature, on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int32, Int64, Shaped

from antiphon.prepared import Prepared
from antiphon.schema import FittedCategorical

__all__ = ["Postings", "write_postings"]


@dataclass(frozen=True)
class Postings:
    """Items of code `c` are the rows `offsets[c]` to `offsets[c + 1]`, ascending."""

    offsets: Int64[np.ndarray, " codes_and_one"]
    item_number: Int32[np.ndarray, " items"]

    @classmethod
    def of(cls, codes: Shaped[np.ndarray, "items ..."], cardinality: int) -> Postings:
        """Of an encoded feature, one row an item number; an item with several codes is in each."""
        flat = np.asarray(codes).reshape(len(codes), -1)
        item, column = np.nonzero(flat)
        code = flat[item, column]
        order = np.argsort(code, kind="stable")
        counts = np.bincount(code, minlength=cardinality + 1)
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return cls(offsets, item[order].astype(np.int32))

    @classmethod
    def open(cls, folder: Path, name: str) -> Postings:
        """Memory-map a feature's."""
        offsets, items = (
            np.load(folder / f"{name}.{part}.npy", mmap_mode="r", allow_pickle=False)
            for part in ("offsets", "items")
        )
        return cls(offsets, items)

    def write(self, folder: Path, name: str) -> None:
        """Write a feature's, for `open`."""
        np.save(folder / f"{name}.offsets.npy", self.offsets)
        np.save(folder / f"{name}.items.npy", self.item_number)

    def items(self, codes: Int32[np.ndarray, " codes"]) -> Int32[np.ndarray, " found"]:
        """Items that have any of these codes, ascending, each once."""
        parts = [self.item_number[self.offsets[c] : self.offsets[c + 1]] for c in codes.tolist()]
        return np.unique(np.concatenate([np.zeros(0, np.int32), *parts]))


def write_postings(prepared: Prepared, folder: Path) -> None:
    """Write those of every categorical item feature of a log."""
    folder.mkdir()
    for feature in prepared.schema.item:
        if isinstance(feature, FittedCategorical):
            codes = prepared.item_feature(feature.name)
            Postings.of(codes, feature.cardinality).write(folder, feature.name)

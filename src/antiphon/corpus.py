"""All that may be listed: the candidates of training, and items added since, in one numbering."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float32, Int32

from antiphon.exclusions import Exclusions
from antiphon.indexes import Filter, Index, NumpyScan, TopK, merge_top_k
from antiphon.indexes.protocol import check_search

__all__ = ["Corpus"]


@dataclass(frozen=True)
class Corpus:
    """Candidates in an index, and more beside it; searched as one (see `indexes.Index`).

    A few thousand items added are scanned beside whatever index holds the rest, and the two lists
    merged: exact where the index is, and in effect at once.

    Attributes:
        candidates: embeddings by item number, memory-mapped or not.
        index: of these.
        added: embeddings of the items that follow in number.
    """

    candidates: Float32[np.ndarray, "items width"]
    index: Index
    added: Float32[np.ndarray, "added width"]

    @classmethod
    def of(cls, candidates: Float32[np.ndarray, "items width"], index: Index) -> Corpus:
        """Nothing but the candidates of training."""
        return cls(candidates, index, np.zeros((0, candidates.shape[1]), np.float32))

    @property
    def item_count(self) -> int:
        """Items have the numbers 1 to this."""
        return len(self.candidates) - 1 + len(self.added)

    @property
    def width(self) -> int:
        """Of candidate and query embeddings."""
        return int(self.candidates.shape[1])

    def rows_of(self, item_number: Int32[np.ndarray, "*shape"]) -> Float32[np.ndarray, "*shape w"]:
        """Embeddings of items; of number 0, the unknown one, too."""
        if not len(self.added):
            return np.asarray(self.candidates[item_number])
        base = len(self.candidates)
        rows = np.asarray(self.candidates[np.where(item_number < base, item_number, 0)])
        new = item_number >= base
        rows[new] = self.added[item_number[new] - base]
        return rows

    def top_k(
        self,
        queries: Float32[np.ndarray, "queries width"],
        k: int,
        *,
        exclude: Exclusions | None = None,
        among: Filter | None = None,
    ) -> TopK:
        """The best of each query; see `Index.top_k`."""
        if not len(self.added):
            return self.index.top_k(queries, k, exclude=exclude, among=among)
        check_search(queries, k, self.width)
        before = len(self.candidates) - 1
        left_out = None
        if exclude is not None:
            shifted = np.maximum(exclude.item_number - before, 0).astype(np.int32)
            left_out = Exclusions(exclude.offsets, shifted)
        passing = None
        if among is not None:
            numbers = among.item_number[np.searchsorted(among.item_number, before, "right") :]
            passing = Filter((numbers - before).astype(np.int32), among.allow)
        found = self.index.top_k(queries, k, exclude=exclude, among=among)
        numbers, scores = self._beside.top_k(queries, k, exclude=left_out, among=passing)
        moved = np.where(numbers > 0, numbers + before, 0).astype(np.int32)
        return merge_top_k([found, (moved, scores)], k)

    @cached_property
    def _beside(self) -> NumpyScan:
        return NumpyScan(np.concatenate([np.zeros((1, self.width), np.float32), self.added]))

"""Exact search in numpy, with filters: needs nothing else, and is what other engines must equal."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from jaxtyping import Float32, Int32

from antiphon.exact_search import ExactSearch
from antiphon.exclusions import Exclusions
from antiphon.indexes.filters import Filter, with_denied
from antiphon.indexes.lists import empty_lists, merge_top_k
from antiphon.indexes.protocol import check_search
from antiphon.scan import TopK

__all__ = ["NumpyScan"]

ROWS_AT_ONCE = 131_072
PAIRS_DENIED = 1_000_000
"""So many (query, denied item) pairs are left out one by one; beyond, the rest is picked out."""


class NumpyScan:
    """An exact index over candidate embeddings, which may be memory-mapped; see `Index`.

    Args:
        candidates: embeddings by item number; row 0 is the unknown item.
    """

    def __init__(self, candidates: Float32[np.ndarray, "items width"]) -> None:
        self.candidates = candidates

    @property
    def item_count(self) -> int:
        """Candidates have the numbers 1 to this."""
        return len(self.candidates) - 1

    @property
    def width(self) -> int:
        """Of candidate and query embeddings."""
        return int(self.candidates.shape[1])

    def top_k(
        self,
        queries: Float32[np.ndarray, "queries width"],
        k: int,
        *,
        exclude: Exclusions | None = None,
        among: Filter | None = None,
    ) -> TopK:
        """The best candidates of each query; see `Index.top_k`."""
        check_search(queries, k, self.width)
        if among is None:
            return self._search.top_k(queries, k, exclude=exclude)
        if not among.allow and len(among.item_number) * len(queries) <= PAIRS_DENIED:
            denied = with_denied(exclude, among.item_number, len(queries))
            return self._search.top_k(queries, k, exclude=denied)
        return self._among(queries, k, exclude, among.allowed(self.item_count))

    @cached_property
    def _search(self) -> ExactSearch:
        # looks at all candidates once
        return ExactSearch(self.candidates)

    def _among(
        self,
        queries: Float32[np.ndarray, "queries width"],
        k: int,
        exclude: Exclusions | None,
        allowed: Int32[np.ndarray, " allowed"],
    ) -> TopK:
        found = empty_lists(len(queries), k)
        for start in range(0, len(allowed), ROWS_AT_ONCE):
            numbers = allowed[start : start + ROWS_AT_ONCE]
            # row 0 is never listed
            rows = np.concatenate([self.candidates[:1], self.candidates[numbers]])
            left_out = None if exclude is None else _renumbered(exclude, numbers)
            places, scores = ExactSearch(rows).top_k(queries, k, exclude=left_out)
            renumbered = np.concatenate([np.zeros(1, np.int32), numbers])[places]
            found = merge_top_k([found, (renumbered, scores)], k)
        return found


def _renumbered(exclude: Exclusions, numbers: Int32[np.ndarray, " allowed"]) -> Exclusions:
    """The same exclusions where `numbers[i]` is item i + 1 and there is no other."""
    places = np.searchsorted(numbers, exclude.item_number)
    there = numbers[np.minimum(places, len(numbers) - 1)] == exclude.item_number
    return Exclusions(exclude.offsets, np.where(there, places + 1, 0).astype(np.int32))

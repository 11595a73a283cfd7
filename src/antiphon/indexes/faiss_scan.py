"""Exact search by faiss: a scan of bfloat16 vectors, rescored from the embeddings themselves.

The scan brings more than were asked for. If the k-th of them, scored in double precision, is better
than the last one's rough score by more than rounding can explain, nothing that was left behind can
belong to the list. If it isn't, more are brought, and at last numpy scores everything: lists are
always those of `NumpyScan`, bit by bit. Many queries at once are numpy's from the start: it reads
the corpus once for all of them.
"""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64

from antiphon.exclusions import Exclusions
from antiphon.indexes.filters import Filter, left_out_of, rows_of
from antiphon.indexes.layout import Layout
from antiphon.indexes.lists import SPARE, best, empty_lists, score
from antiphon.indexes.numpy_scan import NumpyScan
from antiphon.indexes.protocol import check_search
from antiphon.scan import TopK

__all__ = ["FaissScan"]

FEW_QUERIES = 1
"""Up to so many queries are scanned one by one; for more numpy takes less time."""
WIDEN = (1, 8)
"""How many times as many the first and the second scan bring."""
FEW_LEFT_OUT = 512
"""Up to so many items that a query leaves out are brought too and dropped; to look each candidate
up during the scan takes longer."""
FEW_ALLOWED = 20_000
"""Up to so many allowed items are scored without a scan."""


class FaissScan:
    """An exact index; see `Index`.

    Args:
        candidates: embeddings by item number, memory-mapped or not; the source of truth.
        storage: a faiss index over candidates 1 and up, as `layout` lays them out.
        layout: with its residual measured.
    """

    def __init__(
        self, candidates: Float32[np.ndarray, "items width"], storage: Any, layout: Layout
    ) -> None:
        self.numpy = NumpyScan(candidates)
        self._candidates = candidates
        self._storage = storage
        self._layout = layout

    @property
    def item_count(self) -> int:
        """Candidates have the numbers 1 to this."""
        return self.numpy.item_count

    @property
    def width(self) -> int:
        """Of candidate and query embeddings."""
        return self.numpy.width

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
        few_allowed = among is not None and among.count(self.item_count) <= FEW_ALLOWED
        if len(queries) > FEW_QUERIES or (few_allowed and among and among.allow):
            return self.numpy.top_k(queries, k, exclude=exclude, among=among)
        numbers, scores = empty_lists(len(queries), k)
        mask = None if among is None else among.mask(self.item_count)
        laid = self._layout.of_queries(queries)
        errors = self._layout.error(laid)
        for row in range(len(queries)):
            left_out = None if exclude is None else left_out_of(exclude, row)
            found = self._one(queries[row], laid[row], float(errors[row]), k, left_out, mask)
            if found is None:
                alone = None if exclude is None else rows_of(exclude, np.array([row]))
                every = self.numpy.top_k(queries[row : row + 1], k, exclude=alone, among=among)
                numbers[row], scores[row] = every[0][0], every[1][0]
            else:
                numbers[row, : len(found[0])], scores[row, : len(found[1])] = found
        return numbers, scores

    def _one(
        self,
        query: Float32[np.ndarray, " width"],
        laid: Float32[np.ndarray, " padded"],
        error: float,
        k: int,
        left_out: Int32[np.ndarray, " excluded"] | None,
        mask: Bool[np.ndarray, " numbers"] | None,
    ) -> tuple[Int32[np.ndarray, " best"], Float32[np.ndarray, " best"]] | None:
        """One query's list, or None where its end is too crowded to tell."""
        wanted, count = 2 * k + SPARE, self.item_count
        if mask is None and left_out is not None and 0 < len(left_out) <= FEW_LEFT_OUT and count:
            brought = min(wanted + len(left_out), count)
            found = self._scan(query, laid, error, k, brought, count, dropped=left_out)
            if found is not None:
                return found
        parameters, available = self._selecting(left_out, mask)
        if not available:
            return best(np.zeros(0, np.int32), np.zeros(0, np.float32), k)
        for times in WIDEN:
            brought = min(times * wanted, available)
            found = self._scan(query, laid, error, k, brought, available, parameters)
            if found is not None:
                return found
        return None

    def _scan(
        self,
        query: Float32[np.ndarray, " width"],
        laid: Float32[np.ndarray, " padded"],
        error: float,
        k: int,
        brought: int,
        available: int,
        parameters: Any = None,
        dropped: Int32[np.ndarray, " excluded"] | None = None,
    ) -> tuple[Int32[np.ndarray, " best"], Float32[np.ndarray, " best"]] | None:
        """The list by one scan that brings so many of those there are; None: it takes more."""
        faiss.omp_set_num_threads(1)  # a team of threads costs more than one query
        rough, labels = self._storage.search(laid[None], brought, params=parameters)
        numbers = (labels[0][labels[0] >= 0] + 1).astype(np.int32)
        whole, last = len(numbers) >= available, len(numbers) - 1
        if dropped is not None:
            kept = _others(numbers, dropped)
            if len(kept) > 2 * k + SPARE:  # fewer were dropped than were brought for it
                kept = kept[: 2 * k + SPARE]
                whole, last = False, int(kept[-1])
            numbers = numbers[kept]
        listed = best(numbers, score(self._candidates[numbers], query), k)
        if whole:
            return listed
        if len(listed[1]) == k:
            kth = float(listed[1][-1])
            slack = abs(kth) * float(np.finfo(np.float32).eps)
            if kth - slack > float(rough[0][last]) + error:
                return listed
        return None

    def _selecting(
        self,
        left_out: Int32[np.ndarray, " excluded"] | None,
        mask: Bool[np.ndarray, " numbers"] | None,
    ) -> tuple[Any, int]:
        """Search parameters by which only these are brought, and how many there are."""
        if left_out is None and mask is None:
            return None, self.item_count
        mask = np.ones(self.item_count + 1, bool) if mask is None else mask.copy()
        mask[0] = False
        if left_out is not None:
            mask[left_out[(left_out > 0) & (left_out <= self.item_count)]] = False
        bits = np.packbits(mask[1:], bitorder="little")
        selector = faiss.IDSelectorBitmap(bits)
        return faiss.SearchParameters(sel=selector), int(np.count_nonzero(mask))


def _others(
    numbers: Int32[np.ndarray, " some"], dropped: Int32[np.ndarray, " excluded"]
) -> Int64[np.ndarray, " others"]:
    """Where others stand than what is dropped, at least one; of so few faster than `numpy.isin`."""
    ascending = np.sort(dropped)
    place = np.searchsorted(ascending, numbers)
    return np.flatnonzero(ascending.take(place, mode="clip") != numbers)

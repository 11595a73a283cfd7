"""Approximate search by a graph of near candidates (HNSW; Malkov and Yashunin, 2016).

The graph's search keeps the best `width` candidates that it has met, and those near the end of that
list are less sure than those at its head. What is left out of a list is often just what stands at
the head, a user's own library above all, and then a list of k reaches far down. So the width that
is asked for follows from how deep the list reaches: `spare + growth * depth`, two numbers chosen
when the index is built, so that recall reaches its target with and without exclusions. A search
whose list reaches deeper than its width allows is done again, wider; where that would cost as much
as a scan of everything, and where a filter lets few pass, the scan answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64

from antiphon.exclusions import Exclusions
from antiphon.indexes.filters import Filter, left_out_of, rows_of
from antiphon.indexes.layout import Layout
from antiphon.indexes.lists import SPARE, best, empty_lists, score
from antiphon.indexes.protocol import Index, check_search
from antiphon.scan import TopK

__all__ = ["Graph", "Neighbours", "Reach"]


@dataclass(frozen=True)
class Reach:
    """How wide a search must be for a list that reaches to some depth.

    Attributes:
        spare: added whatever the depth.
        growth: for each place of depth.
        widest: beyond it a scan answers.
        before: what share of the items that a query leaves out would have stood before its list's
            end, as a rule. A first guess of the depth: too low costs a second search.
    """

    spare: int
    growth: float
    widest: int
    before: float = 0.25

    def width(self, depth: int) -> int:
        """For a list whose last item is the `depth`-th best of all.

        Widths are few, so that many queries can be searched side by side.
        """
        width = self.spare + int(np.ceil(self.growth * depth))
        step = max(8, 1 << max(width.bit_length() - 3, 0))
        return -(-width // step) * step


@runtime_checkable
class Neighbours(Protocol):
    """A graph of candidates as a `Layout` lays them out; safe to use from several threads."""

    def nearest(
        self, laid: Float32[np.ndarray, "queries padded"], width: int
    ) -> Int32[np.ndarray, "queries width"]:
        """The best that a search of some width meets: item numbers, best first, then zeros."""
        ...


class Graph:
    """An approximate index; see `Index`.

    Args:
        candidates: embeddings by item number, memory-mapped or not; the source of truth.
        scan: an exact index of them, which answers where a graph can't.
        neighbours: the graph.
        layout: of the graph's vectors.
        reach: how wide to search.
    """

    def __init__(
        self,
        candidates: Float32[np.ndarray, "items width"],
        scan: Index,
        neighbours: Neighbours,
        layout: Layout,
        reach: Reach,
    ) -> None:
        self.scan = scan
        self.reach = reach
        self.candidates = candidates
        self._neighbours = neighbours
        self._layout = layout

    @property
    def item_count(self) -> int:
        """Candidates have the numbers 1 to this."""
        return self.scan.item_count

    @property
    def width(self) -> int:
        """Of candidate and query embeddings."""
        return self.scan.width

    def reaching(self, reach: Reach) -> Graph:
        """The same index searched otherwise."""
        return Graph(self.candidates, self.scan, self._neighbours, self._layout, reach)

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
        found = empty_lists(len(queries), k)
        mask = None if among is None else among.mask(self.item_count)
        share = 1.0 if mask is None else np.count_nonzero(mask) / max(self.item_count, 1)
        laid = self._layout.of_queries(queries)
        widths = self._first_widths(len(queries), k, share, exclude)
        while len(rows := np.flatnonzero((widths > 0) & (widths <= self.reach.widest))):
            for width in np.unique(widths[rows]).tolist():
                some = rows[widths[rows] == width]
                widths[some] = self._round(queries, laid, some, k, width, exclude, mask, found)
        if len(rows := np.flatnonzero(widths)):
            left_out = None if exclude is None else rows_of(exclude, rows)
            answers = self.scan.top_k(queries[rows], k, exclude=left_out, among=among)
            for whole, some in zip(found, answers, strict=True):
                whole[rows] = some
        return found

    def _first_widths(
        self, queries: int, k: int, share: float, exclude: Exclusions | None
    ) -> Int64[np.ndarray, " queries"]:
        """Guesses, each from what is known of its query alone."""
        if not share or k >= self.item_count:
            return np.full(queries, self.reach.widest + 1)
        depths = np.full(queries, int(k / share))
        if exclude is not None:
            depths += np.ceil(self.reach.before * np.diff(exclude.offsets)).astype(np.int64)
        return np.array([self.reach.width(depth) for depth in depths.tolist()], np.int64)

    def _round(
        self,
        queries: Float32[np.ndarray, "queries width"],
        laid: Float32[np.ndarray, "queries padded"],
        rows: Int64[np.ndarray, " rows"],
        k: int,
        width: int,
        exclude: Exclusions | None,
        mask: Bool[np.ndarray, " numbers"] | None,
        found: TopK,
    ) -> Int64[np.ndarray, " rows"]:
        """Search equally wide for some of the queries; how wide each must be searched again.

        0 stands for a list that was found.
        """
        nearest = self._neighbours.nearest(laid[rows], min(width, self.item_count))
        wider = np.zeros(len(rows), np.int64)
        for place, row in enumerate(rows):
            numbers = nearest[place][nearest[place] > 0]
            kept = self._kept(numbers, exclude, int(row), mask)
            if len(kept) < k:
                wider[place] = 4 * width
                continue
            needed = self.reach.width(int(kept[k - 1]) + 1)
            if needed > width:
                wider[place] = needed
                continue
            numbers = numbers[kept[: 2 * k + SPARE]]
            listed = best(numbers, score(self.candidates[numbers], queries[row]), k)
            found[0][row], found[1][row] = listed
        return wider

    def _kept(
        self,
        numbers: Int32[np.ndarray, " brought"],
        exclude: Exclusions | None,
        row: int,
        mask: Bool[np.ndarray, " numbers"] | None,
    ) -> Int64[np.ndarray, " kept"]:
        """Places of those that may be listed."""
        keep = np.ones(len(numbers), bool) if mask is None else mask[numbers]
        if exclude is not None:
            left_out = left_out_of(exclude, row)
            keep &= ~np.isin(numbers, left_out)
        return np.flatnonzero(keep)

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
from antiphon.indexes.filters import Filter, rows_of
from antiphon.indexes.layout import Layout
from antiphon.indexes.lists import SPARE, empty_lists, merge_top_k, score
from antiphon.indexes.protocol import Index, check_search
from antiphon.prepared import owners
from antiphon.scan import TopK

__all__ = ["Graph", "Neighbours", "Reach"]

AT_ONCE = 1 << 18
"""Items that queries meet, or that are scored, in memory at once."""


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
            rows = rows[: max(1, AT_ONCE // max(2 * k + SPARE, int(widths[rows].max())))]
            met = self._meet(laid[rows], widths[rows])
            keep = _may_be_listed(met, rows, exclude, mask)
            widths[rows], lists = self._lists(queries[rows], met, keep, widths[rows], k)
            for whole, some in zip(found, lists, strict=True):
                whole[rows] = some
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
            lengths = exclude.offsets[1:] - exclude.offsets[:-1]
            depths += np.ceil(self.reach.before * lengths).astype(np.int64)
        return np.array([self.reach.width(depth) for depth in depths.tolist()], np.int64)

    def _meet(
        self, laid: Float32[np.ndarray, "rows padded"], widths: Int64[np.ndarray, " rows"]
    ) -> Int32[np.ndarray, "rows widest"]:
        """What searches of these widths meet; zeros follow."""
        met = np.zeros((len(laid), min(int(widths.max()), self.item_count)), np.int32)
        for width in set(widths.tolist()):
            some = np.flatnonzero(widths == width)
            nearest = self._neighbours.nearest(laid[some], min(width, self.item_count))
            met[some, : nearest.shape[1]] = nearest
        return met

    def _lists(
        self,
        queries: Float32[np.ndarray, "rows width"],
        met: Int32[np.ndarray, "rows widest"],
        keep: Bool[np.ndarray, "rows widest"],
        widths: Int64[np.ndarray, " rows"],
        k: int,
    ) -> tuple[Int64[np.ndarray, " rows"], TopK]:
        """How wide each query must be searched for again, and lists.

        0 stands for a list that reaches no deeper than its search is sure of; of the others, what
        is listed is nothing yet.
        """
        counts = keep.cumsum(axis=1)
        enough = counts[:, -1] >= k
        depths = (counts >= k).argmax(axis=1) + 1
        needed = np.array([self.reach.width(depth) for depth in depths.tolist()], np.int64)
        needed[~enough] = 4 * widths[~enough]
        needed[enough & (needed <= widths)] = 0
        # the likely ones side by side
        likely = keep & (counts <= 2 * k + SPARE)
        places = np.argsort(~likely, axis=1, kind="stable")[:, : 2 * k + SPARE]
        row = np.arange(len(met))[:, None]
        numbers = np.where(likely[row, places], met[row, places], 0)
        return needed, merge_top_k([(numbers, score(self.candidates[numbers], queries))], k)


def _may_be_listed(
    met: Int32[np.ndarray, "rows widest"],
    rows: Int64[np.ndarray, " rows"],
    exclude: Exclusions | None,
    mask: Bool[np.ndarray, " numbers"] | None,
) -> Bool[np.ndarray, "rows widest"]:
    """Which items that some of the queries met aren't left out."""
    keep: Bool[np.ndarray, "rows widest"] = met > 0 if mask is None else mask[met]
    if exclude is None:
        return keep
    some = rows_of(exclude, rows)
    if not len(some.item_number):
        return keep
    left_out = np.sort((owners(some.offsets) << 32) | some.item_number)
    wanted = (np.arange(len(rows))[:, None] << 32) | met
    near = left_out.take(np.searchsorted(left_out, wanted), mode="clip")
    return keep & (near != wanted)

"""One pass over a corpus for a block of queries, looking twice only at what may enter their lists.

See `exact_search`, which runs many of them side by side.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Int64

from antiphon.threads import aside

__all__ = ["TILE", "Sample", "Scan", "TopK", "sample_of"]

TILE = 1024
"""Candidates looked at together; more for few queries,"""
SCORES = 1 << 18
"""so that about so many scores, which stay in the cache, are made in one go."""
SAMPLED = 32
"""One candidate in so many is looked at first, to find a bound;"""
MOST_SAMPLED = 1 << 14
"""of large corpora so many in all."""
SMALL, FEW_ROWS = 900_000, 64
"""Products of so few numbers BLAS makes from matrices as they lie; it copies larger ones into an
order of its own first, which takes longer than the product where queries are few."""
WAITING, LEAST_WAITING = 4, 1 << 13
"""How many of k candidates a row may wait, on average, before bounds are raised; and in all."""
CROWD = 8
"""How many of k candidates may be too near to tell apart before they are scored exactly."""

TopK = tuple[Int32[np.ndarray, "queries k"], Float32[np.ndarray, "queries k"]]


@dataclass(frozen=True)
class Sample:
    """Every `step`-th candidate from number 1 on, side by side."""

    step: int
    candidates: Float32[np.ndarray, "sampled width"]


def sample_of(candidates: Float32[np.ndarray, "items width"], k: int) -> Sample:
    """The candidates by which lists of k are bounded first."""
    count = len(candidates) - 1
    step = max(1, count // max(min(count // SAMPLED, MOST_SAMPLED), 4 * k))
    return Sample(step, np.ascontiguousarray(candidates[1::step]))


class Scan:
    """One block of queries against all candidates.

    A block that has the processors to itself is scanned by all of them, each a part of the corpus.
    """

    def __init__(
        self,
        queries: Float32[np.ndarray, "rows width"],
        candidates: Float32[np.ndarray, "items width"],
        sample: Sample,
        longest: float,
        k: int,
        excluded: tuple[Int64[np.ndarray, " excluded"], Int32[np.ndarray, " excluded"]],
    ) -> None:
        self.queries = np.ascontiguousarray(queries)
        self.candidates = candidates
        self.k = k
        self.excluded_row, self.excluded_item = excluded
        # a sum of d products errs by at most d rounding errors of |q| |c|; two more for slack
        unit = float(np.finfo(np.float32).eps)
        lengths = np.linalg.norm(self.queries.astype(np.float64), axis=1)
        self.error = (queries.shape[1] + 2) * unit * longest * lengths
        # a row a candidate: of few queries BLAS makes these in half the time of a row a query
        self.columns = np.ascontiguousarray(self.queries.T)
        self.bound = self._first_bounds(sample)

    def run(self, threads: int = 1) -> TopK:
        """The lists, by so many threads."""
        bounds = np.linspace(1, len(self.candidates), threads + 1).astype(int).tolist()
        parts = [_Part(self) for _ in range(threads)]
        beside = [
            aside(partial(part.run, *ends))
            for part, ends in zip(parts[1:], itertools.pairwise(bounds[1:]), strict=True)
        ]
        parts[0].run(*bounds[:2])
        for one in beside:
            one.result()
        numbers = np.zeros((len(self.queries), self.k), np.int32)
        scores = np.full(numbers.shape, -np.inf, np.float32)
        for row in range(len(numbers)):
            items = np.concatenate([part.items[row] for part in parts])
            best, exact = self.best(row, items)
            numbers[row, : len(best)], scores[row, : len(best)] = best, exact
        return numbers, scores

    def best(
        self, row: int, items: Int32[np.ndarray, " some"]
    ) -> tuple[Int32[np.ndarray, " best"], Float32[np.ndarray, " best"]]:
        """The k best of some items, best first, scored in double precision."""
        products = self.candidates[items] * self.queries[row].astype(np.float64)
        # not a BLAS product: its order of summation may depend on how many items there are
        scores = products.sum(axis=1).astype(np.float32)
        order = np.lexsort((items, -scores))[: self.k]
        return items[order], scores[order]

    def _first_bounds(self, sample: Sample) -> Float32[np.ndarray, " rows"]:
        """The list's last can't be worse than the sample's k-th."""
        rows, sampled = len(self.queries), len(sample.candidates)
        if sampled < self.k:
            return np.full(rows, -np.inf, np.float32)
        scores = np.empty((sampled, rows), np.float32)
        _multiply(sample.candidates, self.columns, scores)
        place, beside = np.divmod(self.excluded_item - 1, sample.step)
        inside = beside == 0
        scores[place[inside], self.excluded_row[inside]] = -np.inf
        kth = np.partition(scores.T, -self.k, axis=1)[:, -self.k]
        return _below(kth - 2 * self.error)


class _Part:
    """The same block against some of the candidates.

    Each row keeps the items that may still belong to its list, by ascending number, with their
    rough scores. An item is looked at only if its rough score is above the row's bound.
    """

    def __init__(self, scan: Scan) -> None:
        self._scan = scan
        self.bound = scan.bound.copy()
        self.items = [np.zeros(0, np.int32) for _ in scan.queries]
        self.rough = [np.zeros(0, np.float32) for _ in scan.queries]

    def run(self, first: int, end: int) -> None:
        """Look at the candidates of these numbers, tile by tile."""
        scan = self._scan
        rows = len(scan.queries)
        tile = max(TILE, SCORES // rows)
        buffers = np.empty((tile, rows), np.float32), np.empty((tile, rows), bool)
        waiting = _Waiting()
        starts = range(first, end, tile)
        # asked tile by tile, numpy would convert all of them each time
        bounds = np.searchsorted(scan.excluded_item, np.array([*starts, end], np.int32))
        for start, (low, high) in zip(starts, itertools.pairwise(bounds.tolist()), strict=True):
            stop = min(start + tile, end)
            scores, passes = (buffer[: stop - start] for buffer in buffers)
            _multiply(scan.candidates[start:stop], scan.columns, scores)
            if low < high:
                places = scan.excluded_item[low:high] - start
                scores[places, scan.excluded_row[low:high]] = -np.inf
            _above(scores, self.bound, passes)
            waiting.add(np.flatnonzero(passes), scores, start)
            if waiting.count > max(WAITING * scan.k * rows, LEAST_WAITING):
                self._absorb(waiting)
                waiting = _Waiting()
        self._absorb(waiting)

    def _absorb(self, waiting: _Waiting) -> None:
        k = self._scan.k
        for row, items, rough in waiting.by_row():
            error = self._scan.error[row]
            items = np.concatenate([self.items[row], items])
            rough = np.concatenate([self.rough[row], rough])
            if len(items) > k:
                kth = np.partition(rough, -k)[-k]
                # both scores may be off, in opposite directions
                bound = _below(np.array([kth - 2 * error]))[0]
                chosen = np.flatnonzero(rough > bound)
                self.bound[row] = max(self.bound[row], bound)
                items, rough = items[chosen], rough[chosen]
            if len(items) > CROWD * k:
                items, rough = self._scan.best(row, items)
                order = np.argsort(items)
                # of later items that equal the last one none can replace it
                last = np.float32(rough[-1] - error)
                self.bound[row] = max(self.bound[row], last)
                items, rough = items[order], rough[order]
            self.items[row], self.rough[row] = items, rough


class _Waiting:
    """What passed the bounds since they were last raised."""

    def __init__(self) -> None:
        self.count = 0
        self._found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def add(
        self,
        places: Int64[np.ndarray, " found"],
        scores: Float32[np.ndarray, "tile rows"],
        first_item: int,
    ) -> None:
        place, row = np.divmod(places, scores.shape[1])
        item = (place + first_item).astype(np.int32)
        self._found.append((row.astype(np.int16), item, scores.reshape(-1)[places]))
        self.count += len(places)

    def by_row(self) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Row, items by ascending number, and scores, for each row that has any."""
        if not self.count:
            return
        row, item, score = (np.concatenate(part) for part in zip(*self._found, strict=True))
        order = np.argsort(row, kind="stable")
        row, item, score = row[order], item[order], score[order]
        starts = np.flatnonzero(np.diff(row, prepend=-1))
        for start, stop in itertools.pairwise([*starts.tolist(), len(row)]):
            yield int(row[start]), item[start:stop], score[start:stop]


def _multiply(
    candidates: Float32[np.ndarray, "items width"],
    columns: Float32[np.ndarray, "width rows"],
    out: Float32[np.ndarray, "items rows"],
) -> None:
    """The inner product of each candidate and each query, a column each."""
    width, rows = columns.shape
    size = min(SMALL // max(columns.size, 1), TILE)
    whole = len(candidates) // max(size, 1) * size if rows <= FEW_ROWS else 0
    if whole:
        parts = candidates[:whole].reshape(-1, size, width)
        np.matmul(parts, columns, out=out[:whole].reshape(-1, size, rows))
    if whole < len(candidates):
        np.matmul(candidates[whole:], columns, out=out[whole:])


def _above(
    scores: Float32[np.ndarray, "items rows"],
    bound: Float32[np.ndarray, " rows"],
    out: Bool[np.ndarray, "items rows"],
) -> None:
    """Which scores are above their row's bound, many at once however few rows there are."""
    side = max(1, TILE // len(bound))
    whole = len(scores) // side * side
    shape = -1, side * len(bound)
    bounds = np.tile(bound, side)
    np.greater(scores[:whole].reshape(shape), bounds, out=out[:whole].reshape(shape))
    np.greater(scores[whole:], bound, out=out[whole:])


def _below(values: Float64[np.ndarray, " rows"]) -> Float32[np.ndarray, " rows"]:
    """The greatest float32 below each."""
    return np.asarray(np.nextafter(values.astype(np.float32), np.float32(-np.inf)))

"""The k candidates of greatest inner product, exactly, over a whole corpus, in numpy.

Scores of a block of queries are computed a tile of candidates at a time, small enough to stay in
the cache, and only what beats a bound is looked at again: the k-th best of the candidates seen so
far, at first of a sample. One comparison and one scan of bits a score is all that selection costs.
A pool of threads takes blocks, or the parts of a large corpus where there is but one block; numpy's
products and comparisons run side by side.

BLAS may round the score of one pair differently in tiles of different shapes. So bounds are
loosened by what rounding can do, and whatever passes is scored again in double precision: results
depend neither on tiles nor on threads, nor on the order of candidates, and equals tie exactly.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import Float32

from antiphon.errors import EvaluationError
from antiphon.exclusions import Exclusions
from antiphon.scan import Sample, Scan, TopK, sample_of
from antiphon.threads import processors, single_threaded_blas

__all__ = ["ExactSearch", "top_k_inner_product"]

BLOCK = 512
SHARED = 1 << 15
"""Candidates a thread from which a lone block is shared by several: handing over takes time too."""

_DIVERGED = "the model has diverged: train again with a lower learning rate"


def top_k_inner_product(
    queries: Float32[np.ndarray, "queries width"],
    candidates: Float32[np.ndarray, "items width"],
    k: int,
    *,
    exclude: Exclusions | None = None,
) -> TopK:
    """The best candidates of each query; see `ExactSearch`."""
    return ExactSearch(candidates).top_k(queries, k, exclude=exclude)


class ExactSearch:
    """A corpus to search.

    Args:
        candidates: embeddings by item number; row 0, the unknown item, is never listed. May be
            memory-mapped.

    Raises:
        EvaluationError: an embedding isn't finite.
    """

    def __init__(self, candidates: Float32[np.ndarray, "items width"]) -> None:
        self.candidates = candidates
        self._longest = _greatest_length(candidates)
        if not np.isfinite(self._longest):
            raise EvaluationError("a candidate embedding isn't finite", hint=_DIVERGED)
        self._kept: tuple[int, Sample] | None = None

    def top_k(
        self,
        queries: Float32[np.ndarray, "queries width"],
        k: int,
        *,
        exclude: Exclusions | None = None,
        threads: int | None = None,
    ) -> TopK:
        """The best candidates of each query.

        Args:
            queries: embeddings of the queries.
            k: length of the lists.
            exclude: items to leave out, query by query.
            threads: by default one a processor.

        Returns:
            Item numbers, best first, and scores. Equal scores are ordered by item number; where
            there are fewer than k candidates the rest is number 0 and -inf.

        Raises:
            EvaluationError: an embedding isn't finite, or k isn't positive.
        """
        if k < 1:
            raise EvaluationError(
                "a list needs at least one place", received=f"k = {k}", allowed=">= 1"
            )
        if not np.isfinite(queries).all():
            raise EvaluationError("a query embedding isn't finite", hint=_DIVERGED)
        numbers = np.zeros((len(queries), k), np.int32)
        scores = np.full((len(queries), k), -np.inf, np.float32)
        threads = threads or processors()
        # blocks small enough that every thread has some
        size = min(BLOCK, max(16, -(-len(queries) // threads)))
        starts = range(0, len(queries), size)
        nothing = np.zeros(0, np.int64), np.zeros(0, np.int32)
        sample = self._sample(k)

        def search(start: int) -> None:
            rows = slice(start, min(start + size, len(queries)))
            excluded = exclude.pairs(rows, len(self.candidates) - 1) if exclude else nothing
            scan = Scan(queries[rows], self.candidates, sample, self._longest, k, excluded)
            numbers[rows], scores[rows] = scan.run(sharing)

        alone = len(starts) == 1
        # a lone query takes as long by two, and its user's library is scored meanwhile
        several = alone and len(queries) > 1
        sharing = max(1, min(threads, len(self.candidates) // SHARED)) if several else 1
        with single_threaded_blas():
            if threads == 1 or alone:
                for start in starts:
                    search(start)
            else:
                with ThreadPoolExecutor(threads) as pool:
                    for _ in pool.map(search, starts):
                        pass
        return numbers, scores

    def _sample(self, k: int) -> Sample:
        """Kept for the next search, which as a rule is for as many."""
        kept = self._kept
        if kept is None or kept[0] != k:
            self._kept = kept = k, sample_of(self.candidates, k)
        return kept[1]


def _greatest_length(candidates: Float32[np.ndarray, "items width"]) -> float:
    """Of any candidate; NaN or infinite if one has such an element."""
    parts = (candidates[i : i + 65_536] for i in range(0, len(candidates), 65_536))
    squares = [np.einsum("iw,iw->i", part, part, dtype=np.float64).max() for part in parts]
    return float(np.sqrt(np.max(squares, initial=0.0)))

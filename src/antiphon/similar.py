"""What is most like an item: nearest by the angle between candidate embeddings, trends left out."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32, Int32

from antiphon.corpus import Corpus
from antiphon.indexes import Filter
from antiphon.indexes.lists import SPARE, best

__all__ = ["Similar"]

ROWS_AT_ONCE = 131_072


class Similar:
    """Finds items like an item, exactly, by a scan.

    Args:
        corpus: to search.
        width: of embeddings without their trends.
    """

    def __init__(self, corpus: Corpus, width: int) -> None:
        self._corpus = corpus
        self._width = width

    def nearest(
        self, item_number: int, k: int, among: Filter | None = None
    ) -> tuple[Int32[np.ndarray, " k"], Float32[np.ndarray, " k"]]:
        """The k nearest items to one, itself left out.

        Returns:
            Item numbers, nearest first, equals by number, and cosines; that of an item without any
            content or plays, whose embedding is zero, is 0. Fewer where there are fewer.
        """
        corpus, width = self._corpus, self._width
        asked = np.array([item_number], np.int32)
        query = corpus.rows_of(asked)[0, :width].astype(np.float64)
        query /= max(float(np.linalg.norm(query)), 1e-30)
        allowed = None if among is None else among.allowed(corpus.item_count)
        count = corpus.item_count if allowed is None else len(allowed)
        numbers, scores = np.zeros(0, np.int32), np.zeros(0, np.float32)
        for start in range(0, count, ROWS_AT_ONCE):
            stop = min(start + ROWS_AT_ONCE, count)
            if allowed is None:
                some = np.arange(start + 1, stop + 1, dtype=np.int32)
            else:
                some = allowed[start:stop]
            some = some[some != item_number]
            rows = self._rows(some)
            rough = _cosines(rows, query.astype(np.float32))
            wanted = min(len(some), 2 * k + SPARE)
            if wanted < len(some):
                likely = np.argpartition(-rough, wanted - 1)[:wanted]
                some, rows = some[likely], rows[likely]
            fine = _cosines(rows.astype(np.float64), query).astype(np.float32)
            numbers, scores = best(
                np.concatenate([numbers, some]), np.concatenate([scores, fine]), k
            )
        return numbers, scores

    def _rows(self, numbers: Int32[np.ndarray, " items"]) -> Float32[np.ndarray, "items w"]:
        """Embeddings; of neighbours in number as a view, so that nothing is copied."""
        base = len(self._corpus.candidates)
        if len(numbers) and numbers[-1] < base and numbers[-1] - numbers[0] + 1 == len(numbers):
            return np.asarray(self._corpus.candidates)[numbers[0] : numbers[-1] + 1, : self._width]
        return self._corpus.rows_of(numbers)[:, : self._width]


def _cosines(
    rows: Float[np.ndarray, "items w"], query: Float[np.ndarray, " w"]
) -> Float[np.ndarray, " items"]:
    lengths = np.sqrt(np.einsum("iw,iw->i", rows, rows))
    return (rows @ query) / np.maximum(lengths, rows.dtype.type(1e-30))

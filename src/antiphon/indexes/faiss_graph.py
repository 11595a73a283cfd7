"""A graph of near candidates in this process, by faiss."""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np
from jaxtyping import Float32, Int32

from antiphon.threads import processors

__all__ = ["FaissNeighbours"]


class FaissNeighbours:
    """See `graph.Neighbours`.

    Args:
        graph: a faiss index of candidates 1 and up that is searched by inner product.
    """

    def __init__(self, graph: Any) -> None:
        self._graph = graph

    def nearest(
        self, laid: Float32[np.ndarray, "queries padded"], width: int
    ) -> Int32[np.ndarray, "queries width"]:
        """The best that a search of some width meets; see `graph.Neighbours`."""
        # a team of threads costs more than one query
        faiss.omp_set_num_threads(1 if len(laid) < processors() else processors())
        parameters = faiss.SearchParametersHNSW(efSearch=width)
        _, labels = self._graph.search(laid, width, params=parameters)
        # -1 stands for nothing
        return (labels + 1).astype(np.int32)

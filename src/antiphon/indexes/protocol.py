"""What every index does: queries -> the best candidates by inner product.

Vectors are opaque: a candidate's and a query's have one width, and their inner product is the
score. An exact engine gives the same lists as scoring everything in double precision; an
approximate one may miss items, but what it lists has its true score, stands in the true order and
breaks no exclusion and no filter.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from antiphon.errors import EvaluationError
from antiphon.exclusions import Exclusions
from antiphon.indexes.filters import Filter
from antiphon.scan import TopK

__all__ = ["Index", "check_search"]


@runtime_checkable
class Index(Protocol):
    """A corpus to search; safe to use from several threads at once."""

    @property
    def item_count(self) -> int:
        """Candidates have the numbers 1 to this."""
        ...

    @property
    def width(self) -> int:
        """Of candidate and query embeddings."""
        ...

    def top_k(
        self,
        queries: Float32[np.ndarray, "queries width"],
        k: int,
        *,
        exclude: Exclusions | None = None,
        among: Filter | None = None,
    ) -> TopK:
        """The best candidates of each query.

        Args:
            queries: embeddings of the queries.
            k: length of the lists.
            exclude: items to leave out, query by query.
            among: what all queries may find.

        Returns:
            Item numbers, best first, and scores in float32. Equal scores are ordered by item
            number; where there are fewer than k candidates the rest is number 0 and -inf.

        Raises:
            EvaluationError: an embedding isn't finite or of another width, or k isn't positive.
        """
        ...


def check_search(queries: Float32[np.ndarray, "queries width"], k: int, width: int) -> None:
    """Refuse what can't be searched for.

    Raises:
        EvaluationError: see `Index.top_k`.
    """
    if k < 1:
        raise EvaluationError(
            "a list needs at least one place", received=f"k = {k}", allowed=">= 1"
        )
    if queries.shape[1] != width:
        raise EvaluationError(
            "the queries are of another width than the candidates",
            received=queries.shape[1],
            allowed=width,
            hint="query and candidate embeddings must come from the same trained model",
        )
    if not np.isfinite(queries).all():
        raise EvaluationError(
            "a query embedding isn't finite",
            hint="the model has diverged: train again with a lower learning rate",
        )

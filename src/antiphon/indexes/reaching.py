"""How wide a graph must be searched to find what it should, by questions with known answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float32

from antiphon.errors import RecallError
from antiphon.indexes.filters import left_out_of
from antiphon.indexes.graph import Graph, Reach
from antiphon.indexes.lists import score
from antiphon.indexes.recall import Questions, Recall, recall_of, refuse_below

__all__ = ["choose_reach", "share_before"]

SPARES = (0, 8, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048)
GROWTHS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0)
LEAST_WIDTH = 64
"""No graph is worth having where a scan costs less than a search of this width."""


def choose_reach(
    graph: Graph,
    questions: Questions,
    ks: Sequence[int],
    target: float,
    tell: Callable[[str], None],
) -> Graph:
    """The graph, searched as narrowly as the target allows.

    First the width for lists as they are, then its growth for lists that reach deeper because of
    what they leave out.

    Raises:
        RecallError: no width below that of a scan is enough.
    """
    figures: list[Recall] = []
    widest = graph.reach.widest
    if widest < LEAST_WIDTH:
        raise RecallError(
            "a graph of so few items makes no sense: a scan of them all is faster",
            received=f"{graph.item_count} items",
            hint="set index.kind to exact",
        )
    before = share_before(graph.candidates, questions, min(ks))
    for spare in SPARES:
        reach = Reach(spare, GROWTHS[0], widest, before)
        if reach.width(min(ks)) > widest:
            break
        tell(f"searching {reach.width(min(ks))} wide")
        figures = recall_of(graph.reaching(reach), questions, ks, without_library=False)
        if _least(figures) < target:
            continue
        for growth in GROWTHS:
            wider = graph.reaching(Reach(spare, growth, widest, before))
            tell(f"searching {wider.reach.width(min(ks))} wide, the library left out")
            figures = recall_of(wider, questions, ks, without_library=True)
            if _least(figures) >= target:
                return wider
    refuse_below(figures, target, "of a graph, searched as wide as makes sense,")
    raise RecallError(
        "lists of index.k are so long that a scan answers all of them",
        received=f"k = {min(ks)} of {graph.item_count} items",
        hint="set index.kind to exact",
    )


def share_before(
    candidates: Float32[np.ndarray, "items width"], questions: Questions, k: int
) -> float:
    """The share of a library that is better than the last of k: for three in four, no more."""
    shares = []
    _, scores = questions.truth[True]
    for row, last in enumerate(scores[:, k - 1]):
        own = left_out_of(questions.library, row)
        own = own[(own > 0) & (own < len(candidates))]
        if len(own):
            better = score(candidates[own], questions.embeddings[row]) > last
            shares.append(float(np.mean(better)))
    return float(np.quantile(shares, 0.75)) if shares else 0.25


def _least(figures: Sequence[Recall]) -> float:
    return min((figure.at_least for figure in figures), default=1.0)

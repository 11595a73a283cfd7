"""What an index finds of what exact search finds: `index_recall_at_k`, by context, on real queries.

Measured twice: as the queries are, and with everything left out that their users have had, which is
what approximate indexes find hardest.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int64

from antiphon.errors import RecallError
from antiphon.exclusions import Exclusions
from antiphon.indexes.filters import rows_of
from antiphon.indexes.lists import empty_lists
from antiphon.indexes.numpy_scan import NumpyScan
from antiphon.indexes.protocol import Index
from antiphon.scan import TopK
from antiphon.slices import slices_of
from antiphon.windows import Window

__all__ = ["Questions", "Recall", "choose_queries", "latency_ms", "recall_of", "refuse_below"]

LEAST_QUERIES = 50
"""Of a context value, where the window has so many."""
TOGETHER = 8
"""Queries asked at once: as many as one request may bring."""
TIMED = 200


@dataclass(frozen=True)
class Recall:
    """One figure.

    Attributes:
        part: of the queries, as evaluation.json calls it.
        queries: how many are in it.
        without_library: whether what the user has had was left out.
        k: length of the lists.
        index_recall_at_k: share of exact search's k best that were found; None without queries.
    """

    part: str
    queries: int
    without_library: bool
    k: int
    index_recall_at_k: float | None

    @property
    def at_least(self) -> float:
        """The figure, or 1 where there is nothing to find."""
        return 1.0 if self.index_recall_at_k is None else self.index_recall_at_k

    def to_json(self) -> dict[str, Any]:
        """As index.json has it."""
        return asdict(self)


@dataclass(frozen=True)
class Questions:
    """Queries whose right answers are known.

    Attributes:
        embeddings: of the queries.
        library: what their users have had.
        parts: which queries are in which part, by name.
        truth: the right answers, without and with the library left out.
    """

    embeddings: Float32[np.ndarray, "queries width"]
    library: Exclusions
    parts: Mapping[str, Bool[np.ndarray, " queries"]]
    truth: Mapping[bool, TopK]

    @classmethod
    def ask(
        cls,
        exact: NumpyScan,
        embeddings: Float32[np.ndarray, "queries width"],
        library: Exclusions,
        parts: Mapping[str, Bool[np.ndarray, " queries"]],
        k: int,
    ) -> Questions:
        """Let exact search answer, to depth k."""
        truth = {
            without: exact.top_k(embeddings, k, exclude=library if without else None)
            for without in (False, True)
        }
        return cls(embeddings, library, parts, truth)

    def left_out(self, rows: Int64[np.ndarray, " rows"], without: bool) -> Exclusions | None:
        """What some of the queries leave out."""
        return rows_of(self.library, rows) if without else None


def choose_queries(
    window: Window, count: int
) -> tuple[Int64[np.ndarray, " chosen"], dict[str, Bool[np.ndarray, " chosen"]]]:
    """Some of a window's queries, a good number of every context value, and their parts.

    The draw is the same each time.
    """
    order = np.random.default_rng(0).permutation(len(window.queries))
    starts = tuple(f"{name}{sign}" for name in window.schema.context_names() for sign in "=<>")
    parts = {
        s.name: s.queries
        for s in slices_of(window)
        if s.targets is None and (s.name == "all" or s.name.startswith(starts))
    }
    wanted = np.zeros(len(order), bool)
    for rows in parts.values():
        wanted[order[rows[order]][:LEAST_QUERIES]] = True
    further = order[~wanted[order]][: max(count - int(wanted.sum()), 0)]
    wanted[further] = True
    chosen = np.flatnonzero(wanted)
    return chosen, {name: rows[chosen] for name, rows in parts.items()}


def recall_of(
    index: Index, questions: Questions, ks: Sequence[int], *, without_library: bool
) -> list[Recall]:
    """The figures of an index, every part at every k."""
    figures = []
    for k in ks:
        numbers, scores = _answers(index, questions, k, without_library)
        right_numbers, right_scores = (side[:, :k] for side in questions.truth[without_library])
        there = (right_numbers > 0).sum(axis=1)
        last = np.where(there > 0, right_scores[np.arange(len(there)), there - 1], np.inf)[:, None]
        listed = numbers > 0
        # which of several that tie with the last right one is listed doesn't matter
        ties = [(side == last).sum(axis=1) for side in (scores, right_scores)]
        hits = (listed & (scores > last)).sum(axis=1) + np.minimum(*ties)
        for part, rows in questions.parts.items():
            possible = int(there[rows].sum())
            share = float(hits[rows].sum() / possible) if possible else None
            figures.append(Recall(part, int(rows.sum()), without_library, k, share))
    return figures


def refuse_below(figures: Sequence[Recall], target: float, whose: str = "of the index") -> None:
    """Refuse an index that finds too little.

    Raises:
        RecallError: names the worst figure.
    """
    worst = min(figures, key=lambda figure: figure.at_least, default=None)
    if worst is None or worst.at_least >= target:
        return
    library = ", the user's library left out" if worst.without_library else ""
    raise RecallError(
        f"the recall {whose} is below its target: nothing was written",
        received=f"index_recall_at_{worst.k} = {worst.at_least:.4f} on {worst.queries} queries "
        f"({worst.part}{library})",
        allowed=f"index.target = {target} or more",
        hint="a greater index.build_width or index.connections; or index.kind = exact",
    )


def latency_ms(
    index: Index, questions: Questions, k: int, *, without_library: bool
) -> dict[str, float]:
    """Milliseconds an answer takes, one query at a time: the median and the 99th percentile."""
    taken = []
    for row in range(min(TIMED, len(questions.embeddings))):
        rows = np.array([row])
        left_out = questions.left_out(rows, without_library)
        started = time.perf_counter()
        index.top_k(questions.embeddings[rows], k, exclude=left_out)
        taken.append(1000 * (time.perf_counter() - started))
    p50, p99 = np.quantile(taken, [0.5, 0.99]) if taken else (0.0, 0.0)
    return {"p50": round(float(p50), 3), "p99": round(float(p99), 3)}


def _answers(index: Index, questions: Questions, k: int, without: bool) -> TopK:
    numbers, scores = empty_lists(len(questions.embeddings), k)
    for rows in _some(len(numbers)):
        left_out = questions.left_out(rows, without)
        found = index.top_k(questions.embeddings[rows], k, exclude=left_out)
        numbers[rows], scores[rows] = found
    return numbers, scores


def _some(count: int) -> Iterator[Int64[np.ndarray, " rows"]]:
    for start in range(0, count, TOGETHER):
        yield np.arange(start, min(start + TOGETHER, count))

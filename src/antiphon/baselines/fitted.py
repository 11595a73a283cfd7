"""A fitted baseline: how what its kind can score becomes lists."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from antiphon.baselines.history import TrainingLog
from antiphon.baselines.lists import Lists, Order, Scores, top
from antiphon.figures import number
from antiphon.queries import Queries

__all__ = ["FittedBaseline", "Knobs", "Scorer", "lists_of_chunks"]

Knobs = Mapping[str, Any]
"""Settings by name: numbers, words, None."""


@runtime_checkable
class Scorer(Protocol):
    """What differs between baselines."""

    @property
    def chunk(self) -> int:
        """How many queries to score at once, so that memory stays bounded."""
        ...

    def scores(self, queries: Queries, k: int) -> Scores:
        """Scores of the best candidates: k, and as many more as the user has had."""
        ...

    def order(self, queries: Queries) -> Order:
        """What fills up lists that the scores leave short."""
        ...


@dataclass(frozen=True)
class FittedBaseline:
    """A baseline, ready to answer; a `Ranker`.

    Attributes:
        name: what tables call it.
        knobs: its settings, `exclude_heard` among them.
        scorer: the fitted part.
        log: what it was fitted on; nothing else is known to it.
        validation: its ndcg@100 on the validation window; None where that has no queries.
        tried: how many settings the knobs were chosen from, leaving out what was heard aside.
        note: what a reader of its figures must know.
    """

    name: str
    knobs: Knobs
    scorer: Scorer
    log: TrainingLog
    validation: float | None = None
    tried: int = 0
    note: str | None = None

    def rank(self, queries: Queries, k: int, *, exclude_heard: bool) -> Lists:
        """See `Ranker.rank`; what was heard is left out where the caller or `knobs` say so."""
        exclude = exclude_heard or bool(self.knobs.get("exclude_heard"))
        chunks = lists_of_chunks(self.scorer, self.log, queries, k, {exclude})
        parts = [chunk[exclude] for chunk in chunks]
        numbers, scores = [np.zeros((0, k), np.int32)], [np.zeros((0, k), np.float32)]
        numbers.extend(part[0] for part in parts)
        scores.extend(part[1] for part in parts)
        return np.concatenate(numbers), np.concatenate(scores)

    def tuned_to(self) -> dict[str, Any]:
        """`{knobs, validation, tried, note}`, as evaluation.json has it."""
        validation = None if self.validation is None else number(self.validation)
        knobs = dict(self.knobs)
        return {"knobs": knobs, "validation": validation, "tried": self.tried, "note": self.note}


def lists_of_chunks(
    scorer: Scorer, log: TrainingLog, queries: Queries, k: int, excludes: Collection[bool]
) -> Iterator[dict[bool, Lists]]:
    """Lists of one chunk of queries after another, with what was heard left out (True) or not.

    Scores are computed once for both.
    """
    for start in range(0, len(queries), scorer.chunk):
        chunk = queries.take(slice(start, start + scorer.chunk))
        scores, order = scorer.scores(chunk, k), scorer.order(chunk)
        heard = log.user_items[chunk.user_number] if True in excludes else None
        yield {
            exclude: top(scores, k, heard if exclude else None, order, log.width)
            for exclude in excludes
        }

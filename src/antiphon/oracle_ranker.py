"""The oracle of a synthetic log among the rankers: what no model of that log can beat by much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64, Int32

from antiphon.config import expand
from antiphon.exclusions import Exclusions
from antiphon.log_ids import LogIds
from antiphon.prepared import Prepared
from antiphon.queries import Queries
from antiphon.schema import FittedCategorical
from antiphon.synthetic import Oracle
from antiphon.vocabulary import Vocabulary

__all__ = ["OracleRanker", "find_oracle", "synthetic_folder"]

CONTEXT = "is_organic"
SUMMARY = "synthetic.json"
LEVELS = 4


@dataclass(frozen=True)
class OracleRanker:
    """Ranks a synthetic log's items by the probabilities that it was drawn from.

    A query that doesn't tell its context gets the mean of both. Items that aren't in the corpus
    are passed over.
    """

    oracle: Oracle
    prepared: Prepared
    feature: FittedCategorical
    ids: LogIds
    items: Vocabulary

    def rank(
        self, queries: Queries, k: int, *, exclude_heard: bool
    ) -> tuple[Int32[np.ndarray, "queries k"], Float32[np.ndarray, "queries k"]]:
        """See `queries.Ranker`; all queries must be asked at one time."""
        numbers = np.zeros((len(queries), k), np.int32)
        scores = np.full((len(queries), k), -np.inf, np.float32)
        if not len(queries):
            return numbers, scores
        heard = Exclusions.heard(self.prepared.events, queries, self.prepared.schema.gap_s)
        depth = 2 * k
        if exclude_heard:
            depth += int(np.diff(heard.offsets).max())
        listed, mass = self._likeliest(queries, min(depth, len(self.items)))
        for row in range(len(queries)):
            good = listed[row] > 0
            if exclude_heard:
                out = heard.item_number[heard.offsets[row] : heard.offsets[row + 1]]
                good &= ~np.isin(listed[row], out)
            places = np.flatnonzero(good)[:k]
            numbers[row, : len(places)] = listed[row, places]
            scores[row, : len(places)] = mass[row, places]
        return numbers, scores

    def _likeliest(
        self, queries: Queries, depth: int
    ) -> tuple[Int32[np.ndarray, "queries depth"], Float64[np.ndarray, "queries depth"]]:
        """Item numbers, 0 outside of the corpus, and probabilities, best first."""
        users = self.ids.users(queries.user_key).to_numpy()
        codes = np.asarray(queries.context[self.feature.name])
        values = np.array([-1, *map(int, self.feature.values or ())], np.int64)[codes]
        cutoff_s = int(queries.time_s[0]) - self.prepared.schema.gap_s
        told = values >= 0
        listed = np.zeros((len(queries), depth), np.int32)
        mass = np.zeros((len(queries), depth))
        if told.any():
            found = self.oracle.top_k(users[told], values[told], cutoff_s=cutoff_s, k=depth)
            listed[told], mass[told] = self._numbers(found[0]), found[1]
        if not told.all():
            rows = np.flatnonzero(~told)
            both = [
                self.oracle.top_k(
                    users[rows], np.full(len(rows), value), cutoff_s=cutoff_s, k=depth
                )
                for value in (0, 1)
            ]
            for place, row in enumerate(rows):
                items = np.concatenate([self._numbers(found[0][place]) for found in both])
                masses = np.concatenate([found[1][place] for found in both]) / 2
                distinct, which = np.unique(items, return_inverse=True)
                total = np.bincount(which, masses)
                order = np.lexsort((distinct, -total))[:depth]
                listed[row, : len(order)], mass[row, : len(order)] = distinct[order], total[order]
        return listed, mass

    def _numbers(self, items: np.ndarray) -> np.ndarray:
        return self.items.numbers(items.reshape(-1)).reshape(items.shape)


def find_oracle(events: Sequence[str], prepared: Prepared) -> OracleRanker | None:
    """The oracle, if the log is a synthetic one and its context is told.

    Args:
        events: `log.events` of the config.
        prepared: the prepared log.
    """
    feature = next((f for f in prepared.schema.context if f.name == CONTEXT), None)
    folder = synthetic_folder(events)
    if folder is None or not isinstance(feature, FittedCategorical):
        return None
    items = Vocabulary(prepared.item_ids())
    return OracleRanker(Oracle.load(folder), prepared, feature, LogIds(prepared), items)


def synthetic_folder(events: Sequence[str]) -> Path | None:
    """The folder that a log was generated into, known by its synthetic.json; None for real logs.

    Args:
        events: `log.events` of the config.
    """
    for pattern in events:
        for folder in list(Path(expand(pattern)).parents)[:LEVELS]:
            if (folder / SUMMARY).is_file():
                return folder
    return None

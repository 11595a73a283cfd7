"""Chance: what any ranker must be better than."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from antiphon.baselines.history import TrainingLog
from antiphon.baselines.lists import Order, Row
from antiphon.queries import Queries
from antiphon.shuffle import shuffled

__all__ = ["RandomLists"]


class RandomLists:
    """Items drawn for each query, always the same ones for the same user and context."""

    chunk = 4096

    def __init__(self, log: TrainingLog, seed: int = 0) -> None:
        """Draws from the whole catalogue of `log`, whatever its events."""
        self.log, self.seed = log, seed

    def scores(self, queries: Queries, k: int) -> Drawn:
        """See `Scorer`."""
        codes, cells = self.log.query_cells(queries)
        names = np.column_stack([queries.user_key, codes[cells]]).astype(np.int64)
        sizes = self.log.heard[queries.user_number] + k
        return Drawn(self.seed, names, sizes, self.log.schema.item_count)

    def order(self, queries: Queries) -> Order:  # noqa: ARG002
        """See `Scorer`."""
        everything = np.arange(1, self.log.width, dtype=np.int32)
        return lambda row: everything  # noqa: ARG005


@dataclass(frozen=True)
class Drawn:
    """The first items of a shuffle, with falling scores; `names` choose that of each query."""

    seed: int
    names: Int64[np.ndarray, "queries parts"]
    sizes: Int64[np.ndarray, " queries"]
    item_count: int

    def __len__(self) -> int:
        return len(self.names)

    def row(self, row: int) -> Row:
        """See `Scores`."""
        name = np.random.SeedSequence([self.seed, *np.abs(self.names[row]).tolist()])
        places = np.arange(min(int(self.sizes[row]), self.item_count))
        seed = int(name.generate_state(1, np.uint64)[0])
        drawn = 1 + shuffled(places, self.item_count, seed)
        return drawn.astype(np.int32), 1 / (1 + places.astype(np.float32))

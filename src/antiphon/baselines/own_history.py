"""The user's own items: what is played again."""

from __future__ import annotations

from antiphon.baselines.history import TrainingLog
from antiphon.baselines.lists import Order, SparseScores
from antiphon.baselines.popular import Popularity
from antiphon.baselines.profiles import Forgetting, profiles
from antiphon.queries import Queries

__all__ = ["OwnHistory"]


class OwnHistory:
    """A user's own items by decayed, context-weighted counts; then what is popular.

    Whoever has had nothing, or has it all left out, gets what is popular in the context.
    """

    chunk = 1024

    def __init__(self, log: TrainingLog, popularity: Popularity, forgetting: Forgetting) -> None:
        """See `profiles`; `popularity` fills up short lists."""
        self.log, self.popularity, self.forgetting = log, popularity, forgetting

    def scores(self, queries: Queries, k: int) -> SparseScores:  # noqa: ARG002
        """See `Scorer`."""
        return SparseScores(profiles(self.log, queries, self.forgetting))

    def order(self, queries: Queries) -> Order:
        """See `Scorer`."""
        return self.popularity.order(queries)

"""Users and items by id or title, for those who don't know an id by heart."""

from __future__ import annotations

import numpy as np
import pyarrow.compute as pc

from antiphon.recommend import Recommender

__all__ = ["Lookups"]


class Lookups:
    """Searches a run's vocabularies."""

    def __init__(self, recommender: Recommender) -> None:
        self._recommender = recommender
        self._users = recommender.users
        self._items = recommender.items
        self.titles = recommender.shelf.titles

    def users(self, limit: int, query: str = "") -> list[int | str]:
        """Ids of users, those with most events first; of one user where the id is given."""
        if query:
            number = int(self._users.numbers([query])[0])
            return self._users.ids([number]) if number else []
        return self._recommender.sample_users(limit)

    def items(self, limit: int, query: str = "") -> list[tuple[int | str, str | None]]:
        """Ids and titles of items, the most played first.

        Args:
            limit: how many at most.
            query: an id, or part of a title in any case.
        """
        if not query:
            # the most played have the lowest numbers
            return self._shown(np.arange(1, min(limit, len(self._items)) + 1))
        found = self._items.numbers([query])
        numbers = found[found > 0]
        if self.titles is not None:
            matches = pc.match_substring(self.titles.column, query, ignore_case=True)
            rows = np.flatnonzero(matches.fill_null(False).to_numpy(zero_copy_only=False))
            with_title = rows[: limit + 1] + 1
            numbers = np.concatenate([numbers, with_title[~np.isin(with_title, numbers)]])
        return self._shown(numbers[:limit])

    def _shown(self, numbers: np.ndarray) -> list[tuple[int | str, str | None]]:
        ids = self._items.ids(numbers)
        if self.titles is None:
            return [(id_, None) for id_ in ids]
        return list(zip(ids, self.titles.take(numbers - 1), strict=True))

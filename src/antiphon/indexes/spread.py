"""Lists in which no value comes too often: at most so many items of an artist."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int32, Int64, Shaped

from antiphon.errors import EvaluationError
from antiphon.exclusions import Exclusions
from antiphon.indexes.filters import Filter, rows_of
from antiphon.indexes.lists import empty_lists
from antiphon.indexes.protocol import Index
from antiphon.scan import TopK

__all__ = ["Limit", "spread", "top_k_spread"]


@dataclass(frozen=True)
class Limit:
    """How many items of a value a list may hold.

    Attributes:
        codes: encoded categorical feature of items, [items, values]; 0, no value, is never too
            much.
        at_most: items of a value in a list.
    """

    codes: Callable[[Int32[np.ndarray, " items"]], Shaped[np.ndarray, "items values"]]
    at_most: int

    def __post_init__(self) -> None:
        if self.at_most < 1:
            raise EvaluationError(
                "a list needs at least one item of a value",
                received=f"at_most = {self.at_most}",
                allowed=">= 1",
            )


def top_k_spread(
    index: Index,
    queries: Float32[np.ndarray, "queries width"],
    k: int,
    codes: Shaped[np.ndarray, "items ..."],
    at_most: int,
    *,
    exclude: Exclusions | None = None,
    among: Filter | None = None,
) -> TopK:
    """The best candidates of each query, but no more than `at_most` of a value; see `spread`.

    `codes` has one row an item number.
    """

    def ask(rows: Int64[np.ndarray, " rows"], depth: int) -> TopK:
        left_out = None if exclude is None else rows_of(exclude, rows)
        return index.top_k(queries[rows], depth, exclude=left_out, among=among)

    limit = Limit(lambda items: np.asarray(codes[items]).reshape(len(items), -1), at_most)
    return spread(ask, len(queries), k, [limit], len(codes) - 1)


def spread(
    ask: Callable[[Int64[np.ndarray, " rows"], int], TopK],
    queries: int,
    k: int,
    limits: Sequence[Limit],
    item_count: int,
) -> TopK:
    """Lists walked down from the best, leaving out what is too much.

    An item is left out if, by any of the limits, one of its values stands in the list as often as
    it may already. Longer and longer lists are asked for until enough is found or there is no more.

    Args:
        ask: lists of some of the queries, at some length, as `Index.top_k` gives them.
        queries: how many there are.
        k: length of the lists.
        limits: hold all at once.
        item_count: no list can be longer.

    Returns:
        As `Index.top_k`.

    Raises:
        EvaluationError: whatever `ask` raises.
    """
    found = empty_lists(queries, k)
    rows = np.arange(queries)
    depth = 2 * k
    while len(rows):
        depth = min(depth, max(item_count, 1))
        numbers, scores = ask(rows, depth)
        more = np.zeros(len(rows), bool)
        for place, row in enumerate(rows):
            listed = _walk(numbers[place], limits, k)
            found[0][row, : len(listed)] = numbers[place][listed]
            found[1][row, : len(listed)] = scores[place][listed]
            more[place] = len(listed) < k and numbers[place][-1] > 0 and depth < item_count
        rows = rows[more]
        depth *= 4
    return found


def _walk(numbers: Int32[np.ndarray, " depth"], limits: Sequence[Limit], k: int) -> list[int]:
    """Places of the items that are listed."""
    numbers = numbers[: np.count_nonzero(numbers)]
    if not len(numbers):
        return []
    values = [limit.codes(numbers).tolist() for limit in limits]
    counts: list[dict[int, int]] = [{} for _ in limits]
    listed: list[int] = []
    for place, own in enumerate(zip(*values, strict=True)):
        if len(listed) == k:
            break
        known = [{value for value in codes if value} for codes in own]
        if any(
            count.get(value, 0) >= limit.at_most
            for limit, count, codes in zip(limits, counts, known, strict=True)
            for value in codes
        ):
            continue
        for count, codes in zip(counts, known, strict=True):
            for value in codes:
                count[value] = count.get(value, 0) + 1
        listed.append(place)
    return listed

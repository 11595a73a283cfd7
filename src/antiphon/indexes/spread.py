"""Lists in which no value comes too often: at most so many items of an artist."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float32, Int32, Int64, Shaped

from antiphon.errors import EvaluationError
from antiphon.exclusions import Exclusions
from antiphon.indexes.filters import Filter, rows_of
from antiphon.indexes.lists import empty_lists
from antiphon.indexes.protocol import Index
from antiphon.scan import TopK

__all__ = ["spread", "top_k_spread"]


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
    """The best candidates of each query, but no more than `at_most` of a value; see `spread`."""

    def ask(rows: Int64[np.ndarray, " rows"], depth: int) -> TopK:
        left_out = None if exclude is None else rows_of(exclude, rows)
        return index.top_k(queries[rows], depth, exclude=left_out, among=among)

    return spread(ask, len(queries), k, codes, at_most)


def spread(
    ask: Callable[[Int64[np.ndarray, " rows"], int], TopK],
    queries: int,
    k: int,
    codes: Shaped[np.ndarray, "items ..."],
    at_most: int,
) -> TopK:
    """Lists walked down from the best, leaving out what is too much.

    An item is left out if one of its values stands in the list `at_most` times already. Longer and
    longer lists are asked for until enough is found or there is no more.

    Args:
        ask: lists of some of the queries, at some length, as `Index.top_k` gives them.
        queries: how many there are.
        k: length of the lists.
        codes: encoded categorical feature, one row an item number; 0, no value, is never too much.
        at_most: items of a value in a list.

    Returns:
        As `Index.top_k`.

    Raises:
        EvaluationError: `at_most` isn't positive, or whatever `ask` raises.
    """
    if at_most < 1:
        raise EvaluationError(
            "a list needs at least one item of a value",
            received=f"at_most = {at_most}",
            allowed=">= 1",
        )
    item_count = len(codes) - 1
    found = empty_lists(queries, k)
    rows = np.arange(queries)
    depth = 2 * k
    while len(rows):
        depth = min(depth, max(item_count, 1))
        numbers, scores = ask(rows, depth)
        more = np.zeros(len(rows), bool)
        for place, row in enumerate(rows):
            listed = _walk(numbers[place], codes, k, at_most)
            found[0][row, : len(listed)] = numbers[place][listed]
            found[1][row, : len(listed)] = scores[place][listed]
            is_whole = numbers[place][-1] == 0 or depth >= item_count
            more[place] = len(listed) < k and not is_whole
        rows = rows[more]
        depth *= 4
    return found


def _walk(
    numbers: Int32[np.ndarray, " depth"],
    codes: Shaped[np.ndarray, "items ..."],
    k: int,
    at_most: int,
) -> list[int]:
    """Places of the items that are listed."""
    values = np.asarray(codes[numbers]).reshape(len(numbers), -1).tolist()
    counts: dict[int, int] = {}
    listed: list[int] = []
    for place, (number, own) in enumerate(zip(numbers.tolist(), values, strict=True)):
        if not number or len(listed) == k:
            break
        known = {value for value in own if value}
        if any(counts.get(value, 0) >= at_most for value in known):
            continue
        for value in known:
            counts[value] = counts.get(value, 0) + 1
        listed.append(place)
    return listed

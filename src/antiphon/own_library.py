"""The libraries of queries' users, item by item: what is merged into lists found by dot product."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int32, Int64

from antiphon.library import Library
from antiphon.prepared import rows_between
from antiphon.queries import Queries

__all__ = ["Block", "blocks_of"]

PAIRS_AT_ONCE = 1 << 16
LEAST_LENGTH = 64


@dataclass(frozen=True)
class Block:
    """Some queries and the items of their libraries, padded to one length.

    Attributes:
        query: rows of the queries.
        item_number: 0 is padding.
        plays: of each item; see `library.Plays`, fields [queries, length, ...].
    """

    query: Int64[np.ndarray, " queries"]
    item_number: Int32[np.ndarray, "queries length"]
    plays: dict[str, Any]


def blocks_of(library: Library, queries: Queries) -> Iterator[Block]:
    """Every query that has a library, in blocks of like lengths.

    Lengths are powers of two, so that few shapes are ever compiled.
    """
    users = queries.user_number.astype(np.int64)
    start = library.events.starts[users]
    end = library.events.first_at(users, queries.time_s)
    played = end - start
    order = np.argsort(played, kind="stable")
    order = order[played[order] > 0]
    at = 0
    while at < len(order):
        length = max(LEAST_LENGTH, 1 << int(played[order[at]] - 1).bit_length())
        some = order[at : at + max(1, PAIRS_AT_ONCE // length)]
        some = some[played[some] <= length]
        at += len(some)
        yield _block(library, queries, some, start[some], end[some])


def _block(
    library: Library, queries: Queries, some: np.ndarray, start: np.ndarray, end: np.ndarray
) -> Block:
    lengths = end - start
    query = np.repeat(np.arange(len(some)), lengths)
    rows = rows_between(start, end)
    last = library.is_last(rows, end[query])
    query, rows = query[last], rows[last]
    items = np.bincount(query, minlength=len(some))
    width = max(LEAST_LENGTH, 1 << int(items.max() - 1).bit_length())
    column = np.arange(len(rows)) - np.repeat(np.cumsum(items) - items, items)
    plays = library.plays(rows, np.ones(len(rows), bool), queries.time_s[some][query])

    def padded(values: np.ndarray) -> np.ndarray:
        out = np.zeros((len(some), width, *values.shape[1:]), values.dtype)
        out[query, column] = values
        return out

    fields = plays.in_shape((len(rows),))
    context = fields.pop("context")
    return Block(
        query=some,
        item_number=padded(library.events.item_number[rows].astype(np.int32)),
        plays={
            **{name: padded(values) for name, values in fields.items()},
            "context": {name: padded(values) for name, values in context.items()},
        },
    )

"""Why items are listed, measured by asking the model again; `answers` tells what each figure is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, Int32, Int64, Shaped

from antiphon.answers import Past, Why
from antiphon.history import History
from antiphon.own_library import OwnScores
from antiphon.pasts import Pasts
from antiphon.prepared import rows_between
from antiphon.queries import Queries
from antiphon.retrieval import TrainedModel
from antiphon.shelf import Shelf

__all__ = ["PAST", "Reasoned", "reasons_of"]

PAST = 5
"""How many items of the past are told of."""

List = tuple[Int32[np.ndarray, " _"], Float32[np.ndarray, " _"]]


@dataclass(frozen=True)
class Reasoned:
    """All that a batch was answered from."""

    pasts: Pasts
    history: History
    embedded: Float32[np.ndarray, "queries width"]
    own: OwnScores


def reasons_of(
    model: TrainedModel,
    shelf: Shelf,
    batch: Reasoned,
    lists: Sequence[List],
    rows: Sequence[int],
    unknown: Mapping[str, Shaped[np.ndarray, "1 ..."]],
) -> dict[int, list[Why]]:
    """Of each item of the lists of some queries, in their order.

    Args:
        model: what answered.
        shelf: what was listed from.
        batch: queries and what they were answered from.
        lists: item numbers and scores, of all queries.
        rows: the queries to tell of.
        unknown: the context of which nothing is known.
    """
    some = np.array(rows, np.int64)
    queries, history = batch.pasts.queries.take(some), _take(batch.history, some)
    nowhere = queries.with_context(
        {name: np.repeat(value, len(some), axis=0) for name, value in unknown.items()}
    )
    owners = replace(batch.pasts.owners.take(some), context=nowhere.context)
    blank = model.embed(nowhere, history, shelf.corpus)
    blank_own = model.own_scores(owners, blank, batch.pasts.library, shelf.corpus)
    weights = model.attention(queries, history, shelf.corpus)
    own_weights = [
        _by_item(history.item_number[place], weights[place]) for place in range(len(some))
    ]
    hidden = _hidden(model, shelf, queries, history, [items for items, _ in own_weights])
    told: dict[int, list[Why]] = {}
    start = 0
    for place, row in enumerate(rows):
        numbers, scores = lists[row]
        vectors = shelf.corpus.rows_of(numbers).astype(np.float64)
        repeat = _repeat_of(batch.own, row, numbers)
        context = scores - (vectors @ blank[place] + _repeat_of(blank_own, place, numbers))
        items, attention = own_weights[place]
        without = hidden[start : start + len(items)]
        start += len(items)
        effect = vectors @ (batch.embedded[row] - without).T
        named = list(zip(shelf.ids(items), shelf.titles_of(items), attention.tolist(), strict=True))
        told[row] = [
            Why(
                past=tuple(
                    sorted(
                        (Past(*n, float(e)) for n, e in zip(named, effect[i], strict=True)),
                        key=lambda past: -past.effect,
                    )
                ),
                repeat=float(repeat[i]),
                context=float(context[i]),
            )
            for i in range(len(numbers))
        ]
    return told


def _by_item(
    items: Int32[np.ndarray, " length"], weights: Float32[np.ndarray, " length"]
) -> tuple[Int32[np.ndarray, " most"], Float32[np.ndarray, " most"]]:
    """The items of a history that have most attention, and how much."""
    distinct, place = np.unique(items, return_inverse=True)
    summed = np.bincount(place, weights, minlength=len(distinct)).astype(np.float32)
    known = distinct > 0
    distinct, summed = distinct[known], summed[known]
    order = np.lexsort((distinct, -summed))[:PAST]
    return distinct[order], summed[order]


def _hidden(
    model: TrainedModel,
    shelf: Shelf,
    queries: Queries,
    history: History,
    items: Sequence[Int32[np.ndarray, " _"]],
) -> Float32[np.ndarray, "hidden width"]:
    """Query embeddings as they would be without the plays of one item, query by query."""
    query = np.repeat(np.arange(len(items)), [len(some) for some in items])
    if not len(query):
        return model.embed(queries.take(query), _take(history, query), shelf.corpus)
    repeated = _take(history, query)
    gone = repeated.item_number == np.concatenate(items)[:, None]
    without = replace(
        repeated,
        item_number=np.where(gone, 0, repeated.item_number).astype(np.int32),
        age_bucket=np.where(gone, -1, repeated.age_bucket).astype(np.int32),
    )
    return model.embed(queries.take(query), without, shelf.corpus)


def _take(history: History, rows: Int64[np.ndarray, " rows"]) -> History:
    return History(
        history.item_number[rows],
        history.age_bucket[rows],
        {name: values[rows] for name, values in history.context.items()},
    )


def _repeat_of(
    own: OwnScores, row: int, numbers: Int32[np.ndarray, " k"]
) -> Float32[np.ndarray, " k"]:
    """The repeat term of items; 0 for what the query's user hasn't had."""
    pairs = rows_between(own.offsets[row : row + 1], own.offsets[row + 1 : row + 2])
    order = pairs[np.argsort(own.item_number[pairs], kind="stable")]
    mine = own.item_number[order]
    if not len(mine):
        return np.zeros(len(numbers), np.float32)
    place = np.minimum(np.searchsorted(mine, numbers), len(mine) - 1)
    return np.where(mine[place] == numbers, own.repeat[order[place]], np.float32(0))

"""Why items are listed, measured by asking the model again; `answers` tells what each figure is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, Float64, Int32, Shaped

from antiphon.answers import Past, Why
from antiphon.history import History
from antiphon.own_library import OwnItems, OwnScores
from antiphon.queries import Queries
from antiphon.retrieval import TrainedModel
from antiphon.shelf import Shelf

__all__ = ["PAST", "Reasoned", "reasons_of"]

PAST = 5
"""How many items of the past are told of."""

List = tuple[Int32[np.ndarray, " _"], Float32[np.ndarray, " _"]]


@dataclass(frozen=True)
class Reasoned:
    """All that a batch was answered from.

    Attributes:
        queries: who asked.
        history: what the query tower saw.
        embedded: the queries' embeddings.
        had: what their users have had.
        own: the same, scored.
    """

    queries: Queries
    history: History
    embedded: Float32[np.ndarray, "queries width"]
    had: OwnItems
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
    queries, history = batch.queries.take(some), batch.history.take(some)
    listed = [lists[row][0] for row in rows]
    numbers = np.concatenate(listed).astype(np.int32)
    place = np.repeat(np.arange(len(some)), [len(part) for part in listed])
    vectors = shelf.corpus.rows_of(numbers).astype(np.float64)
    pair = batch.own.find(some[place], numbers)
    had = np.flatnonzero(pair >= 0)
    nowhere = queries.with_context(
        {name: np.repeat(value, len(some), axis=0) for name, value in unknown.items()}
    )
    blank = model.embed(nowhere, history, shelf.corpus)
    without_context = np.einsum("iw,iw->i", vectors, blank[place])
    asked_nowhere = model.asked(nowhere.context, len(nowhere))
    blank = model.counted(asked_nowhere, blank)
    without_context[had] = np.einsum("iw,iw->i", vectors[had], blank[place[had]])
    plays = batch.had.plays.take(pair[had])
    without_context[had] += model.repeat_of(asked_nowhere, place[had], plays)
    scores = np.concatenate([lists[row][1] for row in rows])
    context = scores - without_context
    repeat = np.zeros(len(numbers), np.float32)
    asked = batch.embedded[some][place[had]]
    repeat[had] = scores[had] - np.einsum("iw,iw->i", vectors[had], asked)
    # from here on as they count
    share = model.counted(model.asked(queries.context, len(queries)), np.ones_like(blank))
    vectors[had] *= share[place[had]]

    weights = model.attention(queries, history, shelf.corpus)
    weighed = [_by_item(*row) for row in zip(history.item_number, weights, strict=True)]
    hidden = _hidden(model, shelf, queries, history, [items for items, _ in weighed])
    told: dict[int, list[Why]] = {}
    start = 0
    for row, (items, attention) in enumerate(weighed):
        mine = np.flatnonzero(place == row)
        lost = batch.embedded[some[row]] - hidden[start : start + len(items)]
        start += len(items)
        named = zip(shelf.ids(items), shelf.titles_of(items), attention.tolist(), strict=True)
        told[rows[row]] = _whys(list(named), vectors[mine] @ lost.T, repeat[mine], context[mine])
    return told


def _whys(
    named: Sequence[tuple[int | str, str | None, float]],
    effect: Float64[np.ndarray, "k past"],
    repeat: Float32[np.ndarray, " k"],
    context: Float64[np.ndarray, " k"],
) -> list[Why]:
    """Of the items of one list."""
    whys = []
    for row, effects in enumerate(effect.tolist()):
        past = [Past(*one, effect=lost) for one, lost in zip(named, effects, strict=True)]
        past.sort(key=lambda one: -one.effect)
        whys.append(Why(tuple(past), float(repeat[row]), float(context[row])))
    return whys


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
        return model.embed(queries.take(query), history.take(query), shelf.corpus)
    repeated = history.take(query)
    gone = repeated.item_number == np.concatenate(items)[:, None]
    without = replace(
        repeated,
        item_number=np.where(gone, 0, repeated.item_number).astype(np.int32),
        age_bucket=np.where(gone, -1, repeated.age_bucket).astype(np.int32),
    )
    return model.embed(queries.take(query), without, shelf.corpus)

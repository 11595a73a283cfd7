"""Logs of a few events for baselines, by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

from antiphon.baselines.history import TrainingLog
from antiphon.prepared import Events
from antiphon.queries import Queries
from antiphon.schema import FittedCategorical, Schema

DAY = 86_400
Event = tuple[int, int, float, int]
"""User number, item number, day, code of the tab."""

TAB = FittedCategorical(name="tab", cardinality=3, values=("home", "search", "radio"))
HOUR = FittedCategorical(name="hour", cardinality=4)


def log_of(
    events: Sequence[Event],
    *,
    items: int,
    users: int | None = None,
    hours: Sequence[int] | None = None,
    context: bool = True,
) -> TrainingLog:
    """`hours` is a second context feature, in the order of `events`."""
    rows = np.array(events, float).reshape(-1, 4)
    order = np.lexsort((rows[:, 2], rows[:, 0]))
    rows = rows[order]
    users = users or int(rows[:, 0].max(initial=1))
    offsets = np.searchsorted(rows[:, 0], np.arange(users + 2)).astype(np.int64)
    contexts = {"tab": rows[:, 3].astype(np.int32)} if context else {}
    features = (TAB,) if context else ()
    if hours is not None:
        contexts["hour"] = np.array(hours, np.int32)[order]
        features = (TAB, HOUR)
    schema = Schema(
        context=features,
        item_count=items,
        user_count=users,
        train_end_s=2**40,
        held_out_start_s=2**40,
        held_out_end_s=2**41,
        validation_start_s=2**39,
        gap_s=0,
    )
    return TrainingLog(
        Events(
            starts=offsets[:-1],
            ends=offsets[1:],
            item_number=rows[:, 1].astype(np.int32),
            timestamp_s=np.round(rows[:, 2] * DAY).astype(np.int64),
            is_target=np.ones(len(rows), bool),
            context=contexts,
        ),
        schema,
    )


def ask(users: Sequence[int], **context: Sequence[int]) -> Queries:
    """Queries of users under contexts, long after everything."""
    return Queries(
        user_number=np.array(users, np.int32),
        user_key=np.array(users, np.int64),
        time_s=np.full(len(users), 2**40, np.int64),
        context={name: np.array(codes, np.int32) for name, codes in context.items()},
    )


def random_log(
    seed: int, *, users: int = 12, items: int = 20, events: int = 150, context: bool = True
) -> TrainingLog:
    rng = np.random.default_rng(seed)
    likes = rng.random(items) ** 3
    rows = np.stack(
        [
            rng.integers(1, users + 1, events),
            rng.choice(items, events, p=likes / likes.sum()) + 1,
            rng.random(events) * 100,
            rng.integers(0, 4, events),
        ],
        axis=1,
    )
    return log_of([tuple(row) for row in rows], items=items, users=users, context=context)


def dense(matrix: object) -> np.ndarray:
    assert sp.issparse(matrix)
    return np.asarray(matrix.toarray(), np.float64)

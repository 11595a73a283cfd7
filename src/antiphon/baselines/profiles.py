"""What a query's user has had, weighted by how long ago and in which context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from antiphon.baselines.history import DAY_S, TrainingLog, small
from antiphon.queries import Queries

__all__ = ["OTHER_CONTEXT", "Forgetting", "profiles"]

OTHER_CONTEXT = 1e-6
"""The least weight of another context: such items come after all others, but before strangers."""


@dataclass(frozen=True)
class Forgetting:
    """How an event's weight falls.

    Attributes:
        half_life_days: 2 ** (-age / half-life); None for no decay. The age is counted at the
            user's last event: a later moment changes all weights of a user by the same factor.
        lag_offset: 1 / (n + offset) for the user's n-th last event; None for no such factor. What
            is repeated falls with the number of plays since rather than with time (Anderson and
            Schooler, "Reflections of the environment in memory", 1991: a power law).
        context_weight: 1 - this for events of another context than the query's.
        by: the features that make a context; by default all categorical ones.
    """

    half_life_days: float | None = None
    lag_offset: float | None = None
    context_weight: float = 0.0
    by: Sequence[str] | None = None


def profiles(log: TrainingLog, queries: Queries, forgetting: Forgetting) -> Any:
    """The weights of what each query's user has had, summed by item.

    Args:
        log: the events.
        queries: users and contexts; user 0 has had nothing.
        forgetting: weighs events.

    Returns:
        CSR [queries, items + 1] float32, columns sorted.
    """
    users = queries.user_number.astype(np.int64)
    starts, ends = log.user_starts[users], log.user_starts[users + 1]
    lengths = ends - starts
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    query = np.repeat(np.arange(len(users)), lengths)
    rows = np.arange(offsets[-1]) + (starts - offsets[:-1])[query]
    weights = np.ones(len(rows))
    if forgetting.half_life_days is not None:
        since_s = log.row_times_s[(ends - 1)[query]] - log.row_times_s[rows]
        weights *= np.exp2(-since_s / (forgetting.half_life_days * DAY_S))
    if forgetting.lag_offset is not None:
        weights /= ends[query] - rows + forgetting.lag_offset
    if forgetting.context_weight > 0:
        codes, cells = log.query_cells(queries)
        same = log.matches(codes, forgetting.by)[cells[query], log.row_cells[rows]]
        weights *= np.where(same, 1.0, max(1.0 - forgetting.context_weight, OTHER_CONTEXT))
    matrix = sp.csr_array(
        (weights, *small(log.row_items[rows], offsets)), shape=(len(users), log.width)
    )
    matrix.sum_duplicates()
    return matrix.astype(np.float32)

"""The windows of time that judge: who is asked what, and what may be known when they are asked.

    training                    gap    validation     gap    test
    ...................... known )    [ targets  )
    ..................................... known )           [ targets )

The test window is what a model is judged by. The validation window chooses knobs: whoever is judged
on it knows only the events before it, less the gap, and is trained anew up to the test's gap
afterwards. In both, all is frozen at the window's start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int, Int64

from antiphon.contexts import unknown
from antiphon.errors import EvaluationError
from antiphon.prepared import Events, Prepared, rows_between
from antiphon.queries import Queries, Targets, queries_of_window
from antiphon.schema import Schema
from antiphon.sections import EvaluateSection

__all__ = ["Window", "held_out_window", "newest_window", "of_least_hash", "validation_window"]

ROWS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Window:
    """Queries of a window, their targets and what may be known to answer them.

    Attributes:
        name: "test" or "validation".
        queries: one row a query, sorted by user.
        targets: what they should find.
        known: the events that models, baselines, counts and histories may use.
        item_counts: plays of each item number in `known`; number 0 is the unknown item.
        schema: of the log.
    """

    name: str
    queries: Queries
    targets: Targets
    known: Events
    item_counts: Int[np.ndarray, " items"]
    schema: Schema

    @property
    def item_count(self) -> int:
        """Size of the corpus: items 1 to this may stand in lists."""
        return self.schema.item_count

    def history_lengths(self) -> Int64[np.ndarray, " queries"]:
        """Known events of each query's user."""
        users = self.queries.user_number
        return np.asarray(self.known.ends[users] - self.known.starts[users])

    def targets_heard(self) -> Bool[np.ndarray, " targets"]:
        """Whether the user of each target has had its item before."""
        span = max(self.item_count, int(self.targets.item_number.max(initial=0))) + 1
        users = self.queries.user_number.astype(np.int64)
        keys = users[self.targets.query_rows()] * span + self.targets.item_number
        wanted, inverse = np.unique(keys, return_inverse=True)
        heard = np.zeros(len(wanted), bool)
        if not len(wanted):
            return heard
        for some in _by_rows(self.known, np.unique(users)):
            starts, ends = self.known.starts[some], self.known.ends[some]
            items = self.known.item_number[rows_between(starts, ends)]
            pairs = np.repeat(some, ends - starts) * span + items
            at = np.searchsorted(wanted, pairs).clip(max=len(wanted) - 1)
            heard[at[wanted[at] == pairs]] = True
        return np.asarray(heard[inverse])

    def everybody(self, max_users: int | None = None) -> Queries:
        """One query, without a context, for every user with known events (or the chosen ones)."""
        users = np.flatnonzero(self.known.ends > self.known.starts)
        if max_users is not None:
            users = users[of_least_hash(users, max_users)]
        return Queries(
            users.astype(np.int32),
            users,
            np.full(len(users), self.queries.time_s[0], np.int64),
            unknown(self.schema, len(users)),
        )

    def take(self, chosen: Bool[np.ndarray, " queries"]) -> Window:
        """The same window with some of its queries."""
        rows = np.flatnonzero(chosen)
        lengths = np.diff(self.targets.offsets)
        items = self.targets.item_number[np.repeat(chosen, lengths)]
        offsets = np.concatenate([[0], np.cumsum(lengths[rows])]).astype(np.int64)
        return replace(self, queries=self.queries.take(rows), targets=Targets(offsets, items))


def held_out_window(prepared: Prepared, section: EvaluateSection) -> Window:
    """The test window: everything before its gap may be known.

    Raises:
        EvaluationError: nobody played a target in it.
    """
    schema = prepared.schema
    return _window(
        "test",
        prepared.held_out,
        prepared.events,
        prepared.item_counts(),
        schema,
        schema.held_out_start_s,
        section,
    )


def newest_window(prepared: Prepared, section: EvaluateSection) -> Window:
    """The test window; where all of a log is trained on, its last `horizon_s`, as if held out.

    Raises:
        EvaluationError: nobody played a target in it.
    """
    schema = prepared.schema
    if schema.judged:
        return held_out_window(prepared, section)
    return _last_of_training(prepared, section, "last", schema.train_end_s - schema.horizon_s)


def validation_window(prepared: Prepared, section: EvaluateSection) -> Window:
    """The validation window: the last part of the training events, seen from its gap.

    Users whose first event lies in the window are new here, and items first played in it are cold:
    their counts are 0, though the vocabulary has them.

    Raises:
        EvaluationError: nobody played a target in it.
    """
    return _last_of_training(prepared, section, "validation", prepared.schema.validation_start_s)


def _last_of_training(
    prepared: Prepared, section: EvaluateSection, name: str, start_s: int
) -> Window:
    schema, events = prepared.schema, prepared.events
    known = events.before(start_s - schema.gap_s)
    users = np.arange(len(events.starts))
    start = np.full(len(users), start_s, np.int64)
    window = replace(events, starts=events.first_at(users, start))
    counts = np.zeros(schema.item_count + 1, np.int64)
    for rows in known.row_blocks(ROWS_AT_ONCE):
        counts += np.bincount(known.item_number[rows], minlength=len(counts))
    return _window(name, window, known, counts, schema, start_s, section)


def of_least_hash(
    user_key: Int64[np.ndarray, " queries"], count: int
) -> Bool[np.ndarray, " queries"]:
    """Whether a query's user is among the `count` users whose keys have the least hashes."""
    users = np.unique(user_key)
    return np.isin(user_key, users[np.argsort(_hash(users), kind="stable")[:count]])


def _window(
    name: str,
    events: Events,
    known: Events,
    item_counts: Int[np.ndarray, " items"],
    schema: Schema,
    start_s: int,
    section: EvaluateSection,
) -> Window:
    _check_query_by(section.query_by, schema)
    queries, targets = queries_of_window(events, schema.user_count, start_s, section.query_by)
    without_history = known.ends[queries.user_number] == known.starts[queries.user_number]
    numbers = np.where(without_history, 0, queries.user_number).astype(np.int32)
    queries = replace(queries, user_number=numbers)
    window = Window(name, queries, targets, known, item_counts, schema)
    if section.protocol == "yambda-paper":
        window = window.take(queries.user_number > 0)
    if section.max_users is not None:
        window = window.take(of_least_hash(window.queries.user_key, section.max_users))
    if not len(window.queries):
        raise EvaluationError(
            f"the {name} window has no targets to judge by",
            received=f"0 queries in [{start_s}, ...) seconds",
            allowed="at least one target event",
            hint="a longer window: split.test_days or split.validation_days; or check log.target",
        )
    return window


def _check_query_by(names: Sequence[str] | None, schema: Schema) -> None:
    for name in names or ():
        if name not in schema.context_names():
            raise EvaluationError(
                "evaluate.query_by names a context feature that the log doesn't have",
                received=name,
                allowed=", ".join(schema.context_names()) or "none: the log has no context",
            )


def _hash(keys: Int64[np.ndarray, " keys"]) -> np.ndarray:
    """The finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    x = keys.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))


def _by_rows(events: Events, users: Int64[np.ndarray, " users"]) -> list[np.ndarray]:
    """Users in groups whose events fit into memory at once."""
    total = np.cumsum(events.ends[users] - events.starts[users])
    limits = np.arange(ROWS_AT_ONCE, total[-1], ROWS_AT_ONCE)
    return np.split(users, np.unique(np.searchsorted(total, limits)))

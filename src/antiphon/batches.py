"""Arrays -> training batches: of fixed shapes, a pure function of (seed, step).

A training query is asked the way evaluation and serving ask: at a moment, of a user whose history
ends there, about what they play in the `horizon` that follows. A batch has one moment, so that what
is popular just then is known to all of its queries; from step to step moments move through the
log (see `present.py`). One history serves several targets, each under its own context, so that
gathering and attending to it is paid once.

Every id of a batch is an index into the batch's own short list of table rows, each row once: a
step reads and writes just those rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64, Shaped, UInt8

from antiphon.catalogue import Catalogue
from antiphon.history import History, history_before
from antiphon.library import Library
from antiphon.negatives import Negatives
from antiphon.own_negatives import OwnNegatives, draw_own_negatives
from antiphon.prepared import Events
from antiphon.present import Present
from antiphon.rows import ItemInputs, RowFinder
from antiphon.schema import Schema, missing_value
from antiphon.sections import ModelSection, TrainSection
from antiphon.share import WHOLE, Share, uniform
from antiphon.trend import Kinds

__all__ = ["Batch", "Batches"]

Batch = dict[str, Any]

TRIALS = 16
"""Steps tried, spread over an epoch, to learn how many rows a batch touches."""


@dataclass(frozen=True)
class _Drawn:
    """A moment, all candidates, who asks, and all items of theirs, with their places in `rows`."""

    now_s: int
    candidates: Int32[np.ndarray, " candidates"]
    users: Int64[np.ndarray, " queries"]
    end: Int64[np.ndarray, " queries"]
    targets: Int64[np.ndarray, "queries targets"]
    history: History
    own: OwnNegatives | None
    positive: Int32[np.ndarray, "queries targets"]
    negative: Int32[np.ndarray, " negatives"]
    rows: Int32[np.ndarray, " distinct"]
    items: Mapping[str, Shaped[np.ndarray, "distinct ..."]]
    value_rows: Mapping[str, Int32[np.ndarray, " values"]]
    positive_at: Int32[np.ndarray, "queries targets"]
    negative_at: Int32[np.ndarray, " negatives"]
    history_at: Int32[np.ndarray, "queries length"]
    older_at: Int32[np.ndarray, "queries older"]


@dataclass
class Batches:
    """Training batches over the events in sight.

    Args:
        devices: batch shapes are made divisible by this.
        share: the queries to make batches of. All that is drawn is drawn for all of them, and
            targets are looked up for all, since they are everybody's candidates; histories,
            libraries, contexts, features and rows only for these.
    """

    events: Events
    catalogue: Catalogue
    schema: Schema
    model: ModelSection
    train: TrainSection
    devices: int = 1
    share: Share = WHOLE

    def __post_init__(self) -> None:
        targets = self.train.targets_per_query
        self.queries = self.train.global_batch_size // targets
        self._present = Present(
            self.events,
            self.catalogue.rows,
            self.schema.horizon_s,
            self.steps_per_epoch,
            Kinds.of(self.schema, self.model),
        )
        self._library = Library.of(self.events) if self.model.repeats else None
        self._negatives = Negatives(self.catalogue.counts, self.train.negative_power)
        drawn = self.train.library_negatives if self.model.repeats else 0
        owned = self.model.history_length + drawn
        self._own_queries = self.queries // self.share.count
        candidates = self.queries * targets + self.train.sampled_negatives
        items = self._own_queries * owned + candidates // self.share.count
        self._items = RowFinder(self.catalogue.rows, items, self.devices)
        self._users = RowFinder(self.schema.user_count + 1, self._own_queries, self.devices)
        self._candidates = RowFinder(self.catalogue.rows, candidates)
        self._inputs = ItemInputs(self.catalogue, self._items.capacity, self.devices)
        # batches share most of what they touch: room for all of it would be mostly empty
        for trial in range(TRIALS):
            for number in range(self.share.count):  # all shares have room for the same
                share = Share(number, self.share.count)
                self._touched((trial + 1) * self.steps_per_epoch // TRIALS - 1, share)
        self._items.shrink()
        self._inputs.shrink()

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which as many positives are seen as there are."""
        return self.train.steps_per_epoch(self.events.count)

    def batch(self, step: int) -> Batch:
        """The batch of one step; see `towers.py` for how each part is read."""
        drawn, rng = self._touched(step, self.share)
        self._present.advance_to(step)
        known = np.where(rng.random(self._own_queries) < self.model.user_dropout, 0, drawn.users)
        user_rows, user_at = self._users.find(known.astype(np.int32))
        inside = np.where(drawn.rows < self.catalogue.rows, drawn.rows, 0)
        trend = self._present.trend.at(inside, drawn.now_s)
        items = {**drawn.items, "trend": trend, "has_id": self._has_id(inside, step)}
        return {
            "rows": {"user": user_rows, "item": drawn.rows, **drawn.value_rows},
            "user": user_at,
            "is_known": drawn.users > 0,
            "items": items,
            "history": {
                "item": np.maximum(drawn.history_at, 0),
                "age": np.where(drawn.history_at < 0, -1, drawn.history.age_bucket),
                "context": dict(drawn.history.context),
            },
            "own": _own(drawn, drawn.own) if drawn.own else {},
            "context": self._contexts(drawn.targets, rng),
            "positive": drawn.positive_at,
            "negative": drawn.negative_at,
            "log_expected_count": self._log_expected_count(
                np.concatenate([drawn.positive.ravel(), drawn.negative])
            ),
            "left_out": self._heard(drawn),
        }

    def _touched(self, step: int, share: Share) -> tuple[_Drawn, np.random.Generator]:
        """What a share of a step asks about, and which rows that touches."""
        rng = np.random.Generator(np.random.Philox(key=[self.train.seed, step]))
        now_s = self._present.moment_s(step)
        sampled = self._sample(now_s, rng)
        users, asked_s, end, targets = (share.of(each) for each in sampled)
        history = history_before(self.events, users, end, asked_s, self.model.history_length)
        own, draws = None, share.draws(rng)
        if self._library:
            lengths = self.model.history_length, self.train.library_negatives
            own = draw_own_negatives(self._library, users, end, targets, asked_s, lengths, draws)
        everybodys = (
            self.events.item_number[sampled[3]],
            self._negatives.draw(self.train.sampled_negatives, rng),
        )
        positive, negative = (share.of(each) for each in everybodys)
        older = own.older if own else np.zeros((len(users), 0), np.int32)
        parts = (positive, negative, history.item_number, older)
        rows, places = self._items.find(np.concatenate([part.ravel() for part in parts]))
        ends = accumulate(part.size for part in parts)
        at = [places[end - part.size : end] for part, end in zip(parts, ends, strict=True)]
        items, value_rows = self._inputs.of(rows)
        drawn = _Drawn(
            now_s,
            np.concatenate([each.ravel() for each in everybodys]),
            *(users, end, targets, history, own, positive, negative, rows, items, value_rows),
            *(place.reshape(part.shape) for place, part in zip(at, parts, strict=True)),
        )
        return drawn, draws

    def _sample(
        self, now_s: int, rng: np.random.Generator
    ) -> tuple[
        Int64[np.ndarray, " queries"],
        Int64[np.ndarray, " queries"],
        Int64[np.ndarray, " queries"],
        Int64[np.ndarray, "queries targets"],
    ]:
        """Users, when each history ends, the row it ends before, and rows of what follows.

        Most queries are asked at the moment, about any of the user's events in the window. The
        others are asked later, just before a run of successive events: there is more to learn
        from a history that what was played next belongs to. Either way all events of a user's
        window are equally often targets. A few are asked as if by user 0, of whom nothing is known.
        """
        rows = self._present.sample_window(now_s, self.queries, rng)
        users = np.searchsorted(self.events.starts, rows, side="right") - 1
        ends_s = np.repeat([now_s, now_s + self._present.horizon_s], len(users))
        bounds = self.events.first_at(np.concatenate([users, users]), ends_s)
        first, last = bounds[: len(users)], bounds[len(users) :]
        number = self.train.targets_per_query
        span = (last - first)[:, None]
        # stratified, so that a window with enough events gives no event twice
        place = (np.arange(number) + rng.random((self.queries, number))) / number
        begin = (rng.random((self.queries, 1)) * span).astype(np.int64)
        run = (begin + np.arange(number)) % span
        in_run = rng.random((self.queries, 1)) < self.train.run_share
        targets = first[:, None] + np.where(in_run, run, (place * span).astype(np.int64))
        later = (in_run & (begin + number <= span))[:, 0]
        asked_s, end = np.full(len(users), now_s), first.copy()
        asked_s[later] = self.events.timestamp_s[targets[later, 0]]
        end[later] = self.events.first_at(users[later], asked_s[later])
        stranger = rng.random(len(users)) < self.train.stranger_share
        end = np.where(stranger, self.events.starts[0], end)  # user 0 has no events
        return np.where(stranger, 0, users), asked_s, end, targets

    def _has_id(
        self, items: Int32[np.ndarray, " distinct"], step: int
    ) -> Bool[np.ndarray, " distinct"]:
        """Which items are told by more than their content; see `model.id_dropout`.

        Drawn by a hash, so that all shares that an item is in draw the same.
        """
        if not (self.model.id_dropout and self.schema.item):
            return np.ones(len(items), bool)
        drawn = uniform(items, np.random.SeedSequence([self.train.seed, step]))
        return (self.catalogue.counts[items] > 0) & (drawn >= self.model.id_dropout)

    def _log_expected_count(
        self, candidates: Int32[np.ndarray, " candidates"]
    ) -> Float32[np.ndarray, " candidates"]:
        """How often a candidate is expected among those that may be its query's negatives."""
        in_batch = (self.queries - 1) * self.train.targets_per_query
        sampled = self.train.sampled_negatives * self._negatives.share(candidates)
        expected = in_batch * self._present.window_share(candidates) + sampled
        return np.asarray(np.log(expected), np.float32)

    def _heard(self, drawn: _Drawn) -> UInt8[np.ndarray, "queries candidates_by_8"]:
        """Bits: which candidates a query's user has had before, wherever in their library."""
        if not drawn.own:
            return np.zeros((self._own_queries, 0), np.uint8)
        places = self._candidates.find(drawn.candidates)[1]
        starts = self.events.starts[drawn.users]
        # a user's events lie side by side: copied, and not looked up row by row
        bounds = zip(starts.tolist(), drawn.end.tolist(), strict=True)
        played = np.concatenate([self.events.item_number[start:end] for start, end in bounds])
        found, at = self._candidates.among(played)
        query = np.searchsorted(np.cumsum(drawn.end - starts), found, side="right")
        heard = np.zeros((self._own_queries, self._candidates.capacity), bool)
        heard[query, at] = True
        return np.packbits(np.take(heard, places, axis=1), axis=1, bitorder="little")

    def _contexts(
        self, targets: Int64[np.ndarray, "queries targets"], rng: np.random.Generator
    ) -> Mapping[str, Shaped[np.ndarray, "queries targets ..."]]:
        contexts = {}
        for feature in self.schema.context:
            values = np.array(self.events.context[feature.name][targets])
            values[rng.random(targets.shape) < self.model.context_dropout] = missing_value(feature)
            contexts[feature.name] = values
        return contexts


def _own(drawn: _Drawn, own: OwnNegatives) -> dict[str, Any]:
    """What a query's user has had before; what found no room is as if it weren't there."""
    there = np.concatenate([drawn.history_at, drawn.older_at], axis=1) >= 0
    return {
        "older": np.maximum(drawn.older_at, 0),
        "log_expected_count": np.where(there, own.log_expected_count, np.float32(np.inf)),
        "plays": own.plays,
    }

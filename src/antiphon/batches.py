"""Arrays -> training batches: shuffled, of fixed shapes, a pure function of (seed, step).

A training query is asked the way evaluation and serving ask: a user at a moment, whose history ends
there, and what they played in the `horizon` that follows. One history serves several targets, each
under its own context, so that gathering and attending to it is paid once.

Every id of a batch is an index into the batch's own short list of table rows, each row once: a
step reads and writes just those rows.
"""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Int32, Int64, Shaped

from antiphon.catalogue import Catalogue
from antiphon.history import gather_history
from antiphon.prepared import Events
from antiphon.rows import ItemInputs, RowFinder
from antiphon.schema import Schema, missing_value
from antiphon.sections import ModelSection, TrainSection
from antiphon.shuffle import shuffled

__all__ = ["Batch", "Batches", "prefetch"]

Batch = dict[str, Any]


@dataclass
class Batches:
    """Training batches over the events in sight.

    Args:
        horizon_s: how long after the end of a history its targets may lie.
        devices: batch shapes are made divisible by this.
    """

    events: Events
    catalogue: Catalogue
    schema: Schema
    model: ModelSection
    train: TrainSection
    horizon_s: int
    devices: int = 1

    def __post_init__(self) -> None:
        lengths = self.events.ends - self.events.starts
        self._first = np.concatenate([[0], np.cumsum(lengths)])
        self.count = int(self._first[-1])
        targets = self.train.targets_per_query
        self.queries = self.train.global_batch_size // targets
        # the one array as long as the catalogue: what negatives are drawn by
        steps = self.catalogue.counts.astype(np.float64)
        steps[steps > 0] **= self.train.negative_power
        self._negative_steps = np.cumsum(steps, out=steps)
        items = self.queries * (self.model.history_length + targets) + self.train.sampled_negatives
        self._items = RowFinder(self.catalogue.rows, items, self.devices)
        self._users = RowFinder(self.schema.user_count + 1, self.queries, self.devices)
        self._inputs = ItemInputs(self.catalogue, self._items.capacity, self.devices)

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which as many positives are seen as there are."""
        return max(1, round(self.count / self.train.global_batch_size))

    def batch(self, step: int) -> Batch:
        """The batch of one step; see `towers.py` for how each part is read."""
        rng = np.random.Generator(np.random.Philox(key=[self.train.seed, step]))
        users, cut_s, targets = self._sample(step, rng)
        history = gather_history(self.events, users, cut_s, cut_s, self.model.history_length)
        positive = self.events.item_number[targets]
        negative = self._sample_negatives(rng)
        rows, places = self._items.find(
            np.concatenate([positive.ravel(), negative, history.item_number.ravel()])
        )
        positive_at, negative_at, history_at = np.split(
            places, np.cumsum([positive.size, negative.size])
        )
        candidates = np.concatenate([positive.ravel(), negative])
        log_count = self._log_expected_count(candidates)
        known = np.where(rng.random(len(users)) < self.model.user_dropout, 0, users)
        user_rows, user_at = self._users.find(known.astype(np.int32))
        items, value_rows = self._inputs.of(rows)
        return {
            "rows": {"user": user_rows, "item": rows, **value_rows},
            "user": user_at,
            "items": items,
            "history": {
                "item": history_at.reshape(history.item_number.shape),
                "age": history.age_bucket,
                "context": dict(history.context),
            },
            "context": self._contexts(targets, rng),
            "positive": positive_at.reshape(positive.shape),
            "negative": negative_at,
            "log_expected_count": log_count,
            "chance": self._chance(positive, log_count, candidates),
        }

    def _sample(
        self, step: int, rng: np.random.Generator
    ) -> tuple[
        Int64[np.ndarray, " queries"],
        Int64[np.ndarray, " queries"],
        Int64[np.ndarray, "queries targets"],
    ]:
        """Users, the moment each history ends, and the rows of the targets that follow."""
        wanted = step * self.queries + np.arange(self.queries)
        rounds = wanted // self.count
        anchor = np.empty(self.queries, np.int64)
        for epoch in np.unique(rounds):
            chosen = rounds == epoch
            seed = self.train.seed * 1_000_003 + int(epoch)
            anchor[chosen] = shuffled(wanted[chosen] % self.count, self.count, seed)
        users = np.asarray(np.searchsorted(self._first, anchor, side="right") - 1)
        row = self.events.starts[users] + anchor - self._first[users]
        delay = rng.random(self.queries) * self.horizon_s
        cut_s = np.asarray(self.events.timestamp_s[row]) - delay.astype(np.int64)
        first = self.events.first_at(users, cut_s)
        last = self.events.first_at(users, cut_s + max(self.horizon_s, 1))
        number = self.train.targets_per_query
        # stratified, so that a window with enough events gives no event twice
        place = (np.arange(number) + rng.random((self.queries, number))) / number
        targets = first[:, None] + (place * (last - first)[:, None]).astype(np.int64)
        return np.asarray(users), cut_s, targets

    def _sample_negatives(self, rng: np.random.Generator) -> Int32[np.ndarray, " negatives"]:
        steps = self._negative_steps
        drawn = rng.random(self.train.sampled_negatives) * steps[-1]
        return np.searchsorted(steps, drawn, side="right").astype(np.int32)

    def _log_expected_count(
        self, candidates: Int32[np.ndarray, " candidates"]
    ) -> Float32[np.ndarray, " candidates"]:
        """How often a candidate is expected among those that may be its query's negatives."""
        counts = self.catalogue.counts[candidates].astype(np.float64)
        in_batch = (self.queries - 1) * self.train.targets_per_query
        powered = counts**self.train.negative_power / self._negative_steps[-1]
        expected = in_batch * counts / self.count + self.train.sampled_negatives * powered
        return np.asarray(np.log(expected), np.float32)

    def _chance(
        self,
        positive: Int32[np.ndarray, "queries targets"],
        log_count: Float32[np.ndarray, " candidates"],
        candidates: Int32[np.ndarray, " candidates"],
    ) -> Float32[np.ndarray, "queries targets"]:
        """The loss of each example if every candidate had the same score."""
        weight = np.exp(-log_count.astype(np.float64))
        distinct, place = np.unique(candidates, return_inverse=True)
        of_item = np.bincount(place, weight, minlength=len(distinct))
        same_item = of_item[place[: positive.size]].reshape(positive.shape)
        own = weight[: positive.size].reshape(positive.shape)
        other = positive[:, :, None] != positive[:, None, :]
        same_query = (other * own[:, None, :]).sum(axis=2)
        negatives = np.maximum(weight.sum() - same_item - same_query, 0)
        return np.asarray(np.log1p(negatives), np.float32)

    def _contexts(
        self, targets: Int64[np.ndarray, "queries targets"], rng: np.random.Generator
    ) -> Mapping[str, Shaped[np.ndarray, "queries targets ..."]]:
        contexts = {}
        for feature in self.schema.context:
            values = np.array(self.events.context[feature.name][targets])
            values[rng.random(targets.shape) < self.model.context_dropout] = missing_value(feature)
            contexts[feature.name] = values
        return contexts


def prefetch(make: Callable[[int], Batch], first_step: int, last_step: int) -> Iterator[Batch]:
    """Yield what `make` gives for steps `first_step` to `last_step - 1`, made ahead in a thread.

    An error in the thread is raised here.
    """
    ready: queue.Queue[Batch | BaseException] = queue.Queue(maxsize=3)
    stop = threading.Event()

    def work() -> None:
        try:
            for step in range(first_step, last_step):
                _put(make(step))
                if stop.is_set():
                    return
        except BaseException as error:
            _put(error)

    def _put(item: Batch | BaseException) -> None:
        while not stop.is_set():
            with contextlib.suppress(queue.Full):
                ready.put(item, timeout=0.2)
                return

    # Between two steps the trainer needs the interpreter for a moment only; with Python's usual
    # 5 ms it would wait for the thread that makes batches, and the devices for both.
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(2e-4)
    thread = threading.Thread(target=work, name="batches", daemon=True)
    thread.start()
    try:
        for _ in range(first_step, last_step):
            item = ready.get()
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        thread.join()
        sys.setswitchinterval(interval_s)

"""What Prometheus may ask."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

from antiphon.answers import Answer
from antiphon.serve.drift import Drift

__all__ = ["Metrics"]

# whoever says more asks for something else than evaluation does
ASKED_AS_IN_EVALUATION = {"user", "context", "k"}

SECONDS = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Metrics:
    """Counters of one process; with several workers, added up over all of them."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.seconds = Histogram(
            "antiphon_request_seconds",
            "Time to answer",
            ("route",),
            buckets=SECONDS,
            registry=registry,
        )
        self.requests = Counter(
            "antiphon_requests",
            "Requests by route and status",
            ("route", "status"),
            registry=registry,
        )
        self.answers = Counter("antiphon_answers", "Lists given", registry=registry)
        self.empty = Counter("antiphon_empty_answers", "Lists without an item", registry=registry)
        self.unknown_users = Counter(
            "antiphon_unknown_users",
            "Requests that name a user training hasn't seen",
            registry=registry,
        )
        self.anonymous = Counter(
            "antiphon_anonymous", "Requests that name no user", registry=registry
        )
        self.unknown_items = Counter(
            "antiphon_unknown_items",
            "Items of histories that the corpus lacks",
            registry=registry,
        )
        self.best_scores = Counter(
            "antiphon_best_score_bin",
            "Best scores of answers, by decile of those of training's users",
            ("bin",),
            registry=registry,
        )
        self.drift = Gauge(
            "antiphon_score_drift",
            "Population stability index of best scores against those of training's users",
            multiprocess_mode="max",
            registry=registry,
        )
        self.context = Counter(
            "antiphon_context",
            "Values of categorical context features",
            ("feature", "value"),
            registry=registry,
        )
        # to find what counts some labels takes longer than to count
        self._seconds = cache(self.seconds.labels)
        self._requests = cache(self.requests.labels)
        self._context = cache(self.context.labels)
        self._best_scores = cache(self.best_scores.labels)

    def answered(self, asked: Any, answer: Answer, drift: Drift) -> None:
        """Count one list.

        Args:
            asked: the request's model.
            answer: to it.
            drift: of the run that answered.
        """
        self.answers.inc()
        if not answer.items:
            self.empty.inc()
        if asked.user is None:
            self.anonymous.inc()
        elif not answer.known_user:
            self.unknown_users.inc()
        if answer.unknown_history:
            self.unknown_items.inc(len(answer.unknown_history))
        for name, value in vars(asked.context).items():
            if value is None or isinstance(value, str):
                self._context(name, "unknown" if value is None else value).inc()
        if asked.model_fields_set <= ASKED_AS_IN_EVALUATION and answer.known_user and answer.items:
            self._best_scores(str(drift.add(answer.items[0].score) + 1)).inc()

    def drifted(self, index: float) -> None:
        """Tell how far scores have moved."""
        self.drift.set(index)

    def requested(self, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        self._seconds(route).observe(seconds)
        self._requests(route, str(status)).inc()

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self.registry)
        together = CollectorRegistry()
        multiprocess.MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)

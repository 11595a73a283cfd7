"""Evaluations to show: a small made-up log, judged for real by rankers of graded knowledge.

Who asks in the tab "search" likes another genre than the same user in the tab "home". Rankers know
the tastes more or less well, with or without the context; the figures are then the judge's own.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from antiphon.cold import cold_report
from antiphon.context_report import context_report
from antiphon.evaluate import Evaluation, evaluate_rankers
from antiphon.examples import examples
from antiphon.gates import check_gates
from antiphon.prepared import Prepared
from antiphon.published import TEST_START_S, TRAIN_END_S, published
from antiphon.queries import Queries
from antiphon.sections import EvaluateSection, GatesSection
from tiny import write_prepared

USERS, ITEMS, GENRES = 240, 400, 8
NEW_USERS = 12
UNPLAYED = 150
COLD_ITEM = ITEMS + 1
GATES = GatesSection(learned=True, beats_baselines=True, context_helps=True, slices=("all", "tail"))


def _tastes(generator: np.random.Generator) -> np.ndarray:
    """Log-odds of an item by (user, tab): fame, and a genre for each tab."""
    genre = np.arange(ITEMS + 1) % GENRES
    fame = -0.9 * np.log(1 + generator.permutation(ITEMS + 1))
    tastes = np.tile(fame, (USERS + NEW_USERS + 1, 3, 1))
    for tab in range(3):
        liked = (np.arange(len(tastes)) * 3 + tab * 2) % GENRES
        tastes[:, tab] += 2.2 * (genre[None, :] == liked[:, None])
    tastes += generator.normal(0, 1.0, (len(tastes), 1, ITEMS + 1))
    tastes[:, :, 0] = -np.inf
    return tastes


def write_log(folder: Path, seed: int = 0) -> tuple[Prepared, np.ndarray]:
    """A prepared log, and the tastes it was drawn from."""
    generator = np.random.default_rng(seed)
    tastes = _tastes(generator)

    def play(user: int, start_s: int, count: int) -> list[tuple[int, int, int, int]]:
        events = []
        for n in range(count):
            tab = int(generator.integers(1, 3))
            odds = np.exp(tastes[user, tab] - tastes[user, tab].max())
            item = int(generator.choice(ITEMS + 1, p=odds / odds.sum()))
            events.append((user, item, start_s + 10 * n, tab))
        return events

    train, held_out = [], []
    for user in range(1, USERS + 1):
        train += play(user, 1000, int(generator.choice([5, 30, 90])))
    for user in range(1, USERS + NEW_USERS + 1):
        held_out += play(user, 3000, 12)
    held_out += [(user, COLD_ITEM, 2990, 1) for user in range(1, 41)]
    artist = [1 + n % 9 for n in range(ITEMS + UNPLAYED)]
    prepared = write_prepared(
        folder,
        train,
        held_out,
        item_count=ITEMS + UNPLAYED,
        user_count=USERS,
        validation_start_s=1500,
        train_end_s=2500,
        held_out_start_s=2600,
        artist=artist,
    )
    return prepared, tastes


TUNED = {
    "random": {"knobs": {"exclude_heard": False}, "validation": 0.002, "tried": 1, "note": None},
    "item_knn": {
        "knobs": {
            "similarity_half_life_days": 10.0,
            "shrink": 30.0,
            "neighbours": 300,
            "forgetting": "1 / (n + 10)",
            "context_weight": 0.8,
            "by": "tab",
            "exclude_heard": True,
        },
        "validation": 0.24053,
        "tried": 23,
        "note": None,
    },
    "bpr": {
        "knobs": {"last_days": None, "regularization": 0.01, "exclude_heard": False},
        "validation": None,
        "tried": 0,
        "note": "models the 8,000 items played most, of 22,962",
    },
}
"""As baselines tell what they were tuned to."""


class Knows:
    """Ranks by the tastes, blurred; without the context by their mean over tabs."""

    def __init__(
        self,
        tastes: np.ndarray,
        blur: float,
        *,
        context: bool,
        personal: bool = True,
        seed: int = 0,
    ) -> None:
        generator = np.random.default_rng(seed)
        tastes = tastes if personal else np.broadcast_to(tastes.mean(0), tastes.shape)
        self.scores = tastes + generator.normal(0, blur, tastes.shape) if blur else tastes.copy()
        self.scores[:, 0] = self.scores[:, 1:].mean(1)
        self.context = context

    def rank(
        self, queries: Queries, k: int, *, exclude_heard: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        users = np.minimum(queries.user_key, len(self.scores) - 1)
        tabs = queries.context["tab"] if self.context else np.zeros(len(users), np.int32)
        scores = self.scores[users, tabs]
        lists = np.argsort(-scores, axis=1, kind="stable")[:, :k].astype(np.int32)
        return lists, np.take_along_axis(scores, lists, axis=1).astype(np.float32)

    def rank_among(
        self, queries: Queries, items: np.ndarray, k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        scores = np.random.default_rng(9).random((len(queries), len(items)), np.float32)
        scores[:, items == COLD_ITEM] += np.float32(0.7)
        places = np.argsort(-scores, axis=1)[:, :k]
        return items[places], np.take_along_axis(scores, places, axis=1)


def rankers(tastes: np.ndarray, blur: float = 1.0) -> dict[str, Knows]:
    """From none to all knowledge."""
    return {
        "antiphon": Knows(tastes, blur, context=True),
        "random": Knows(tastes, 1e6, context=False, seed=1),
        "most_popular": Knows(tastes, 0.3, context=False, personal=False, seed=2),
        "context_popular": Knows(tastes, 0.3, context=True, personal=False, seed=3),
        "own_history": Knows(tastes, 2.2, context=False, seed=4),
        "item_knn": Knows(tastes, 1.2, context=False, seed=5),
        "ials": Knows(tastes, 1.7, context=False, seed=6),
        "bpr": Knows(tastes, 2.0, context=False, seed=7),
        "seed": Knows(tastes, 9.0, context=False, seed=8),
        "oracle": Knows(tastes, 0.0, context=True),
    }


def sample_evaluation(
    folder: Path, *, blur: float = 1.0, resamples: int = 200, protocol: str = "standard"
) -> dict[str, Any]:
    """A parsed evaluation.json with every part, judged on the made-up log."""
    prepared, tastes = write_log(folder)
    section = EvaluateSection(resamples=resamples, protocol=protocol)
    candidates = rankers(tastes, blur)
    evaluation = evaluate_rankers(prepared, candidates, section, hashes={"model": "5e" * 32})
    evaluation = context_report(evaluation, candidates["antiphon"])
    evaluation = cold_report(evaluation, candidates["antiphon"], prepared)
    evaluation = evaluation.with_parts(
        baselines=TUNED, loss=falling_loss(), published=_as_if_of_yambda(evaluation)
    )
    evaluation = evaluation.with_parts(
        gates=check_gates(evaluation, GATES),
        examples=examples(prepared, evaluation),
    )
    return json.loads(json.dumps(evaluation.to_json(), allow_nan=False))


@cache
def _written(blur: float, resamples: int, protocol: str) -> str:
    with TemporaryDirectory() as folder:
        sample = sample_evaluation(Path(folder), blur=blur, resamples=resamples, protocol=protocol)
    return json.dumps(sample)


def sample(
    *, blur: float = 1.0, resamples: int = 200, protocol: str = "standard"
) -> dict[str, Any]:
    """`sample_evaluation`, judged once and handed out anew each time."""
    return json.loads(_written(blur, resamples, protocol))


def falling_loss(steps: int = 600) -> dict[str, Any]:
    """A loss that falls from chance, log(2048), by two nats."""
    step = np.arange(steps // 20, steps + 1, steps // 20)
    chance = np.full(len(step), np.log(2048))
    loss = chance - 2.0 * (1 - np.exp(-step / 150))
    return {"step": step.tolist(), "loss": loss.tolist(), "chance": chance.tolist()}


def _as_if_of_yambda(evaluation: Evaluation) -> dict[str, Any] | None:
    window = evaluation.judge.window
    yambda = {"held_out_start_s": TEST_START_S, "train_end_s": TRAIN_END_S}
    window = replace(window, schema=window.schema.model_copy(update=yambda))
    return published(window, evaluation.protocol, synthetic=False)

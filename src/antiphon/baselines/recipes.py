"""The baselines that there are: which knobs they have, and how knobs make a ranker.

The first value of a knob is its default. Half-lives are days; None is no decay. `by` names the
context features that make a context.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from antiphon.baselines.ease import EaseModel, EaseScorer, fit_ease
from antiphon.baselines.factors import Factors, FactorScorer, fit_bpr, fit_ials
from antiphon.baselines.fitted import Knobs, Scorer
from antiphon.baselines.history import TrainingLog
from antiphon.baselines.item_knn import ItemKnn, fit_neighbours, strongest
from antiphon.baselines.own_history import OwnHistory
from antiphon.baselines.popular import Popularity, cell_counts
from antiphon.baselines.profiles import Forgetting
from antiphon.baselines.random_lists import RandomLists
from antiphon.baselines.recipe import Grid, Recipe

__all__ = ["FALLBACK", "RECIPES", "fallback"]

Features = tuple[str, ...]

FALLBACK = "context_popular"
"""What fills up lists of the others and answers for strangers."""

MOST_SIMILARITIES = 100_000_000
"""Of ItemKNN, 8 bytes each: on a large catalogue items have fewer neighbours."""

BPR_SAMPLES = 400_000_000
"""Steps of BPR on a large log, some minutes."""

FORGETTING = {
    "14 days": Forgetting(half_life_days=14.0),
    **{f"{days} days": Forgetting(half_life_days=float(days)) for days in (1, 3, 7, 30, 60, 180)},
    **{f"1 / (n + {offset})": Forgetting(lag_offset=float(offset)) for offset in (3, 10, 30)},
    "never": Forgetting(),
}
"""Half-lives, and powers of the number n of the user's plays since."""

HALF_LIVES = (7.0, 1.0, 2.0, 4.0, 14.0, 30.0, 90.0, 365.0, None)


# --- popularity


def _context_grid(features: Features) -> Grid:
    context = {"smoothing": (100.0, 1.0, 10_000.0), "by": _by_values(features)} if features else {}
    return {"half_life_days": HALF_LIVES, **context}


def _popularity(log: TrainingLog, _: Popularity, knobs: Knobs, counts: Any) -> Popularity:
    return Popularity(log, counts, knobs.get("smoothing", 0.0), _by(knobs))


def fallback(log: TrainingLog, knobs: Knobs) -> Popularity:
    """`FALLBACK` as the others need it."""
    counts = cell_counts(log, knobs["half_life_days"])
    return Popularity(log, counts, knobs.get("smoothing", 0.0), _by(knobs))


def _by_values(features: Features) -> tuple[str, ...]:
    """All features together, or one of several alone."""
    return ("+".join(features), *(features if len(features) > 1 else ()))


def _by(knobs: Knobs) -> Features:
    return tuple(knobs["by"].split("+")) if "by" in knobs else ()


# --- a user's own items, and their neighbours


def _own_history_grid(features: Features) -> Grid:
    context = {"context_weight": (0.8, 0.0, 0.5, 0.9, 1.0), "by": _by_values(features)}
    return {"forgetting": tuple(FORGETTING), **(context if features else {})}


def _forgetting(knobs: Knobs) -> Forgetting:
    kind, weight = FORGETTING[knobs["forgetting"]], knobs.get("context_weight", 0.0)
    return replace(kind, context_weight=weight, by=_by(knobs))


def _own_history(log: TrainingLog, popular: Popularity, knobs: Knobs, _: Any) -> OwnHistory:
    return OwnHistory(log, popular, _forgetting(knobs))


def _knn_grid(features: Features) -> Grid:
    context = {"context_weight": (0.8, 0.0, 1.0), "by": _by_values(features)}
    return {
        "similarity_half_life_days": (30.0, 10.0, None),
        "shrink": (10.0, 30.0, 3.0),
        "neighbours": (300, 100, 30),
        "forgetting": ("14 days", "7 days", "30 days", "1 / (n + 10)", "never"),
        **(context if features else {}),
    }


def _fit_knn(log: TrainingLog, knobs: Knobs) -> Any:
    most = max(30, min(300, MOST_SIMILARITIES // log.width))
    return fit_neighbours(log, knobs["similarity_half_life_days"], knobs["shrink"], most)


def _knn(log: TrainingLog, popular: Popularity, knobs: Knobs, neighbours: Any) -> ItemKnn:
    nearest = strongest(neighbours, knobs["neighbours"])
    return ItemKnn(log, popular, nearest, _forgetting(knobs))


# --- linear models and factorisations


def _ease_note(log: TrainingLog, model: EaseModel) -> str | None:
    if len(model.items) == log.schema.item_count:
        return None
    return f"models the {len(model.items):,} items played most, of {log.schema.item_count:,}"


def _fit_ials(log: TrainingLog, knobs: Knobs) -> Factors:
    matrix = log.matrix(knobs["half_life_days"])
    # both in units of alpha, so that one may be chosen after the other
    regularization = knobs["regularization"] * knobs["alpha"]
    return fit_ials(matrix, knobs["factors"], knobs["alpha"], regularization)


def _fit_bpr(log: TrainingLog, knobs: Knobs) -> Factors:
    matrix = log.last_days(knobs["last_days"]).user_items
    iterations = min(knobs["iterations"], 1 + BPR_SAMPLES // max(matrix.nnz, 1))
    return fit_bpr(matrix, 64, 0.05, knobs["regularization"], iterations)


def _bpr(log: TrainingLog, popular: Popularity, knobs: Knobs, factors: Factors) -> FactorScorer:
    recent = log.last_days(knobs["last_days"])
    return FactorScorer(recent, popular, factors, knobs["log_popularity_weight"])


# --- the seed; JAX and Keras start slowly, so they do when asked for


def _fit_seed(log: TrainingLog, knobs: Knobs) -> Any:
    from antiphon.baselines.seed_recipe import train_seed

    return train_seed(log, most_steps=knobs["most_steps"])


def _seed(log: TrainingLog, _: Popularity, __: Knobs, tables: Any) -> Scorer:
    from antiphon.baselines.seed_recipe import SeedScorer

    return SeedScorer(log, tables)


def _load_seed(arrays: Mapping[str, np.ndarray]) -> Any:
    from antiphon.baselines.seed_recipe import SeedTables

    return SeedTables.of_arrays(arrays)


def _seed_note(log: TrainingLog, tables: Any) -> str:
    steps, size = len(tables.loss), min(8192, log.count)
    if not steps:
        return "untrained: the log is empty"
    epochs = steps * size / log.count
    return (
        f"{steps} steps of {size:,} examples ({epochs:.2g} epochs); loss from "
        f"{tables.loss[0]:.4f} to {tables.loss[-1]:.4f}, chance is {np.log(size):.4f}"
    )


RECIPES: Mapping[str, Recipe] = {
    "random": Recipe(
        grid=lambda _: {},
        scorer=lambda log, *_: RandomLists(log),
    ),
    "most_popular": Recipe(
        grid=lambda _: {},
        fit=lambda log, _: cell_counts(log, None),
        scorer=_popularity,
    ),
    "decayed_popular": Recipe(
        grid=lambda _: {"half_life_days": HALF_LIVES},
        fit=lambda log, knobs: cell_counts(log, knobs["half_life_days"]),
        slow=("half_life_days",),
        scorer=_popularity,
        exhaustive=True,
    ),
    "context_popular": Recipe(
        grid=_context_grid,
        fit=lambda log, knobs: cell_counts(log, knobs["half_life_days"]),
        slow=("half_life_days",),
        scorer=_popularity,
        exhaustive=True,
    ),
    "own_history": Recipe(grid=_own_history_grid, scorer=_own_history),
    "item_knn": Recipe(
        grid=_knn_grid,
        fit=_fit_knn,
        slow=("similarity_half_life_days", "shrink"),
        scorer=_knn,
    ),
    "ials": Recipe(
        grid=lambda _: {
            "half_life_days": (30.0, 10.0, 4.0, None),
            "factors": (64, 128),
            "alpha": (10.0, 3.0, 30.0),
            "regularization": (3.0, 1.0, 10.0),
        },
        fit=_fit_ials,
        slow=("half_life_days", "factors", "alpha", "regularization"),
        scorer=lambda log, popular, _, factors: FactorScorer(log, popular, factors),
        load=Factors.of_arrays,
        needs_implicit=True,
    ),
    "bpr": Recipe(
        grid=lambda _: {
            "last_days": (None, 60.0),
            "regularization": (0.01, 0.03),
            "iterations": (50,),
            "log_popularity_weight": (1.0, 0.5, 0.0),
        },
        fit=_fit_bpr,
        slow=("last_days", "regularization", "iterations"),
        scorer=_bpr,
        load=Factors.of_arrays,
        needs_implicit=True,
    ),
    "ease": Recipe(
        grid=lambda _: {
            "half_life_days": (30.0, 10.0, None),
            "regularization": (100.0, 30.0, 300.0),
        },
        fit=lambda log, knobs: fit_ease(log, knobs["half_life_days"], knobs["regularization"]),
        slow=("half_life_days", "regularization"),
        scorer=lambda log, popular, _, model: EaseScorer(log, popular, model),
        note=_ease_note,
    ),
    # of more steps nothing would come: the example's own 725 took its loss from 9.0109 to 9.0107
    "seed": Recipe(
        grid=lambda _: {"most_steps": (20,)},
        fit=_fit_seed,
        slow=("most_steps",),
        while_tuning={"most_steps": 2},
        scorer=_seed,
        load=_load_seed,
        note=_seed_note,
    ),
}

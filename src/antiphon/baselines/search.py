"""Choosing knobs: which settings to try, and how good each is on a window."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from antiphon.baselines.fitted import Knobs, lists_of_chunks
from antiphon.baselines.history import TrainingLog
from antiphon.baselines.popular import Popularity
from antiphon.baselines.recipe import Grid, Recipe
from antiphon.metrics import TargetIndex, target_metrics
from antiphon.windows import Window

__all__ = ["Trial", "Tried", "search"]

K = 100
MODELS_KEPT = 2


@dataclass(frozen=True)
class Tried:
    """Knobs and what they came to."""

    knobs: Knobs
    validation: float


def search(recipe: Recipe, grid: Grid, judge: Callable[[Knobs], Tried]) -> Iterator[Tried]:
    """Try settings, each once.

    All of them where the recipe is exhaustive. Else one knob after another, the others at the best
    so far; then, once more, those that don't need another fit.
    """
    if recipe.exhaustive:
        for values in itertools.product(*grid.values()):
            yield judge(dict(zip(grid, values, strict=True)))
        return
    at = {name: values[0] for name, values in grid.items()}
    best = judge(at)
    yield best
    seen = [at]
    quick = [name for name in grid if name not in recipe.slow]
    for name in [*recipe.slow, *quick, *quick]:
        for value in grid[name]:
            knobs = {**at, name: value}
            if knobs in seen:
                continue
            seen.append(knobs)
            tried = judge(knobs)
            yield tried
            if tried.validation > best.validation:
                best = tried
        at = {key: best.knobs[key] for key in grid}


class Trial:
    """Judges settings on a window by ndcg@100 as the Yambda paper has it.

    Args:
        window: who is asked what, and what may be known.
        excludes: what `exclude_heard` may be; of equally good ones the first is chosen.
    """

    def __init__(self, window: Window, excludes: tuple[bool, ...]) -> None:
        self.window, self.excludes = window, excludes
        self.log = TrainingLog(window.known, window.schema)
        self._index = TargetIndex(window.targets)
        self._models: OrderedDict[object, Any] = OrderedDict()

    def judge(self, recipe: Recipe, popular: Popularity, knobs: Knobs) -> Tried:
        """Fit with these knobs and look how well it ranks, with what was heard and without."""
        model = self._model(recipe, {**knobs, **recipe.while_tuning})
        scorer = recipe.scorer(self.log, popular, knobs, model)
        chunks = list(lists_of_chunks(scorer, self.log, self.window.queries, K, self.excludes))
        tried = [
            Tried(
                {**knobs, "exclude_heard": exclude},
                self._ndcg(np.concatenate([chunk[exclude][0] for chunk in chunks])),
            )
            for exclude in self.excludes
        ]
        return max(tried, key=lambda one: one.validation)

    def _model(self, recipe: Recipe, knobs: Knobs) -> Any:
        key = (id(recipe), *(knobs[name] for name in recipe.slow))
        if key not in self._models:
            while len(self._models) >= MODELS_KEPT:
                self._models.popitem(last=False)
            self._models[key] = recipe.fit(self.log, knobs)
        self._models.move_to_end(key)
        return self._models[key]

    def _ndcg(self, lists: Any) -> float:
        wanted = np.ones(len(self.window.targets.item_number), bool)
        hits = self._index.hits(lists)
        figures = target_metrics(hits, self._index, wanted, "yambda-paper", (K,))
        return figures.value()[f"ndcg_at_{K}"]

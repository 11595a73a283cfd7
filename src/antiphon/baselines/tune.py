"""Every baseline with its few knobs tuned on the validation window, then fitted on all of training.

Whether to leave out what a user has had is a knob of each. Knobs are chosen by ndcg@100 as the
Yambda paper defines it (see `protocols.yambda_paper`), of equal ones the first tried.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from antiphon.baselines.factors import has_implicit, require_implicit
from antiphon.baselines.fitted import FittedBaseline, Knobs
from antiphon.baselines.history import TrainingLog
from antiphon.baselines.popular import Popularity, cell_counts
from antiphon.baselines.recipe import Recipe
from antiphon.baselines.recipes import FALLBACK, RECIPES, fallback
from antiphon.baselines.search import Trial, search
from antiphon.baselines.store import Store, code_version
from antiphon.errors import EvaluationError, did_you_mean
from antiphon.prepared import Prepared
from antiphon.sections import EvaluateSection
from antiphon.windows import validation_window

__all__ = ["TUNING_USERS", "Progress", "tune_baselines"]

TUNING_USERS = 3000
"""Users of the validation window to tune on, chosen by a hash; the figures choose knobs only."""

Progress = Callable[[str], None]
"""Told in a few words what is being done."""


def tune_baselines(
    prepared: Prepared,
    section: EvaluateSection,
    *,
    names: Sequence[str] | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, FittedBaseline]:
    """Tune and fit baselines.

    Args:
        prepared: the log. Tuning knows its events up to the gap before the validation window and
            is judged by those in it; afterwards all training events are fitted.
        section: what a query is. Where it leaves out what was heard, no baseline is tuned
            otherwise.
        names: of `RECIPES`; by default all. Without the library `implicit`, "ials" and "bpr" are
            then left out.
        cache: folder for what was found, by the hash of all it depends on; None keeps nothing.
        progress: told what is being done.

    Returns:
        Fitted baselines by name, in the order of `names`.

    Raises:
        EvaluationError: there is no such baseline, or its library isn't installed.
    """
    chosen = _checked(names)
    store = Store(cache, [prepared.stage.hash, section.model_dump(mode="json"), code_version()])
    tuner = _Tuner(prepared, section, store, progress or _silent)
    return {name: tuner.fitted(name) for name in chosen}


def _silent(words: str) -> None:
    """Tells nobody."""


def _checked(names: Sequence[str] | None) -> Sequence[str]:
    if names is None:
        return [name for name, recipe in RECIPES.items() if _usable(recipe)]
    for name in names:
        if name not in RECIPES:
            raise EvaluationError(
                "there is no such baseline",
                received=name,
                allowed=", ".join(RECIPES),
                hint=did_you_mean(name, RECIPES),
            )
        if not _usable(RECIPES[name]):
            require_implicit(name)
    return names


def _usable(recipe: Recipe) -> bool:
    return has_implicit() or not recipe.needs_implicit


@dataclass(frozen=True)
class _Tuned:
    knobs: Knobs
    validation: float | None
    tried: int


class _Tuner:
    """Tunes one baseline after another on the same queries, and fits them."""

    def __init__(
        self, prepared: Prepared, section: EvaluateSection, store: Store, progress: Progress
    ) -> None:
        self.store, self.progress = store, progress
        self.log = TrainingLog(prepared.events, prepared.schema)
        self.excludes = (True,) if section.exclude_heard else (False, True)
        self.trial = self._trial(prepared, section)
        self.fallback: _Tuned | None = None
        self.fallback = self._tune(FALLBACK)

    def _trial(self, prepared: Prepared, section: EvaluateSection) -> Trial | None:
        most = min(section.max_users or TUNING_USERS, TUNING_USERS)
        section = section.model_copy(update={"max_users": most})
        try:
            return Trial(validation_window(prepared, section), self.excludes)
        except EvaluationError:  # nobody to be judged by: defaults must do
            return None

    def fitted(self, name: str) -> FittedBaseline:
        """The named baseline, fitted on all of training."""
        recipe = RECIPES[name]
        tuned = self.fallback if self.fallback and name == FALLBACK else self._tune(name)
        slow = {key: tuned.knobs[key] for key in recipe.slow}
        model = None
        if recipe.load and (arrays := self.store.read_arrays(name, slow)):
            model = recipe.load(arrays)
        if model is None:
            self.progress(f"fitting {name}")
            model = recipe.fit(self.log, tuned.knobs)
            if recipe.load:
                self.store.write_arrays(name, slow, model.arrays())
        return FittedBaseline(
            name=name,
            knobs=tuned.knobs,
            scorer=recipe.scorer(self.log, self._popular(self.log), tuned.knobs, model),
            log=self.log,
            validation=tuned.validation,
            tried=tuned.tried,
            note=recipe.note(self.log, model),
        )

    def _popular(self, log: TrainingLog) -> Popularity:
        """What fills up lists: the tuned fallback, or plain popularity while that is tuned."""
        if self.fallback is None:
            return Popularity(log, cell_counts(log, None))
        return fallback(log, self.fallback.knobs)

    def _tune(self, name: str) -> _Tuned:
        recipe = RECIPES[name]
        grid = recipe.grid(self.log.features)
        depends_on = [grid, self.fallback and self.fallback.knobs]
        if kept := self.store.read(name, depends_on):
            return _Tuned(kept["knobs"], kept["validation"], len(kept["tried"]))
        defaults = {key: values[0] for key, values in grid.items()}
        best: Knobs = {**defaults, "exclude_heard": self.excludes[0]}
        validation: float | None = None
        tried = []
        self.progress(f"tuning {name}")
        if self.trial:
            judge = partial(self.trial.judge, recipe, self._popular(self.trial.log))
            for one in search(recipe, grid, judge):
                tried.append({"knobs": one.knobs, "ndcg_at_100": one.validation})
                self.progress(f"tuning {name}: {len(tried)} settings tried")
                if validation is None or one.validation > validation:
                    best, validation = one.knobs, one.validation
        kept = {"knobs": best, "validation": validation, "tried": tried}
        self.store.write(name, depends_on, kept)
        return _Tuned(best, validation, len(tried))

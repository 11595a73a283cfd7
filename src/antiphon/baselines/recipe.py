"""What tuning must know of a kind of baseline: its few knobs, and how it is fitted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from antiphon.baselines.fitted import Knobs, Scorer
from antiphon.baselines.history import TrainingLog
from antiphon.baselines.popular import Popularity

__all__ = ["Grid", "Recipe"]

Grid = Mapping[str, tuple[Any, ...]]


def _nothing(log: TrainingLog, knobs: Knobs) -> None:
    """Fits nothing."""


def _no_note(log: TrainingLog, fitted: Any) -> str | None:  # noqa: ARG001
    """Has nothing to say."""
    return None


@dataclass(frozen=True)
class Recipe:
    """One kind of baseline.

    Attributes:
        grid: from the names of a log's categorical context features, the values of each knob; the
            first of them is the default.
        scorer: from a log, what is popular in it, knobs and what was fitted, something that
            ranks; cheap.
        fit: from a log and knobs, what is slow to have.
        slow: the knobs that `fit` reads.
        while_tuning: other values of knobs that cost time and decide nothing.
        exhaustive: whether every combination is tried, or one knob after another.
        load: what was fitted, from its `arrays()` kept on disk; None where fitting is quick.
        note: what a reader of its figures must know, from a log and what was fitted.
        needs_implicit: whether it takes the library of that name.
    """

    grid: Callable[[tuple[str, ...]], Grid]
    scorer: Callable[[TrainingLog, Popularity, Knobs, Any], Scorer]
    fit: Callable[[TrainingLog, Knobs], Any] = _nothing
    slow: tuple[str, ...] = ()
    while_tuning: Knobs = field(default_factory=dict)
    exhaustive: bool = False
    load: Callable[[Mapping[str, np.ndarray]], Any] | None = None
    note: Callable[[TrainingLog, Any], str | None] = _no_note
    needs_implicit: bool = False

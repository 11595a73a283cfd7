"""How good a model is on the validation window while training goes on: has it ceased to gain?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from antiphon.model import TwoTower

__all__ = ["Validation"]


@dataclass
class Validation:
    """Looks every so many steps, until there has been nothing better for a while.

    Attributes:
        score: of a model whose state is in its variables; higher is better.
        every: steps between two looks.
        patience: looks without a new best one, after which training may end.
        seen: the score of each look.
    """

    score: Callable[[TwoTower], float]
    every: int
    patience: int
    seen: list[float] = field(default_factory=list)

    @property
    def best(self) -> int:
        """The first look, from 1, with the highest score."""
        return int(np.argmax(self.seen)) + 1

    def due(self, step: int) -> bool:
        """Whether to look after this step, from 1."""
        return step % self.every == 0

    def look(self, model: TwoTower) -> bool:
        """Work out the score of a model as it is now; whether training may end."""
        self.seen.append(self.score(model))
        return len(self.seen) - self.best >= self.patience

"""The training step of a model, compiled, for who wants to stop between two steps and look.

`keras.Model.fit` does the same: it jits `train_step` and gives the state away to the next one.
"""

from __future__ import annotations

from typing import Any

import jax

from antiphon.batches import Batch
from antiphon.model import TwoTower

__all__ = ["OwnStep"]


class OwnStep:
    """Takes a model from step to step.

    What the model's variables hold meanwhile is gone, until `sync`.

    Args:
        model: to train.
        batch: one like all others: what is compiled is of its shapes.

    Attributes:
        program: the step as stated, before the compiler sees it (a jaxpr).
        compiled: what became of it.
    """

    def __init__(self, model: TwoTower, batch: Batch) -> None:
        self._variables = (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        )
        self.state: Any = tuple([v.value for v in some] for some in self._variables)
        self.program = jax.make_jaxpr(model.train_step)(self.state, (batch,)).jaxpr
        jitted = jax.jit(model.train_step, donate_argnums=0)
        self.compiled: Any = jitted.lower(self.state, (batch,)).compile()

    def __call__(self, batch: Batch) -> dict[str, Any]:
        """Do a step, all of it; the mean loss, and that of chance."""
        logs, self.state = self.compiled(self.state, (batch,))
        jax.block_until_ready((logs, self.state))
        return logs

    def sync(self) -> None:
        """Let the model's variables have the state that was reached."""
        for variables, values in zip(self._variables, self.state, strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)

"""A model's training step, compiled, and its state on the way from step to step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float32

from antiphon.batches import Batch
from antiphon.model import TwoTower

__all__ = ["Stepper"]


class Stepper:
    """Takes a model from step to step on one device or several.

    Each device has all of the state and its share of every batch. A step is given the state to
    keep (XLA's donation), so that tables are written in place; what the variables of the model
    hold meanwhile is gone, until `sync`.

    Args:
        model: to train.
        devices: to do it on.
    """

    def __init__(self, model: TwoTower, devices: Sequence[jax.Device]) -> None:
        self.model = model
        mesh = Mesh(np.array(devices), ("batch",))
        everywhere = NamedSharding(mesh, PartitionSpec())  # type: ignore[no-untyped-call]
        self._shared = NamedSharding(mesh, PartitionSpec("batch"))  # type: ignore[no-untyped-call]
        # donated here too: otherwise one device would hold all tables twice for a moment
        self._state: Any = tuple(
            [jax.device_put(v.value, everywhere, donate=True) for v in variables]
            for variables in self._variables()
        )
        self._step = jax.jit(
            lambda state, batch: model.train_step(state, (batch,)),
            donate_argnums=0,
            out_shardings=(None, everywhere),
        )

    def step(self, batch: Batch) -> dict[str, Float32[Array, ""]]:
        """Start a step; its mean loss and that of chance, which may not be computed yet."""
        logs, self._state = self._step(self._state, jax.device_put(batch, self._shared))
        return logs

    def sync(self) -> None:
        """Let the model's variables have the state that was reached."""
        for variables, values in zip(self._variables(), self._state, strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)

    def _variables(self) -> tuple[list[Any], ...]:
        model = self.model
        return (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        )

"""The loss on the validation window while training goes on: has it ceased to fall?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from antiphon.batches import Batch, Batches
from antiphon.catalogue import Catalogue
from antiphon.config import Config
from antiphon.prepared import Prepared
from antiphon.windows import Window

__all__ = ["Judged", "ValidationLoss", "validation_batches"]

BATCHES = 32
"""Some thirty thousand targets: their mean hardly moves from one order of drawing to another."""


@runtime_checkable
class Judged(Protocol):
    """What a `TwoTower` is here."""

    def mean_loss(self, batch: Batch) -> float:
        """The loss of an example of a batch, in nats."""
        ...


@dataclass
class ValidationLoss:
    """Looked at every so many steps, until it has not been less for a while.

    Attributes:
        batches: of the validation window, the same every time.
        every: steps between two looks.
        patience: looks without a new least one, after which training may end.
        seen: the mean loss of an example at each look, in nats.
    """

    batches: Sequence[Batch]
    every: int
    patience: int
    seen: list[float] = field(default_factory=list)

    @property
    def best(self) -> int:
        """The look, from 1, with the least loss."""
        return int(np.argmin(self.seen)) + 1

    def due(self, step: int) -> bool:
        """Whether to look after this step, from 1."""
        return step % self.every == 0

    def look(self, model: Judged) -> bool:
        """Work out the loss of a model as it is now; whether training may end."""
        self.seen.append(float(np.mean([model.mean_loss(batch) for batch in self.batches])))
        return len(self.seen) - self.best >= self.patience


def validation_batches(config: Config, prepared: Prepared, window: Window) -> list[Batch]:
    """What the window's users play in it, asked at its start, of users as they are known by then.

    Nothing is hidden as in training: users and contexts are shown.

    Args:
        config: the sections `model` and `train` are used.
        prepared: the log.
        window: the validation window.
    """
    shown = {"user_dropout": 0.0, "context_dropout": 0.0, "id_dropout": 0.0}
    batches = Batches(
        prepared.events,
        Catalogue.of(prepared, window.item_counts),
        prepared.schema,
        config.model.model_copy(update=shown),
        config.train.model_copy(update={"run_share": 0.0, "stranger_share": 0.0}),
        moment_s=prepared.schema.validation_start_s,
    )
    return [batches.batch(number) for number in range(BATCHES)]

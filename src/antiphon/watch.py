"""What happened in training: losses beside chance, time, and an end where nothing is learned."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import SupportsFloat

import numpy as np

from antiphon.batches import Batch
from antiphon.errors import NonFiniteError, NotLearningError

__all__ = ["Losses", "Progress", "Training", "Watch"]

Losses = Mapping[str, SupportsFloat]
Progress = Callable[[int, int, str], None]
"""Told the step, of how many, and a few words."""

# how far below chance, in nats, the average loss must come to count as learning
MARGIN = 0.05


@dataclass
class Training:
    """How far training has come, and what happened; all of it but `steps` goes on when resumed.

    Attributes:
        steps: in all.
        done: steps done.
        examples: seen in all steps.
        seconds: spent on the steps, without compilation; the wait for the first batch counts.
        input_seconds: of these, spent waiting for batches.
        compile_seconds: spent on the first step of each process, which compiles it.
        checkpoint_seconds: in which training waited for checkpoints.
        loss, chance: means of the steps up to `step` and after the one before, in nats.
        recent: loss and chance of the steps since.
        notes: what a person should know, such as where training went on from.
    """

    steps: int
    done: int = 0
    examples: int = 0
    seconds: float = 0.0
    input_seconds: float = 0.0
    compile_seconds: float = 0.0
    checkpoint_seconds: float = 0.0
    loss: list[float] = field(default_factory=list)
    chance: list[float] = field(default_factory=list)
    step: list[int] = field(default_factory=list)
    recent: list[tuple[float, float]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Watch:
    """Keeps the losses, measures waits, reports progress, and stops a run that goes nowhere.

    Losses are read a step late: the next step needn't wait until they are computed.
    """

    def __init__(self, training: Training, chance_steps: int, progress: Progress | None) -> None:
        self.training = training
        self.chance_steps = chance_steps
        self.progress = progress
        self.every = max(1, min(50, training.steps // 20))
        self._compiling = True
        self._waited_s = 0.0
        self._unread: Losses | None = None
        self.go_on()

    def go_on(self) -> None:
        """The time since the last step, or since the watch was made, counts for nothing."""
        self._since_s = time.perf_counter()

    def timed(self, batches: Iterator[Batch]) -> Iterator[tuple[Batch]]:
        """Yield batches as `keras.Model.fit` takes them, counting the time spent waiting."""
        while True:
            asked_s = time.perf_counter()
            batch = next(batches, None)
            self._waited_s += time.perf_counter() - asked_s
            if batch is None:
                return
            yield (batch,)

    def after_step(self, losses: Losses) -> None:
        """Count the time of a step that was started; read the losses of the one before.

        The first step of a process is compiled before it is started: that is kept apart.

        Raises:
            NonFiniteError: a loss isn't finite.
            NotLearningError: `chance_steps` are done and the loss is at chance.
        """
        self.catch_up()
        self._unread = losses
        training = self.training
        took_s, waited_s = time.perf_counter() - self._since_s, self._waited_s
        self._waited_s = 0.0
        self.go_on()
        if self._compiling:
            training.compile_seconds += took_s - waited_s
            took_s = waited_s
        self._compiling = False
        training.seconds += took_s
        training.input_seconds += waited_s

    def catch_up(self) -> None:
        """Wait for the losses of the last step and read them; raises as `after_step` does."""
        losses, self._unread = self._unread, None
        if losses is None:
            return
        self.training.done += 1
        self._read(self.training.done, (float(losses["loss"]), float(losses["chance"])))

    def _read(self, step: int, losses: tuple[float, float]) -> None:
        if not math.isfinite(losses[0]):
            raise NonFiniteError(
                f"the loss became {losses[0]} at step {step}",
                hint="lower train.learning_rate or train.dense_learning_rate; look for extreme "
                "values in numeric or vector features",
            )
        self.training.recent.append(losses)
        if step % self.every == 0 or step in (self.training.steps, self.chance_steps):
            self._report(step)
        if step == self.chance_steps:
            self._check_learning(step)

    def _report(self, step: int) -> None:
        loss, chance = np.mean(self.training.recent, axis=0)
        self.training.recent.clear()
        self.training.step.append(step)
        self.training.loss.append(float(loss))
        self.training.chance.append(float(chance))
        if self.progress:
            self.progress(step, self.training.steps, f"loss {loss:.3f}, chance {chance:.3f}")

    def _check_learning(self, step: int) -> None:
        loss, chance = self.training.loss[-1], self.training.chance[-1]
        if loss > chance - MARGIN:
            raise NotLearningError(
                f"after {step} steps the loss has not left chance",
                received=f"loss {loss:.4f}, chance {chance:.4f}",
                allowed=f"a loss below chance by {MARGIN} at least",
                hint="raise train.learning_rate, check that log.positive selects what people "
                "chose, or give it more steps with train.chance_steps",
            )

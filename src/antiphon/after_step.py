"""What follows a step inside `keras.Model.fit`: losses are read, a checkpoint may be written."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import SupportsFloat

import keras

from antiphon.checkpoints import Checkpoints
from antiphon.errors import StoppedError
from antiphon.model import TwoTower
from antiphon.watch import Watch

__all__ = ["AfterStep"]


class AfterStep(keras.callbacks.CallbackList):
    """Tells the watch of each step; writes a checkpoint where one is due, or a stop is asked for.

    In place of Keras's own list, which waits for the losses of each step before the next one may
    be started, or else calls back from threads, in any order.

    Args:
        model: that is trained.
        watch: reads the losses, a step late.
        checkpoints: where to write; without, a stop can't be met.
        stop: set when training should end.
    """

    def __init__(
        self,
        model: TwoTower,
        watch: Watch,
        checkpoints: Checkpoints | None,
        stop: threading.Event,
    ) -> None:
        super().__init__(model=model, add_history=True)
        self.watch = watch
        self.checkpoints = checkpoints
        self.stop = stop

    def on_train_batch_end(self, batch: int, logs: Mapping[str, SupportsFloat]) -> None:  # noqa: ARG002
        """Raises what the watch raises, and StoppedError once the checkpoint asked for is whole."""
        self.watch.after_step(logs)
        if self.checkpoints and (self.stop.is_set() or self.checkpoints.due()):
            self.watch.catch_up()
            self.model.jax_state_sync()
            self.checkpoints.write(self.model, self.watch.training)
            if self.stop.is_set():
                self.checkpoints.wait()
                raise _stopped(self.watch)
            self.watch.go_on()


def _stopped(watch: Watch) -> StoppedError:
    return StoppedError(
        f"training was asked to stop, at step {watch.training.done} of {watch.training.steps}",
        hint="a checkpoint is written: run the same command again to go on from there",
    )

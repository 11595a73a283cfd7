"""What follows a step inside `keras.Model.fit`: losses are read, a checkpoint may be written."""

from __future__ import annotations

import threading

import keras

from antiphon.checkpoints import Checkpoints
from antiphon.errors import StoppedError
from antiphon.memory import give_back_freed_memory
from antiphon.model import TwoTower
from antiphon.validation import Validation
from antiphon.watch import Losses, Watch

__all__ = ["AfterStep"]

WRITE, STOP = 1, 2
"""A checkpoint, and an end after it."""


class AfterStep(keras.callbacks.CallbackList):
    """Tells the watch of each step; writes a checkpoint where one is due, or a stop is asked for.

    In place of Keras's own list, which waits for the losses of each step before the next one may
    be started, or else calls back from threads, in any order.

    Args:
        model: that is trained.
        watch: reads the losses, a step late.
        checkpoints: where to write; without, a stop can't be met.
        stop: set when training should end.
        validation: looks at the model now and then, and may end training; of one that begins anew.
    """

    def __init__(
        self,
        model: TwoTower,
        watch: Watch,
        checkpoints: Checkpoints | None,
        stop: threading.Event,
        validation: Validation | None = None,
    ) -> None:
        super().__init__(model=model, add_history=True)
        self.watch = watch
        self.checkpoints = checkpoints
        self.stop = stop
        self.validation = validation
        self._earlier: Losses = {}

    def wish(self) -> int:
        """What this process would do after a step: `STOP`, `WRITE`, or 0 to go on."""
        if self.stop.is_set():
            return STOP
        return WRITE * int(self.checkpoints is not None and self.checkpoints.due())

    def on_train_batch_end(self, batch: int, logs: Losses) -> None:
        """Raises what the watch raises, and StoppedError once the checkpoint asked for is whole."""
        self.watch.after_step(logs)
        if not self._earlier:
            # what the step's compiler took, a twentieth of all at ten million items
            give_back_freed_memory()
        # several processes do what one of them wished a step ago, when all could be told
        wish = int(float(self._earlier.get("wish", 0))) if "wish" in logs else self.wish()
        self._earlier = logs
        if self.checkpoints and wish:
            self.watch.catch_up()
            self.model.jax_state_sync()
            self.checkpoints.write(self.model, self.watch.training)
            if wish == STOP:
                self.checkpoints.wait()
                raise _stopped(self.watch)
            self.watch.go_on()
        if self.validation and self.validation.due(batch + 1):
            self.watch.catch_up()
            self.model.jax_state_sync()
            self.model.stop_training = self.validation.look(self.model)
            self.watch.go_on()


def _stopped(watch: Watch) -> StoppedError:
    return StoppedError(
        f"training was asked to stop, at step {watch.training.done} of {watch.training.steps}",
        hint="a checkpoint is written: run the same command again to go on from there",
    )

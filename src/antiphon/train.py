"""STAGE  prepared log -> trained model.

model/
  tables/NAME.npy               embedding tables: user, item, item.FEATURE
  tables/NAME.accumulator.npy   their Adagrad accumulators
  dense.npz                     all other weights, by path
  candidates.npy                candidate embeddings by item number, trends last
  training.json                 loss beside chance, step by step
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import jax
import keras
import numpy as np
from jaxtyping import Int64

from antiphon.artifacts import write_json, write_stage
from antiphon.batches import Batch, Batches
from antiphon.catalogue import Catalogue
from antiphon.config import Config
from antiphon.errors import ConfigError, NonFiniteError, NotLearningError
from antiphon.memory import freed_memory_kept
from antiphon.model import TwoTower
from antiphon.model_files import save
from antiphon.prefetch import prefetch
from antiphon.prepared import Events, Prepared
from antiphon.schema import Schema
from antiphon.trend import Trend

__all__ = ["Training", "train", "train_model", "training_inputs"]

Progress = Callable[[int, int, str], None]

# how far below chance, in nats, the average loss must come to count as learning
MARGIN = 0.05


def training_inputs(config: Config) -> object:
    """What determines the result, besides the prepared log."""
    return {
        "model": config.model.model_dump(mode="json"),
        "train": config.train.model_dump(mode="json"),
        "test_days": config.split.test_days,
    }


def train(config: Config, prepared: Prepared, out: Path, progress: Progress | None = None) -> None:
    """Train on all events of the prepared log and write the model's folder.

    Raises:
        NotLearningError: the loss is still at chance after `train.chance_steps` steps.
        NonFiniteError: the loss became NaN or infinite.
    """
    inputs = {"prepared": prepared.stage}
    with write_stage(out, made_from=training_inputs(config), inputs=inputs) as folder:
        model, catalogue, training = train_model(
            config, prepared, prepared.events, prepared.item_counts(), progress
        )
        now_s = prepared.schema.held_out_start_s
        half_lives_s = trend_half_lives_s(config, prepared.schema)
        trend = Trend.as_of(prepared.events, catalogue.rows, half_lives_s, now_s)
        save(model, catalogue, trend, now_s, folder)
        write_json(folder / "training.json", asdict(training))


@dataclass
class Training:
    """What happened: the mean loss and chance of every `every` steps, in nats."""

    steps: int
    examples: int = 0
    seconds: float = 0.0
    input_seconds: float = 0.0
    loss: list[float] = field(default_factory=list)
    chance: list[float] = field(default_factory=list)
    step: list[int] = field(default_factory=list)


def train_model(
    config: Config,
    prepared: Prepared,
    events: Events,
    counts: Int64[np.ndarray, " items"],
    progress: Progress | None = None,
    devices: Sequence[jax.Device] | None = None,
) -> tuple[TwoTower, Catalogue, Training]:
    """Train on the events in sight.

    Args:
        config: the sections `model`, `train` and `split` are used.
        prepared: the log.
        events: those of its training events that may be known.
        counts: how often each item number occurs among them.
        progress: called with step, steps and a few words, now and then.
        devices: by default all that JAX sees; each takes its share of every batch.
    """
    devices = devices or jax.devices()
    _check_divisible(config, len(devices))
    catalogue = Catalogue.of(prepared, counts)
    batches = Batches(
        events,
        catalogue,
        prepared.schema,
        config.model,
        config.train,
        horizon_s=_horizon_s(prepared.schema),
        devices=len(devices),
    )
    steps = max(1, round(config.train.epochs * batches.steps_per_epoch))
    training = Training(steps)
    watch = _Watch(training, config.train.chance_steps, progress)
    distribution = (
        keras.distribution.DataParallel(devices=list(devices)) if len(devices) > 1 else None
    )
    with freed_memory_kept(), _distributed(distribution):
        model = TwoTower(prepared.schema, config.model, config.train)
        model.fit(
            watch.timed(prefetch(batches.batch, 0, steps)),
            steps_per_epoch=steps,
            epochs=1,
            shuffle=False,
            verbose=0,
            callbacks=[watch],
        )
    training.examples = steps * batches.queries * config.train.targets_per_query
    return model, catalogue, training


def _check_divisible(config: Config, devices: int) -> None:
    """Every device takes the same share of queries and of negatives."""
    section = config.train
    unit = section.targets_per_query * devices
    for key, size, multiple in (
        ("train.global_batch_size", section.global_batch_size, unit),
        ("train.sampled_negatives", section.sampled_negatives, devices),
    ):
        if size % multiple:
            raise ConfigError(
                f"{key} can't be shared evenly by {devices} devices",
                received=size,
                allowed=f"a multiple of {multiple} (targets_per_query times devices)"
                if multiple == unit
                else f"a multiple of {multiple}",
                hint=f"--set {key}={-(-size // multiple) * multiple}",
            )


class _Watch(keras.callbacks.Callback):
    """Keeps the losses, reports progress, and stops a run that goes nowhere."""

    # Keras then calls back from threads of its own, in any order, and doesn't wait for results.
    async_safe = True

    def __init__(self, training: Training, chance_steps: int, progress: Progress | None) -> None:
        super().__init__()
        self.training = training
        self.chance_steps = chance_steps
        self.progress = progress
        self.every = max(1, min(50, training.steps // 20))
        self._lock = threading.Lock()
        self._waiting: dict[int, tuple[float, float]] = {}
        self._recent: list[tuple[float, float]] = []
        self._step = 0
        self._started = time.perf_counter()

    def timed(self, batches: Iterator[Batch]) -> Iterator[tuple[Batch]]:
        """Count the time that training waits for its next batch."""
        while True:
            asked = time.perf_counter()
            batch = next(batches, None)
            self.training.input_seconds += time.perf_counter() - asked
            if batch is None:
                return
            yield (batch,)

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        with self._lock:
            self._waiting[batch + 1] = (float(logs["loss"]), float(logs["chance"]))
            while (losses := self._waiting.pop(self._step + 1, None)) is not None:
                self._step += 1
                self._after_step(self._step, losses)

    def _after_step(self, step: int, losses: tuple[float, float]) -> None:
        if not math.isfinite(losses[0]):
            raise NonFiniteError(
                f"the loss became {losses[0]} at step {step}",
                hint="lower train.learning_rate or train.dense_learning_rate; look for extreme "
                "values in numeric or vector features",
            )
        self._recent.append(losses)
        if step % self.every == 0 or step in (self.training.steps, self.chance_steps):
            self._report(step)
        if step == self.chance_steps:
            self._check_learning(step)

    def _report(self, step: int) -> None:
        loss, chance = np.mean(self._recent, axis=0)
        self._recent.clear()
        self.training.step.append(step)
        self.training.loss.append(float(loss))
        self.training.chance.append(float(chance))
        self.training.seconds = time.perf_counter() - self._started
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


def _horizon_s(schema: Schema) -> int:
    """A query is about what follows it for as long as the test window is."""
    return schema.held_out_end_s - schema.held_out_start_s


def trend_half_lives_s(config: Config, schema: Schema) -> list[float]:
    """The config has them in horizons."""
    return [_horizon_s(schema) * half_life for half_life in config.model.trend_half_lives]


@contextlib.contextmanager
def _distributed(distribution: keras.distribution.DataParallel | None) -> Iterator[None]:
    with distribution.scope() if distribution else contextlib.nullcontext():
        yield

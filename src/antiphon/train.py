"""STAGE  prepared log -> trained model.

model/
  tables/NAME.npy               embedding tables: user, item, item.FEATURE
  tables/NAME.accumulator.npy   their Adagrad accumulators
  dense.npz                     all other weights, by path
  optimizer.npz                 the state of their optimizer, by path
  candidates.npy                candidate embeddings by item number, trends last
  training.json                 loss beside chance, step by step; time spent; notes
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Int

from antiphon.after_step import AfterStep
from antiphon.artifacts import Stage, write_json, write_stage
from antiphon.batches import Batch, Batches
from antiphon.catalogue import Catalogue
from antiphon.checkpoints import Checkpoints, checkpoints_folder
from antiphon.config import Config, expand
from antiphon.errors import ConfigError
from antiphon.grow import Parent, grow
from antiphon.interrupt import asked_to_stop
from antiphon.memory import freed_memory_kept
from antiphon.model import TwoTower
from antiphon.model_files import save_candidates, save_state
from antiphon.prefetch import prefetch
from antiphon.prepared import Events, Prepared
from antiphon.processes import leads, require_same, told_of_lost_peers
from antiphon.sharding import Devices, memory_bytes, shares_rows
from antiphon.share import Share
from antiphon.tables import table_rows
from antiphon.trend import Kinds, Trend
from antiphon.validation import Validation
from antiphon.watch import Progress, Training, Watch

__all__ = ["parent_of", "train", "train_model", "training_inputs", "training_stages"]

# what doesn't determine the result, or does so by what is found there and not by its name
_NO_INPUTS = {"checkpoint_seconds", "continue_from", "early_stopping", "sharding"}


def training_inputs(config: Config) -> dict[str, Any]:
    """What determines the result, besides the prepared log."""
    return {
        "model": config.model.model_dump(mode="json"),
        "train": config.train.model_dump(mode="json", exclude=_NO_INPUTS),
        "test_days": config.split.test_days,
        # absent where training begins anew, as in models made before there was another way
        **({"continued": True} if config.train.continue_from else {}),
    }


def parent_of(config: Config) -> Parent | None:
    """The run that `train.continue_from` names.

    Raises:
        ArtifactError: it has no model, or a part of it is damaged.
        ConfigError: its config can't be read.
    """
    folder = config.train.continue_from
    return Parent.open(Path(expand(folder))) if folder else None


def training_stages(prepared: Prepared, parent: Parent | None) -> dict[str, Stage]:
    """What a model is computed from, by name."""
    return {"prepared": prepared.stage, **({"parent": parent.model} if parent else {})}


def train(config: Config, prepared: Prepared, out: Path, progress: Progress | None = None) -> None:
    """Train on all events of the prepared log and write the model's folder.

    Goes on from a checkpoint of the same training beside `out`, where there is one. Of several
    processes (`processes.py`) all call this, and number 0 writes.

    Raises:
        NotLearningError: the loss is still at chance after `train.chance_steps` steps.
        NonFiniteError: the loss became NaN or infinite.
        StoppedError: SIGTERM asked to stop; a checkpoint was written.
        PeerError: another process of the training is gone.
        ArtifactError: the disk is full, or the run to go on from is incomplete.
        ConfigError: the model to go on from differs in what can't be carried over.
    """
    parent = parent_of(config)
    made_from, inputs = training_inputs(config), training_stages(prepared, parent)
    every_s = config.train.checkpoint_seconds
    checkpoints = Checkpoints(checkpoints_folder(out), made_from, inputs, every_s, leads())
    with contextlib.ExitStack() as stack:
        stack.enter_context(told_of_lost_peers())
        folder = None
        if leads():
            folder = stack.enter_context(write_stage(out, made_from=made_from, inputs=inputs))
        model, catalogue, training = train_model(
            config,
            prepared,
            prepared.events,
            prepared.item_counts(),
            progress,
            checkpoints=checkpoints,
            parent=parent,
        )
        now_s = prepared.schema.held_out_start_s
        kinds = Kinds.of(prepared.schema, config.model)
        trend = Trend.as_of(prepared.events, catalogue.rows, kinds, now_s)
        save_state(model, folder)
        save_candidates(model, catalogue, trend, now_s, folder and folder / "candidates.npy")
        if folder:
            write_json(folder / "training.json", asdict(training))
    if leads():
        checkpoints.remove()


def train_model(
    config: Config,
    prepared: Prepared,
    events: Events,
    counts: Int[np.ndarray, " items"],
    progress: Progress | None = None,
    devices: Sequence[jax.Device] | None = None,
    checkpoints: Checkpoints | None = None,
    parent: Parent | None = None,
    validation: Validation | None = None,
) -> tuple[TwoTower, Catalogue, Training]:
    """Train on the events in sight.

    Args:
        config: the sections `model`, `train` and `split` are used.
        prepared: the log.
        events: those of its training events that may be known.
        counts: how often each item number occurs among them.
        progress: called with step, steps and a few words, now and then.
        devices: by default all that JAX sees; each takes its share of every batch.
        checkpoints: where to go on from, and where to keep how far it came; SIGTERM is then met
            by a last one.
        parent: the run whose model training goes on from, where no checkpoint has come further.
        validation: looks now and then, and may end training early.
    """
    devices = devices or jax.devices()
    _check_divisible(config, len(devices))
    share = Share(jax.process_index(), jax.process_count())
    own_devices = len(devices) // share.count
    catalogue = Catalogue.of(prepared, counts)
    batches = Batches(
        events,
        catalogue,
        prepared.schema,
        config.model,
        config.train,
        devices=own_devices,
        share=share,
    )
    training = Training(steps=config.train.steps(events.count))
    by_rows = shares_rows(
        config.train.sharding,
        len(devices),
        memory_bytes(devices),
        table_rows(prepared.schema),
        config.model.width,
    )
    with freed_memory_kept(), _shared_by(devices, by_rows), _stop_request(checkpoints) as stop:
        model = TwoTower(prepared.schema, config.model, config.train, training.steps)
        if checkpoints:
            training = checkpoints.resume(model, training)
        if parent and not training.done:
            training.notes.append(grow(model, config, prepared, parent))
        require_same("what they train", f"{training_inputs(config)} {prepared.stage.hash}")
        require_same("the checkpoint they go on from", str(training.done))
        if training.done < training.steps:
            watch = Watch(training, config.train.chance_steps, progress)
            after = AfterStep(model, watch, checkpoints, stop, validation)
            ahead = prefetch(batches.batch, training.done, training.steps)
            told = _with_wishes(ahead, after, own_devices) if share.count > 1 else ahead
            with contextlib.closing(ahead):
                model.fit(
                    watch.timed(told),
                    steps_per_epoch=training.steps - training.done,
                    shuffle=False,
                    verbose=0,
                    callbacks=after,
                )
            watch.catch_up()
    training.examples = training.steps * config.train.global_batch_size
    return model, catalogue, training


def _with_wishes(batches: Iterator[Batch], after: AfterStep, devices: int) -> Iterator[Batch]:
    """What this process wishes goes with its part of a batch: all hear of it at the same step."""
    return ({**batch, "wish": np.full(devices, after.wish(), np.int32)} for batch in batches)


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


@contextlib.contextmanager
def _shared_by(devices: Sequence[jax.Device], by_rows: bool) -> Iterator[None]:
    """Each device takes its share of every batch, and of every table if `by_rows`."""
    if len(devices) == 1:
        yield
        return
    with Devices(devices, by_rows).scope():
        yield


@contextlib.contextmanager
def _stop_request(checkpoints: Checkpoints | None) -> Iterator[threading.Event]:
    """SIGTERM, where a checkpoint can be written; without, it ends the process as ever."""
    with asked_to_stop() if checkpoints else contextlib.nullcontext(threading.Event()) as stop:
        yield stop

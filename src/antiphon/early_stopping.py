"""STAGE, where `train.early_stopping` says so  prepared log -> after how many epochs to stop.

epochs/
  epochs.json   the loss on the validation window after each tenth of training; the epochs chosen

What a model has learned by heart shows in the loss of a window that it has not seen. But what
happened last matters most, so the model that is kept is trained on that window, too: a first one
tells how long.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from antiphon.artifacts import write_json, write_stage
from antiphon.config import Config
from antiphon.errors import ConfigError
from antiphon.prepared import Prepared
from antiphon.train import parent_of, train_model, training_inputs
from antiphon.validation_loss import ValidationLoss, validation_batches
from antiphon.watch import Progress
from antiphon.windows import validation_window

__all__ = ["choose_epochs", "epochs_note", "refuse_several_processes", "with_chosen_epochs"]

LOOKS = 10
PATIENCE = 3


def choose_epochs(
    config: Config, prepared: Prepared, out: Path, progress: Progress | None = None
) -> None:
    """Train on what precedes the validation window, as long as that lowers its loss.

    Raises:
        EvaluationError: the validation window has no targets.
        NotLearningError, NonFiniteError: as `train`.
    """
    window = validation_window(prepared, config.evaluate)
    parent = parent_of(config)
    inputs = {"prepared": prepared.stage, **({"parent": parent.model} if parent else {})}
    with write_stage(out, made_from=training_inputs(config), inputs=inputs) as folder:
        per_epoch = config.train.steps_per_epoch(window.known.count)
        steps = config.train.steps(window.known.count)
        validation = ValidationLoss(
            validation_batches(config, prepared, window), max(1, steps // LOOKS), PATIENCE
        )
        train_model(
            config,
            prepared,
            window.known,
            window.item_counts,
            progress,
            parent=parent,
            validation=validation,
        )
        found: dict[str, Any] = {
            "epochs": min(steps, validation.best * validation.every) / per_epoch,
            "epochs_at_most": steps / per_epoch,
            "epochs_between_looks": validation.every / per_epoch,
            "validation_loss": validation.seen,
        }
        write_json(folder / "epochs.json", found)


def with_chosen_epochs(config: Config, folder: Path) -> Config:
    """The config, to train as long as was chosen."""
    chosen = {"epochs": _found(folder)["epochs"], "early_stopping": False}
    return config.model_copy(update={"train": config.train.model_copy(update=chosen)})


def epochs_note(folder: Path) -> str:
    """What was chosen, in words."""
    found = _found(folder)
    return (
        f"trained for {found['epochs']:.3g} of {found['epochs_at_most']:.3g} epochs, after which "
        "the loss on the validation window was least"
    )


def refuse_several_processes(config: Config) -> None:
    """Raises ConfigError: only one process trains twice."""
    if config.train.early_stopping:
        raise ConfigError(
            "several processes can't find out together how long to train",
            received="train.early_stopping = true",
            allowed="false",
            hint="`antiphon train CONFIG` once as one process; epochs/epochs.json has what it "
            "found, for train.epochs",
        )


def _found(folder: Path) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads((folder / "epochs.json").read_text(encoding="utf-8"))
    return parsed

"""STAGE, where `train.early_stopping` says so  prepared log -> after how many epochs to stop.

epochs/
  epochs.json   ndcg@10 on the validation window after each tenth of training; the epochs chosen

What a model has learned by heart shows in its lists for a window that it has not seen. But what
happened last matters most, so the model that is kept is trained on that window, too: a first one
tells how long.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from antiphon.artifacts import write_json, write_stage
from antiphon.catalogue import Catalogue
from antiphon.config import Config
from antiphon.errors import ConfigError
from antiphon.evaluate import evaluate_rankers
from antiphon.in_memory import in_memory
from antiphon.model import TwoTower
from antiphon.prepared import Prepared
from antiphon.train import parent_of, train_model, training_inputs, training_stages
from antiphon.validation import Validation
from antiphon.watch import Progress
from antiphon.windows import validation_window

__all__ = [
    "choose_epochs",
    "epochs_inputs",
    "epochs_note",
    "refuse_several_processes",
    "with_chosen_epochs",
]

LOOKS = 10
PATIENCE = 3
JUDGED_BY = {"protocol", "exclude_heard", "query_by", "max_users"}
USERS = 2000
"""So many tell well enough; all of a large log would take longer than the training."""


def epochs_inputs(config: Config) -> dict[str, Any]:
    """What determines the choice, besides the prepared log."""
    judged = config.evaluate.model_dump(mode="json", include=JUDGED_BY)
    return {"train": training_inputs(config), "evaluate": judged}


def choose_epochs(
    config: Config, prepared: Prepared, out: Path, progress: Progress | None = None
) -> None:
    """Train on what precedes the validation window, as long as its lists get better.

    Raises:
        EvaluationError: the validation window has no targets.
        NotLearningError, NonFiniteError: as `train`.
    """
    most = min(config.evaluate.max_users or USERS, USERS)
    section = config.evaluate.model_copy(update={"max_users": most, "resamples": 0})
    window = validation_window(prepared, section)
    catalogue = Catalogue.of(prepared, window.item_counts)

    def ndcg(model: TwoTower) -> float:
        ranker = in_memory(model, catalogue, window, config, prepared)
        judged = evaluate_rankers(prepared, {"antiphon": ranker}, section, window=window)
        return float(judged.models["antiphon"]["all"]["ndcg_at_10"]["value"])

    events = window.known.count
    per_epoch, steps = config.train.steps_per_epoch(events), config.train.steps(events)
    validation = Validation(ndcg, max(1, steps // LOOKS), PATIENCE)
    parent = parent_of(config)
    inputs = training_stages(prepared, parent)
    with write_stage(out, made_from=epochs_inputs(config), inputs=inputs) as folder:
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
            "ndcg_at_10": validation.seen,
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
        "lists for the validation window were best"
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

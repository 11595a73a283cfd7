"""A model trained by several processes: number 0 goes through the chain, the others train along."""

from __future__ import annotations

from pathlib import Path

from antiphon import pipeline, processes
from antiphon.artifacts import is_complete
from antiphon.config import Config
from antiphon.early_stopping import refuse_several_processes
from antiphon.errors import ArtifactError
from antiphon.prepared import Prepared
from antiphon.train import parent_of, train, training_inputs, training_stages

__all__ = ["train_together"]


def train_together(
    config: Config, runs: Path, tell: pipeline.Tell | None = None
) -> pipeline.Run | None:
    """Train on the prepared log; to be called in all processes, after `processes.join`.

    Returns:
        The run, where this process leads.

    Raises:
        ConfigError: `train.early_stopping`, which takes one process.
        ArtifactError: the log isn't prepared: others would have to wait for it, maybe for hours.
        AntiphonError: see `train`.
    """
    refuse_several_processes(config)
    path = runs / config.name
    try:
        prepared = Prepared.open(path / "prepared")
    except ArtifactError as error:
        raise ArtifactError(
            error.what,
            received=error.received,
            allowed="a prepared log, on a disk that all processes see",
            hint="run `antiphon prepare CONFIG` first",
        ) from error
    if processes.leads():
        return pipeline.run(config, runs, tell, until="train")
    parent = parent_of(config)
    inputs = training_stages(prepared, parent)
    folder = path / "model"
    if not is_complete(folder, made_from=training_inputs(config), inputs=inputs):
        train(config, prepared, folder)
    return None

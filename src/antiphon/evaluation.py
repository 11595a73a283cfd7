"""STAGE  trained model -> evaluation.

evaluation/
  evaluation.json     every figure; docs/evaluation.md describes it
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from antiphon.artifacts import write_json, write_stage
from antiphon.baselines import popular
from antiphon.config import Config
from antiphon.evaluate import Evaluation, evaluate_rankers
from antiphon.retrieval import TrainedModel

__all__ = ["evaluate", "evaluation_inputs"]


def evaluation_inputs(config: Config) -> object:
    """What determines the result, besides the prepared log and the model."""
    return {"evaluate": config.evaluate.model_dump(mode="json")}


def evaluate(
    config: Config,
    model: TrainedModel,
    out: Path,
    progress: Callable[[int, int, str], None] | None = None,
) -> Evaluation:
    """Judge a trained model beside the baselines and write the stage's folder.

    Raises:
        EvaluationError: the test window has no targets.
    """
    prepared = model.prepared
    inputs = {"prepared": prepared.stage, "model": model.stage}
    with write_stage(out, made_from=evaluation_inputs(config), inputs=inputs) as folder:
        rankers = {"antiphon": model, **popular.fit_popular(prepared)}
        evaluation = evaluate_rankers(
            prepared,
            rankers,
            config.evaluate,
            seed=config.train.seed,
            hashes={"model": model.stage.hash},
        )
        write_json(folder / "evaluation.json", evaluation.to_json())
    return evaluation

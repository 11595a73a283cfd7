"""STAGE  trained model -> evaluation.

evaluation/
  evaluation.json     every figure; docs/evaluation.md describes it
  report.html         the same as one page for people
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from antiphon.artifacts import write_json, write_stage
from antiphon.baselines import FittedBaseline, tune_baselines
from antiphon.cold import cold_report
from antiphon.config import Config
from antiphon.context_report import context_report
from antiphon.evaluate import Evaluation, evaluate_rankers
from antiphon.examples import examples
from antiphon.gates import check_gates
from antiphon.oracle_ranker import find_oracle, synthetic_folder
from antiphon.predictions import read_predictions
from antiphon.published import published
from antiphon.queries import Ranker
from antiphon.report import write_report
from antiphon.retrieval import TrainedModel
from antiphon.schema import FittedCategorical, Schema
from antiphon.windows import held_out_window

__all__ = ["Progress", "evaluate", "evaluation_inputs", "judge_predictions", "slice_labels"]

# how far, of how much, a few words
Progress = Callable[[int, int, str], None]


def evaluation_inputs(config: Config) -> object:
    """What determines the result, besides the prepared log and the model."""
    return {
        "evaluate": config.evaluate.model_dump(mode="json"),
        "gates": config.gates.model_dump(mode="json"),
    }


def evaluate(
    config: Config,
    model: TrainedModel,
    out: Path,
    progress: Progress | None = None,
) -> Evaluation:
    """Judge a trained model beside the baselines and write the stage's folder.

    Gates that fail are written down, not raised: a failed run can still be read.

    Raises:
        EvaluationError: the test window has no targets, or a gate asks for what doesn't exist.
    """
    tell = progress or (lambda *_: None)
    prepared = model.prepared
    cache = out.parent / "baselines"
    inputs = {"prepared": prepared.stage, "model": model.stage}
    with write_stage(out, made_from=evaluation_inputs(config), inputs=inputs) as folder:
        baselines = tune_baselines(
            prepared, config.evaluate, cache=cache, progress=partial(tell, 0, 0)
        )
        rankers: dict[str, Ranker] = {"antiphon": model, **baselines}
        if oracle := find_oracle(config.log.events, prepared):
            rankers["oracle"] = oracle
        evaluation = evaluate_rankers(
            prepared,
            rankers,
            config.evaluate,
            seed=config.train.seed,
            progress=partial(_judging, tell),
            hashes={"model": model.stage.hash},
        )
        evaluation = evaluation.with_parts(baselines=_tuned_to(baselines))
        evaluation = _with_all_parts(evaluation, config, model)
        write_json(folder / "evaluation.json", evaluation.to_json())
        write_report(
            evaluation.to_json(),
            folder / "report.html",
            title=config.name,
            labels=slice_labels(prepared.schema),
        )
    return evaluation


def judge_predictions(
    model: TrainedModel, file: Path, progress: Progress | None = None
) -> Evaluation:
    """Judge anybody's lists beside a run's model and its baselines, on the same queries.

    Raises:
        EvaluationError: the lists can't be read, or don't answer this run's queries.
    """
    tell = progress or (lambda *_: None)
    prepared, section = model.prepared, model.config.evaluate
    window = held_out_window(prepared, section)
    given = read_predictions(file, prepared, section, window)
    baselines = tune_baselines(
        prepared,
        section,
        cache=model.stage.path.parent / "baselines",
        progress=partial(tell, 0, 0),
    )
    evaluation = evaluate_rankers(
        prepared,
        {"predictions": given.lists, "antiphon": model, **baselines},
        section,
        window=window,
        subject="predictions",
        progress=partial(_judging, tell),
        hashes={"model": model.stage.hash},
    )
    return evaluation.with_parts(baselines=_tuned_to(baselines), predictions=given.to_json())


def _tuned_to(baselines: Mapping[str, FittedBaseline]) -> dict[str, Any]:
    return {name: baseline.tuned_to() for name, baseline in baselines.items()}


def _judging(tell: Progress, what: str, share: float) -> None:
    tell(round(100 * share), 100, f"judging {what.replace('_', ' ')}")


def _with_all_parts(evaluation: Evaluation, config: Config, model: TrainedModel) -> Evaluation:
    evaluation = context_report(evaluation, model)
    evaluation = cold_report(evaluation, model, model.prepared)
    training = json.loads((model.stage.path / "training.json").read_text(encoding="utf-8"))
    evaluation = evaluation.with_parts(
        examples=examples(model.prepared, evaluation),
        loss={name: training[name] for name in ("step", "loss", "chance")},
        published=published(
            evaluation.judge.window,
            evaluation.protocol,
            synthetic=synthetic_folder(config.log.events) is not None,
        ),
    )
    return evaluation.with_parts(gates=check_gates(evaluation, config.gates))


def slice_labels(schema: Schema) -> dict[str, str]:
    """What the config calls the values of context features: {"is_organic=1": "searching"}."""
    return {
        f"{feature.name}={value}": label
        for feature in schema.context
        if isinstance(feature, FittedCategorical) and feature.values and feature.labels
        for value, label in zip(feature.values, feature.labels, strict=True)
    }

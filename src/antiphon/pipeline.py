"""The chain: every stage in order, those already done for the same inputs skipped."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from antiphon import early_stopping
from antiphon.artifacts import Stage, is_complete, write_json, write_text
from antiphon.checkpoints import checkpoints_folder
from antiphon.config import Config, expand
from antiphon.errors import ArtifactError, ConfigError, EvaluationError
from antiphon.evaluation import evaluate, evaluation_inputs
from antiphon.index import build_index, index_inputs
from antiphon.memory import peak_memory_bytes, reset_peak_memory
from antiphon.prepare import prepare, prepare_inputs
from antiphon.prepared import Prepared
from antiphon.retrieval import TrainedModel
from antiphon.train import parent_of, train, training_inputs

__all__ = ["STAGES", "Run", "Tell", "index", "run"]

# what a person is told: the stage, steps done, of how many (0 where unknown), a few words
Tell = Callable[[str, int, int, str], None]

STAGES = ("prepare", "epochs", "train", "evaluate", "index")
NEEDS = {
    "prepare": (),
    "epochs": ("prepare",),
    "train": ("prepare", "epochs"),
    "evaluate": ("prepare", "epochs", "train"),
    "index": ("prepare", "epochs", "train"),
}
SUMMARY_METRICS = ("recall_at_100", "ndcg_at_10")


@dataclass(frozen=True)
class Run:
    """A run folder; `summary` is its summary.json, `skipped` names the stages done before."""

    config: Config
    path: Path
    summary: Mapping[str, Any]
    skipped: tuple[str, ...]


def run(
    config: Config,
    runs: str | Path = Path("runs"),
    tell: Tell | None = None,
    until: str = STAGES[-1],
) -> Run:
    """Take a log all the way to a judged model and an index to answer from.

    Args:
        config: what the log is and what to do with it.
        runs: the folder of run folders; this one is `runs / config.name`.
        tell: is told how far each stage has come.
        until: the last stage to do.

    Raises:
        AntiphonError: see errors.py. Stages that were complete before stay as they were.
    """
    path = Path(runs) / config.name
    _refuse_itself(config, path)
    chain = _Chain(path, tell or (lambda *_: None))
    write_text(path / "config.toml", config.to_toml())

    words = partial(chain.tell, "prepare", 0, 0)
    folder = path / "prepared"
    words("reading the files")
    made_from = prepare_inputs(config)
    chain.do("prepare", folder, made_from, {}, lambda: prepare(config, folder, progress=words))
    prepared = Prepared.open(folder)
    if until != "prepare":
        inputs = {"prepared": prepared.stage}
        folder = path / "model"
        steps = partial(chain.tell, "train")
        config = _with_epochs(chain, config, prepared)
        chain.do(
            "train",
            folder,
            training_inputs(config),
            inputs | _parents(config),
            lambda: train(config, prepared, folder, steps),
        )
        # a process killed just before it removed them left them behind
        shutil.rmtree(checkpoints_folder(folder), ignore_errors=True)
        if until != "train":
            model = TrainedModel.load(folder, prepared, config)
            inputs["model"] = model.stage
            if prepared.schema.judged:
                out = path / "evaluation"
                rankers = partial(chain.tell, "evaluate")
                chain.do(
                    "evaluate",
                    out,
                    evaluation_inputs(config),
                    inputs,
                    lambda: evaluate(config, model, out, rankers),
                )
            else:
                _unjudged(chain, until)
        if until == "index":
            _index(chain, config, model)
    return Run(config, path, chain.summarize(), tuple(chain.skipped))


def _refuse_itself(config: Config, path: Path) -> None:
    before = config.train.continue_from
    if before and Path(expand(before)).resolve() == path.resolve():
        raise ConfigError(
            "a run can't go on from itself: its prepared log would be replaced",
            received=before,
            hint=f"give the new run another name, as in --set name={config.name}-2",
        )


def _unjudged(chain: _Chain, until: str) -> None:
    """All of the log was trained on: a model to serve, of settings that were judged before."""
    if until == "evaluate":
        raise EvaluationError(
            "nothing is held out to judge by",
            received="split.test_days = 0",
            allowed="a test window",
            hint="judge the same settings with a test window, as another run",
        )
    # of another model: a service would refuse the run for it
    shutil.rmtree(chain.path / "evaluation", ignore_errors=True)
    chain.tell("evaluate", 1, 1, "nothing is held out to judge by")


def _parents(config: Config) -> dict[str, Stage]:
    """The model that training goes on from; a run whose parent is gone stays as it was made."""
    try:
        parent = parent_of(config)
    except ArtifactError:
        return {}
    return {"parent": parent.model} if parent else {}


def _with_epochs(chain: _Chain, config: Config, prepared: Prepared) -> Config:
    """The config, to train as long as the validation window says, where that is asked for."""
    if not config.train.early_stopping:
        chain.measured.pop("epochs", None)  # of a run before, which this one doesn't follow
        return config
    folder = chain.path / "epochs"
    steps = partial(chain.tell, "epochs")
    inputs = {"prepared": prepared.stage} | _parents(config)
    choose = partial(early_stopping.choose_epochs, config, prepared, folder, steps)
    chain.do("epochs", folder, early_stopping.epochs_inputs(config), inputs, choose)
    return early_stopping.with_chosen_epochs(config, folder)


def index(path: Path, overrides: Sequence[str] = (), tell: Tell | None = None) -> Run:
    """Build the index of a run that has a model, from the run folder alone.

    Args:
        path: the run's folder.
        overrides: `index.key=value`; the run's config has them from now on.
        tell: is told how far it has come.

    Raises:
        AntiphonError: see errors.py. An index that was there before stays if it can't be built.
    """
    for override in overrides:
        if not override.startswith("index."):
            raise ConfigError(
                "an index is built of a model as it is",
                received=override,
                allowed="index.key=value",
                hint="`antiphon run CONFIG` trains with other values",
            )
    config = Config.load(path / "config.toml", overrides)
    model = TrainedModel.load(path / "model", Prepared.open(path / "prepared"), config)
    chain = _Chain(path, tell or (lambda *_: None))
    _index(chain, config, model)
    if overrides:
        write_text(path / "config.toml", config.to_toml())
    return Run(config, path, chain.summarize(), tuple(chain.skipped))


def _index(chain: _Chain, config: Config, model: TrainedModel) -> None:
    folder = chain.path / "index"
    inputs = {"prepared": model.prepared.stage, "model": model.stage}
    tell = partial(chain.tell, "index")
    made_from = index_inputs(config)
    build = partial(build_index, config, model, folder, tell)
    chain.do("index", folder, made_from, inputs, build)


class _Chain:
    """Does stages that aren't done yet, and measures them.

    What a stage took is written down when it ends, so that a chain that breaks off later, and finds
    it done the next time, still knows.
    """

    def __init__(self, path: Path, tell: Tell) -> None:
        self.tell = tell
        self.path = path
        self.skipped: list[str] = []
        known = _read_json(path / "summary.json").get("stages", {})
        self.measured: dict[str, dict[str, float]] = {n: known[n] for n in STAGES if n in known}

    def do(
        self,
        name: str,
        folder: Path,
        made_from: object,
        inputs: Mapping[str, Stage],
        stage: Callable[[], object],
    ) -> None:
        if is_complete(folder, made_from=made_from, inputs=inputs):
            self.skipped.append(name)
            self.tell(name, 1, 1, "already done for the same inputs")
            return
        # what later stages made of the old output says nothing of the new one
        for other in STAGES:
            if other == name or name in NEEDS[other]:
                self.measured.pop(other, None)
        reset_peak_memory()
        started = time.perf_counter()
        stage()
        self.measured[name] = {
            "seconds": round(time.perf_counter() - started, 3),
            "peak_memory_bytes": peak_memory_bytes(),
        }
        self.summarize()
        self.tell(name, 1, 1, f"done in {self.measured[name]['seconds']:.1f} s")

    def summarize(self) -> dict[str, Any]:
        """Write summary.json: of the stages that are done for these inputs."""
        summary = summarize(self.path, self.measured, {*self.measured, *self.skipped})
        write_json(self.path / "summary.json", summary)
        return summary


def summarize(
    path: Path, stages: Mapping[str, Mapping[str, float]], done: Collection[str]
) -> dict[str, Any]:
    """What a run came to, from the outputs of those of its stages that are done."""
    statistics = _read_json(path / "prepared" / "statistics.json")
    files = _read_json(path / "prepared" / "held_out" / "statistics.json")
    training = _read_json(path / "model" / "training.json") if "train" in done else {}
    evaluation = _read_json(path / "evaluation" / "evaluation.json") if "evaluate" in done else {}
    searched = _read_json(path / "index" / "index.json") if "index" in done else {}
    return {
        "name": path.name,
        "log": ({"rows": files["rows_read"]} if files else {}) | statistics,
        "stages": {name: dict(stages[name]) for name in STAGES if name in stages},
        "loss": {
            "first": training["loss"][0],
            "last": training["loss"][-1],
            "chance": training["chance"][-1],
        }
        if training
        else None,
        "input_wait_share": training["input_seconds"] / training["seconds"] if training else None,
        "notes": [
            *([early_stopping.epochs_note(path / "epochs")] if "epochs" in done else []),
            *training.get("notes", []),
        ],
        "metrics": {
            model: {
                part: {metric: cells[metric]["value"] for metric in SUMMARY_METRICS}
                for part, cells in table.items()
            }
            for model, table in evaluation.get("models", {}).items()
        },
        "index": {
            "engine": searched["engine"],
            "least_recall": min(
                (
                    found["index_recall_at_k"]
                    for found in searched["recall"]
                    if found["index_recall_at_k"] is not None
                ),
                default=None,
            ),
        }
        if searched
        else None,
    }


def _read_json(path: Path) -> dict[str, Any]:
    try:
        parsed: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return parsed

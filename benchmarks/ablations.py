"""What is each component of the model worth?

    python benchmarks/ablations.py [CONFIG RUN] [--variants NAME ...] [--seeds N] [--quick]

Prints JSON; in benchmarks/results/ablations/LOG.json, results_page.py makes a table of it. Every
variant, the model with one thing changed, trains on what precedes the validation window of RUN's
prepared log, and all are judged on that window, side by side with the whole model: differences are
paired by user. The test window is not looked at. What a log can't be asked about (contexts,
content, repeats) is left out. With several seeds the whole model is trained with each, so that the
table tells what chance alone makes of it. This is about models and takes half an hour a log, so it
is no part of `make bench`.

Without arguments the log is the demo's, synthesized anew; a small one with `--quick`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from antiphon.config import Config
from antiphon.evaluate import compare, evaluate_rankers
from antiphon.in_memory import in_memory
from antiphon.prepared import Prepared
from antiphon.schema import Schema
from antiphon.train import train_model
from antiphon.trend import Kinds
from antiphon.windows import Window, validation_window
from baselines import prepared_log

ROOT = Path(__file__).resolve().parent.parent

WHOLE = "whole model"
NO_CONTENT = "no content of items"
VARIANTS: dict[str, list[str]] = {
    WHOLE: [],
    "no repeat term": ["model.repeats=false"],
    "no trends, but popularity since ever": ["model.trend_half_lives=[]"],
    "no popularity within contexts": ["model.context_trend_half_life=0"],
    "no history": ["model.history_length=0"],
    "history of 10 in place of 50": ["model.history_length=10"],
    "no user embedding": ["model.user_dropout=1"],
    "user embedding always shown": ["model.user_dropout=0"],
    "context hardly ever shown": ["model.context_dropout=0.999"],
    "context always shown": ["model.context_dropout=0"],
    NO_CONTENT: [],
    "in-batch negatives only": ["train.sampled_negatives=0"],
    "negatives drawn evenly": ["train.negative_power=0"],
    "negatives drawn by plays": ["train.negative_power=1"],
    "no negatives from older plays": ["train.library_negatives=0"],
    "no queries before a run of plays": ["train.run_share=0"],
    "one target a query": ["train.targets_per_query=1"],
}
"""Settings by variant; one at a time."""
METRICS = ("ndcg_at_10", "recall_at_100")

Json = dict[str, Any]


def applicable(config: Config, schema: Schema) -> list[str]:
    """The variants that differ from the whole model on this log."""
    same: tuple[str, ...] = ()
    if not schema.context:
        same += ("context hardly ever shown", "context always shown")
    if not Kinds.of(schema, config.model).values:
        same += ("no popularity within contexts",)
    if not schema.item:
        same += (NO_CONTENT,)
    if not config.model.repeats:
        same += ("no repeat term", "no negatives from older plays")
    return [name for name in VARIANTS if name not in same]


def trained(
    name: str, config_path: Path, settings: Sequence[str], prepared: Prepared, window: Window
) -> tuple[Any, Json]:
    """A variant's ranker, and what its training took."""
    config = Config.load(config_path, [*VARIANTS[name], *settings])
    if name == NO_CONTENT:
        schema = prepared.schema.model_copy(update={"item": ()})
        prepared = replace(prepared, schema=schema)
    model, catalogue, training = train_model(config, prepared, window.known, window.item_counts)
    ranker = in_memory(model, catalogue, window, config, prepared)
    return ranker, {
        "settings": VARIANTS[name],
        "steps": training.steps,
        "seconds": round(training.seconds, 1),
        "loss": training.loss[-1],
        "chance": training.chance[-1],
    }


def ablate(
    config_path: Path, prepared: Prepared, settings: Sequence[str], names: Sequence[str], seeds: int
) -> Json:
    """Figures of every variant, and its paired differences from the whole model."""
    config = Config.load(config_path, settings)
    window = validation_window(prepared, config.evaluate)
    possible = applicable(config, prepared.schema)
    chosen = [WHOLE, *(name for name in names or possible if name in possible and name != WHOLE)]
    runs = [(name, name, settings) for name in chosen]
    runs += [
        (f"{WHOLE}, seed {seed}", WHOLE, [*settings, f"train.seed={seed}"])
        for seed in range(1, seeds)
    ]
    rankers, about = {}, {}
    for number, (label, name, given) in enumerate(runs, 1):
        started = time.perf_counter()
        rankers[label], about[label] = trained(name, config_path, given, prepared, window)
        took = time.perf_counter() - started
        print(f"[{number}/{len(runs)}] {label}: {took:.0f} s", file=sys.stderr, flush=True)
    evaluation = evaluate_rankers(prepared, rankers, config.evaluate, window=window, subject=WHOLE)
    whole = evaluation.judged[WHOLE]
    return {
        "log": config.name,
        "queries": len(window.queries),
        "users": evaluation.judge.users.count,
        "variants": {
            label: {
                **about[label],
                "metrics": _kept(evaluation.models[label]),
                "over_whole": _kept(compare(evaluation.judge, evaluation.judged[label], whole)),
            }
            for label, _, _ in runs
        },
    }


def _kept(figures: Json) -> Json:
    """The figures that tables show, of every slice."""
    return {
        part: {metric: figure[metric] for metric in METRICS} for part, figure in figures.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("config", nargs="?", type=Path, default=ROOT / "configs/demo.toml")
    parser.add_argument("run", nargs="?", type=Path, help="folder of a run with a prepared log")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, metavar="NAME", default=())
    parser.add_argument("--seeds", type=int, default=1, help="of the whole model")
    parser.add_argument("--set", action="append", default=[], help="as the antiphon command has it")
    parser.add_argument("--quick", action="store_true", help="a small log, two variants, seconds")
    options = parser.parse_args()
    settings, names = list(options.set), options.variants
    if options.quick:
        settings += ["train.epochs=0.5", "evaluate.resamples=50"]
        names = names or ("no history",)
    with tempfile.TemporaryDirectory() as folder:
        prepared = (
            Prepared.open(options.run / "prepared")
            if options.run
            else prepared_log(
                Path(folder), *((300, 100_000) if options.quick else (2_000, 1_000_000))
            )
        )
        found = ablate(options.config, prepared, settings, names, options.seeds)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()

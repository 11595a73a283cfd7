"""How long does Antiphon train until it is as good as the seed's towers ever get?

    python benchmarks/equal_quality.py [--quick] [--prepared FOLDER]

Prints JSON. The seed's recipe as published stays at chance, so its optimiser is repaired here: the
loss is summed over the batch and not averaged, all else is the recipe's (dense Adagrad at 0.1,
batches of 8,192). Its towers train until validation recall@100 has stopped rising, or for
`--seconds` at most. Then Antiphon trains until it has reached the best of that: with all its
defaults, and with the plain towers, without history, trends and repeats (but for popularity since
ever), with the items' content. All are judged on the validation window, every query of it, and know
only what lies before.

Seconds are those of training, batches included; compilation and judging are left out and told
apart. The log is the demo's, synthesized and prepared in a temporary folder if no prepared one is
named; its tastes are planted, so this tells of speed on such a log only.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from _contestants import OURS
from _own_step import OwnStep
from antiphon.baselines.fitted import FittedBaseline
from antiphon.baselines.history import TrainingLog
from antiphon.baselines.seed_recipe import (
    BATCH_SIZE,
    LEARNING_RATE,
    WIDTH,
    SeedScorer,
    SeedTables,
    SeedTowers,
)
from antiphon.batches import Batches
from antiphon.catalogue import Catalogue
from antiphon.config import Config
from antiphon.in_memory import in_memory
from antiphon.judge import Judge
from antiphon.memory import freed_memory_kept
from antiphon.model import TwoTower
from antiphon.prefetch import prefetch
from antiphon.prepared import Prepared
from antiphon.schema import FittedCategorical
from antiphon.sections import EvaluateSection
from antiphon.windows import validation_window
from baselines import prepared_log

ROOT = Path(__file__).resolve().parent.parent
METRIC = "recall_at_100"
SEED_EVERY = 20
PATIENCE = 4
"""Judgements without a new best after which the seed's towers have stopped rising."""
OUR_STEPS = (10, 20, 30, 40, 60, 80, 100, 150, 200, 300, 400, 600, 800, 1200)
LEAST_STEPS = 200
"""Antiphon goes on to here, so that the curve shows where it is heading."""

Point = dict[str, float]


def recall(judge: Judge, ranker: Any) -> float:
    """Of the whole window."""
    judged = judge.judge("ranker", ranker)
    return float(judged.values[0, judged.names.index(METRIC)])


def stopped_rising(values: Sequence[float], patience: int = PATIENCE) -> bool:
    """Whether the last `patience` values bring nothing above the best before them."""
    return len(values) > patience and max(values[-patience:]) <= max(values[:-patience])


def reached(points: Sequence[Point], target: float) -> Point | None:
    """The first judgement that is at least as good; None where none is."""
    return next((point for point in points if point[METRIC] >= target), None)


def train_seed(judge: Judge, most_seconds: float) -> dict[str, Any]:
    """The repaired recipe, judged now and then until it has stopped rising."""
    import keras  # after Antiphon, which chooses its backend

    window = judge.window
    log = TrainingLog(window.known, window.schema)
    codes = [f.cardinality + 1 for f in window.schema.context if isinstance(f, FittedCategorical)]
    towers = SeedTowers(len(log.user_starts) - 1, log.width, codes, WIDTH, 0)
    optimizer = keras.optimizers.Adagrad(LEARNING_RATE)
    optimizer.build(towers.trainable_variables)
    softmax = keras.losses.CategoricalCrossentropy(from_logits=True, reduction="sum")

    def loss_of(trainable: list[Any], batch: dict[str, Any]) -> Any:
        (query, candidate), _ = towers.stateless_call(trainable, [], batch)
        scores = query @ candidate.T
        return softmax(jax.numpy.eye(len(scores), dtype=scores.dtype), scores)

    def step(state: Any, batch: dict[str, Any]) -> tuple[Any, Any]:
        trainable, slots = state
        loss, gradients = jax.value_and_grad(loss_of)(trainable, batch)
        return optimizer.stateless_apply(slots, gradients, trainable), loss

    jitted = jax.jit(step, donate_argnums=0)
    state: Any = (
        [variable.value for variable in towers.trainable_variables],
        [variable.value for variable in optimizer.variables],
    )
    users = np.repeat(np.arange(len(log.user_starts) - 1), np.diff(log.user_starts))
    size = min(BATCH_SIZE, len(users))
    rng = np.random.default_rng(0)
    points: list[Point] = []
    seconds = compile_seconds = judge_seconds = 0.0
    number = 0
    while seconds < most_seconds and not stopped_rising([point[METRIC] for point in points]):
        started = time.perf_counter()
        chosen = rng.integers(0, len(users), size)
        batch = {
            "user": users[chosen].astype(np.int32),
            "item": log.row_items[chosen],
            "context": log.cell_codes[log.row_cells[chosen]],
        }
        state, loss = jax.block_until_ready(jitted(state, batch))
        took = time.perf_counter() - started
        number += 1
        if number == 1:
            compile_seconds = took
            continue
        seconds += took
        if number % SEED_EVERY == 0 or seconds >= most_seconds:
            started = time.perf_counter()
            value = recall(judge, _seed_ranker(log, towers, state[0]))
            judge_seconds += time.perf_counter() - started
            points.append({"steps": number, "seconds": seconds, METRIC: value})
            print(f"  seed, repaired: {seconds:.1f} s, {value:.4f}", file=sys.stderr, flush=True)
    return {
        "batch_size": size,
        "loss": float(loss) / size,
        "chance": float(np.log(size)),
        "compile_seconds": compile_seconds,
        "judge_seconds": judge_seconds,
        "stopped_rising": stopped_rising([point[METRIC] for point in points]),
        "points": points,
    }


def _seed_ranker(log: TrainingLog, towers: SeedTowers, values: list[Any]) -> FittedBaseline:
    names = [variable.path for variable in towers.trainable_variables]
    arrays = dict(zip(names, map(np.array, values), strict=True))
    tables = SeedTables(
        user=arrays["user/embeddings"],
        item=arrays["item/embeddings"],
        context=tuple(arrays[f"context_{i}/embeddings"] for i in range(len(towers.context))),
        kernel=arrays["fuse/kernel"],
        bias=arrays["fuse/bias"],
        loss=np.zeros(0, np.float32),
    )
    return FittedBaseline("seed", {}, SeedScorer(log, tables), log)


def train_antiphon(
    case: str, judge: Judge, config: Config, prepared: Prepared, target: float
) -> dict[str, Any]:
    """Antiphon, judged after `OUR_STEPS` until it is as good as `target`."""
    window = judge.window
    catalogue = Catalogue.of(prepared, window.item_counts)
    schema = prepared.schema
    batches = Batches(window.known, catalogue, schema, config.model, config.train)
    model = TwoTower(schema, config.model, config.train)
    most = min(OUR_STEPS[-1], config.train.steps(batches.events.count))
    points: list[Point] = []
    seconds = judge_seconds = 0.0
    started = time.perf_counter()
    step = OwnStep(model, batches.batch(0))
    compile_seconds = time.perf_counter() - started
    ahead = prefetch(batches.batch, 0, most)
    started = time.perf_counter()
    for number, batch in enumerate(ahead, 1):
        logs = step(batch)
        seconds += time.perf_counter() - started
        if number in OUR_STEPS or number == most:
            before = time.perf_counter()
            step.sync()
            value = recall(judge, in_memory(model, catalogue, window, config, prepared))
            judge_seconds += time.perf_counter() - before
            points.append({"steps": number, "seconds": seconds, METRIC: value})
            print(f"  {case}: {seconds:.1f} s, {value:.4f}", file=sys.stderr, flush=True)
            if number >= LEAST_STEPS and reached(points, target):
                break
        started = time.perf_counter()
    ahead.close()
    return {
        "batch_size": config.train.global_batch_size,
        "loss": float(logs["loss"]),
        "chance": float(logs["chance"]),
        "compile_seconds": compile_seconds,
        "judge_seconds": judge_seconds,
        "points": points,
    }


def compared(seed: dict[str, Any], ours: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Seconds of all until the best that the seed's towers reach."""
    best = max(seed["points"], key=lambda point: point[METRIC])
    found: dict[str, Any] = {METRIC: best[METRIC], "seed_seconds": best["seconds"], "ours": {}}
    for case, one in ours.items():
        first = reached(one["points"], best[METRIC])
        found["ours"][case] = first and {
            **first,
            "ratio": round(best["seconds"] / max(first["seconds"], 1e-9), 2),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the log, a few seconds")
    parser.add_argument("--prepared", type=Path, help="a prepared log, as in runs/demo/prepared")
    parser.add_argument("--seconds", type=float, default=120.0, help="of the seed, at most")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, freed_memory_kept():
        size = (300, 100_000) if options.quick else (2_000, 1_000_000)
        prepared = (
            Prepared.open(options.prepared)
            if options.prepared
            else prepared_log(Path(folder), *size)
        )
        configs = {
            "antiphon": Config.load(ROOT / "configs/demo.toml"),
            "plain": Config.load(ROOT / "configs/demo.toml", OURS["plain"]),
        }
        section = EvaluateSection(resamples=0)
        judge = Judge(validation_window(prepared, section), section)
        seed = train_seed(judge, 10.0 if options.quick else options.seconds)
        best = max(point[METRIC] for point in seed["points"])
        ours = {
            case: train_antiphon(case, judge, config, prepared, best)
            for case, config in configs.items()
        }
    result = {
        **compared(seed, ours),
        "queries": len(judge.window.queries),
        "seed": seed,
        "curves": ours,
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()

"""How many examples a second does training take, in how much memory? Beside the seed's recipe.

    python benchmarks/training.py [--quick] [--sizes 138k 9m] [--rounds 3]

Prints JSON. Four models, width 64, each measured in a process of its own, so that peak memory
(the process's largest resident set, Python and all) is its own too:

    antiphon   all defaults: attention over the history, context, trends, the library's repeats
    attentive  without trends and repeats: user, context, item, attention over the history
    plain      the towers the seed has: user, context and item
    seed       the seed's recipe: dense Adagrad over whole tables, batches of 8,192

Antiphon is trained by `train_model`, that is by `keras.Model.fit` over batches made in a thread.
The seed's step is jitted over Keras's layers and Adagrad with its state donated; it doesn't go
through `fit`, which could only slow it down. Batches are made while the clock runs; compilation
and the first steps are left out.

The models take turns, round after round, and the least step time of each one's rounds counts: what
else a machine does only ever adds to it. `ratios_by_round` tells how far the rounds agree.

The log is made up: 40 events a user on average, numbers of plays near a power law, one context
feature of two values. It is written to a temporary folder and memory-mapped, as prepared logs are.
What of it is mapped counts in `peak_memory_bytes`, though the system may take it back at any time;
`anonymous_memory_bytes`, when the timed steps begin or end, is without it. (Linux only.)
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from antiphon.artifacts import Stage
from antiphon.baselines.seed_recipe import BATCH_SIZE, WIDTH, SeedTowers, seed_step
from antiphon.config import Config
from antiphon.memory import peak_memory_bytes
from antiphon.prepared import Events, Prepared
from antiphon.schema import FittedCategorical, Schema
from antiphon.train import train_model

CONTEXT = FittedCategorical(name="is_organic", cardinality=2, values=("0", "1"))
DAY_S = 86_400
DAYS = 20
EVENTS_PER_USER = 40
ATTENTIVE = ["model.repeats=false", "model.trend_half_lives=[]"]
OURS = {"antiphon": [], "attentive": ATTENTIVE, "plain": [*ATTENTIVE, "model.history_length=0"]}
CASES = (*OURS, "seed")

Clock = tuple[float, float, int]
"""Wall-clock seconds, processor seconds, and bytes of memory that are no file's."""


@dataclass(frozen=True)
class Size:
    """Rows of the tables."""

    users: int
    items: int


SIZES = {"138k": Size(52_501, 138_102), "9m": Size(1_000_000, 9_390_000)}
QUICK = {"138k": Size(2_000, 5_000), "9m": Size(20_000, 100_000)}


def write_log(size: Size, folder: Path, seed: int = 0) -> None:
    """The arrays of a prepared log whose events are made up."""
    rng = np.random.default_rng(seed)
    lengths = np.ceil(rng.lognormal(np.log(EVENTS_PER_USER) - 0.5, 1.0, size.users)).astype(int)
    offsets = np.concatenate([[0, 0], np.cumsum(lengths)])
    events = int(offsets[-1])
    # an item of rank r is played about r ** -0.8 times as often as the first
    rank = (1 + rng.random(events) * ((size.items + 1) ** 0.2 - 1)) ** 5
    rank = np.minimum(rank.astype(np.int64), size.items) - 1
    items = (rng.permutation(size.items)[rank] + 1).astype(np.int32)
    # one event in each of a user's equal shares of the time, hence in order
    place = np.arange(events) - np.repeat(offsets[1:-1], lengths)
    times_s = (place + rng.random(events)) / np.repeat(lengths, lengths) * DAYS * DAY_S
    (folder / "events/context").mkdir(parents=True)
    np.save(folder / "events/user_offsets.npy", offsets)
    np.save(folder / "events/item_number.npy", items)
    np.save(folder / "events/timestamp_s.npy", times_s.astype(np.int64))
    np.save(folder / "events/is_target.npy", np.ones(events, bool))
    codes = rng.integers(1, CONTEXT.cardinality + 1, events, dtype=np.int32)
    np.save(folder / f"events/context/{CONTEXT.name}.npy", codes)
    np.save(folder / "counts.npy", np.bincount(items, minlength=size.items + 1))


def measure_antiphon(
    size: Size, folder: Path, settings: list[str], warm_up: int, steps: int
) -> dict[str, Any]:
    """`warm_up` and `steps` are rounded up to what `train_model` reports after."""
    end_s = DAYS * DAY_S
    schema = Schema(
        context=(CONTEXT,),
        item_count=size.items,
        user_count=size.users,
        train_end_s=end_s,
        held_out_start_s=end_s,
        held_out_end_s=end_s + DAY_S,
        validation_start_s=end_s - DAY_S,
        gap_s=0,
    )
    events = Events.open(folder / "events", (CONTEXT.name,))
    prepared = Prepared(Stage(folder, {}), schema, events, events)
    document = folder / "bench.toml"
    log = {"events": "none", "user": "user", "item": "item", "time": "time"}
    document.write_text("[log]\n" + "".join(f'{k} = "{v}"\n' for k, v in log.items()))
    config = Config.load(document, [f"model.width={WIDTH}", *settings])
    per_epoch = max(1, round(events.count / config.train.global_batch_size))
    epochs = (warm_up + steps) / per_epoch
    config = Config.load(document, [f"model.width={WIDTH}", *settings, f"train.epochs={epochs}"])
    reached: list[tuple[int, Clock]] = []

    def progress(step: int, _steps: int, _words: str) -> None:
        reached.append((step, clock()))

    counts = np.load(folder / "counts.npy")
    _, _, training = train_model(config, prepared, events, counts, progress)
    first, last = next(at for at in reached if at[0] >= warm_up), reached[-1]
    return measured(config.train.global_batch_size, last[0] - first[0], first[1], last[1]) | {
        "settings": settings,
        "loss": training.loss[-1],
        "chance": training.chance[-1],
    }


def measure_seed(size: Size, folder: Path, warm_up: int, steps: int) -> dict[str, Any]:
    events = Events.open(folder / "events", (CONTEXT.name,))
    users = events.row_users().astype(np.int32)
    towers = SeedTowers(size.users + 1, size.items + 1, [CONTEXT.cardinality + 1], WIDTH, 0)
    step, state = seed_step(towers)
    rng = np.random.default_rng(0)
    started, loss = clock(), jax.numpy.float32(0)
    for number in range(warm_up + steps):
        if number == warm_up:
            jax.tree.map(lambda array: array.block_until_ready(), (state, loss))
            started = clock()
        chosen = rng.integers(0, len(users), BATCH_SIZE)
        batch = {
            "user": users[chosen],
            "item": events.item_number[chosen],
            "context": events.context[CONTEXT.name][chosen][:, None],
        }
        state, loss = step(state, batch)
    jax.tree.map(lambda array: array.block_until_ready(), (state, loss))
    return measured(BATCH_SIZE, steps, started, clock()) | {
        "loss": float(loss),
        "chance": float(np.log(BATCH_SIZE)),
    }


def clock() -> Clock:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("RssAnon"))
    return time.perf_counter(), time.process_time(), int(kilobytes) * 1024


def measured(batch_size: int, steps: int, start: Clock, end: Clock) -> dict[str, Any]:
    return {
        "batch_size": batch_size,
        "steps": steps,
        "step_seconds": (end[0] - start[0]) / steps,
        "step_processor_seconds": (end[1] - start[1]) / steps,
        "peak_memory_bytes": peak_memory_bytes(),
        "anonymous_memory_bytes": max(start[2], end[2]),
    }


def measure(case: str, size: Size, folder: Path, steps: int, seed_steps: int) -> dict[str, Any]:
    if case == "seed":
        return measure_seed(size, folder, 2, seed_steps)
    return measure_antiphon(size, folder, OURS[case], max(20, steps // 3), steps)


def in_fresh_process(*arguments: object) -> dict[str, Any]:
    command = [sys.executable, __file__, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def together(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """The round of the least step time, with the times and the peak memory of all."""
    best = min(rounds, key=lambda result: result["step_seconds"])
    return best | {
        "examples_per_second": round(best["batch_size"] / best["step_seconds"]),
        "step_seconds_by_round": [result["step_seconds"] for result in rounds],
        "peak_memory_bytes": max(result["peak_memory_bytes"] for result in rounds),
    }


def ratios(cases: dict[str, dict[str, Any]], sizes: list[str]) -> dict[str, float]:
    """Of examples a second against the seed, and of Antiphon's step times.

    Args:
        cases: what was measured, by case and size, as in `antiphon_138k`.
        sizes: those measured.
    """
    found = {}

    def step_seconds(name: str) -> float:
        return float(cases[name]["step_seconds"])

    for size in sizes:
        seed = cases[f"seed_{size}"]
        for case in OURS:
            faster = cases[f"{case}_{size}"]["batch_size"] / step_seconds(f"{case}_{size}")
            slower = seed["batch_size"] / float(seed["step_seconds"])
            found[f"{case}_over_seed_{size}"] = round(faster / slower, 2)
        found[f"antiphon_over_plain_{size}"] = round(
            step_seconds(f"plain_{size}") / step_seconds(f"antiphon_{size}"), 2
        )
    if {"138k", "9m"} <= set(sizes):
        for case in OURS:
            found[f"{case}_step_time_9m_over_138k"] = round(
                step_seconds(f"{case}_9m") / step_seconds(f"{case}_138k"), 3
            )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small tables; figures mean little")
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60, help="timed steps of Antiphon")
    parser.add_argument("--seed-steps", type=int, default=4, help="timed steps of the seed")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    sizes = QUICK if options.quick else SIZES
    if options.child:
        case, size, folder = options.child
        steps = options.steps, options.seed_steps
        print(json.dumps(measure(case, sizes[size], Path(folder), *steps)))
        return

    flags = ["--quick"] * options.quick
    flags += ["--steps", options.steps, "--seed-steps", options.seed_steps]
    rounds: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for size in options.sizes:
            write_log(sizes[size], Path(folder) / size)
        for _ in range(1 if options.quick else options.rounds):
            for size in options.sizes:
                for case in CASES:
                    result = in_fresh_process(*flags, "--child", case, size, f"{folder}/{size}")
                    rounds.setdefault(f"{case}_{size}", []).append(result)
    cases = {name: together(results) for name, results in rounds.items()}
    by_round = [
        ratios(dict(zip(rounds, results, strict=True)), options.sizes)
        for results in zip(*rounds.values(), strict=True)
    ]
    print(
        json.dumps(
            {
                "sizes": {name: vars(sizes[name]) for name in options.sizes},
                "ratios": ratios(cases, options.sizes),
                "ratios_by_round": by_round,
                "peak_memory_bytes": {n: case["peak_memory_bytes"] for n, case in cases.items()},
                "cases": cases,
                "wanted": {
                    "plain_over_seed_138k": 6,
                    "plain_over_seed_9m": 20,
                    "plain_step_time_9m_over_138k": 1.3,
                    "plain_9m_peak_memory_bytes": 4 * 2**30,
                    "antiphon_over_plain": 0.4,
                },
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()

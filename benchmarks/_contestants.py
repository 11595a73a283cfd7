"""Who is measured in training, on a log of `_made_up_log`: Antiphon, the seed's recipe, PyTorch.

    python benchmarks/_contestants.py CASE FOLDER WARM_UP STEPS

prints JSON. Antiphon is trained by `train_model`, with batches made in a thread. The seed's step is
jitted over Keras's layers and Adagrad with its state donated; it doesn't go through `fit`, which
could only slow it down. Batches are made while the clock runs; compilation and the first steps are
left out. Each case has a process of its own, so that peak memory (its largest resident set, Python
and all) is its own too. What is mapped of a log counts in `peak_memory_bytes`, though the system
may take it back at any time; `anonymous_memory_bytes`, while steps are timed, is without it (on
Linux).
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from _stopwatch import Moment, in_fresh_process, measured, now

__all__ = ["CASES", "CONTENT", "OURS", "measure", "measured_or_not"]

ATTENTION = [
    "model.repeats=false",
    "model.trend_half_lives=[]",
    "model.context_trend_half_life=0",
]
PLAIN = [*ATTENTION, "model.history_length=0"]
SAME_LOSS = [
    *PLAIN,
    "train.global_batch_size=8192",
    "train.targets_per_query=1",
    "train.sampled_negatives=0",
]
HALF = "train.precision='bfloat16'"
OURS = {
    "antiphon": [],
    "attention": ATTENTION,
    "plain": PLAIN,
    "plain_half": [*PLAIN, HALF],
    "same_loss": SAME_LOSS,
    "same_loss_half": [*SAME_LOSS, HALF],
    "content": [],
}
"""Settings of Antiphon's own cases."""
CONTENT = ("content",)
"""Cases that need `write_content`."""
CASES = {
    "antiphon": "Antiphon, all defaults: attention over the history, trends, repeats; no content",
    "attention": "Antiphon, attention over the history; neither trends nor repeats",
    "plain": "Antiphon, the towers that the seed has: user, context and item; its own batch",
    "plain_half": "as `plain`, the loss's products of bfloat16",
    "same_loss": "Antiphon, those towers, and the seed's batch: 8,192 queries, in-batch negatives",
    "same_loss_half": "as `same_loss`, its products of bfloat16",
    "content": "Antiphon, all defaults, and artists, albums and audio of the items",
    "seed": "the seed's recipe: dense Adagrad over whole tables, batches of 8,192",
    "torch_sparse": "PyTorch: sparse embeddings and Adagrad; towers, batch and loss of `plain`",
}


STEPS = {
    "antiphon": 150,
    "attention": 150,
    "plain": 200,
    "plain_half": 200,
    "same_loss": 20,
    "same_loss_half": 30,
    "content": 100,
    "seed": 6,
    "torch_sparse": 100,
}
"""How many to time: some seconds' worth."""


def measure(case: str, folder: Path, share: float = 1.0) -> dict[str, Any]:
    """Measure one case in a process of its own; where it can't be, `{"missing": why}`.

    Args:
        case: of `CASES`.
        folder: a log of `_made_up_log`.
        share: of the usual number of steps to time.
    """
    steps = max(2, round(share * STEPS[case]))
    warm_up = max(2, steps // 5)
    print(f"  {case} on {folder.name} ...", file=sys.stderr, flush=True)
    if case != "torch_sparse":
        return in_fresh_process("_contestants.py", case, folder, warm_up, steps)
    if importlib.util.find_spec("torch") is None:
        return {"missing": "PyTorch isn't installed; requirements/bench.txt has it"}
    return in_fresh_process("_torch_sparse.py", folder, warm_up, steps)


def measured_or_not(case: str, folder: Path, share: float = 1.0) -> dict[str, Any]:
    """`measure`; what doesn't fit into memory is a result, too."""
    try:
        return measure(case, folder, share)
    except subprocess.CalledProcessError as error:
        return {"missing": f"the process ended with code {error.returncode}"}


def measure_antiphon(case: str, folder: Path, warm_up: int, steps: int) -> dict[str, Any]:
    """`warm_up` and `steps` are rounded up to what `train_model` reports after."""
    from _made_up_log import open_log
    from antiphon.train import train_model

    content = case in CONTENT
    config, prepared, counts = open_log(folder, OURS[case], content=content)
    batch_size = config.train.global_batch_size
    epochs = (warm_up + steps) / max(1, round(prepared.events.count / batch_size))
    settings = [*OURS[case], f"train.epochs={epochs}"]
    config, prepared, counts = open_log(folder, settings, content=content)
    reached: list[tuple[int, Moment]] = []

    def progress(step: int, _steps: int, _words: str) -> None:
        reached.append((step, now()))

    _, _, training = train_model(config, prepared, prepared.events, counts, progress)
    return measured(batch_size, [at for at in reached if at[0] >= warm_up]) | {
        "settings": OURS[case],
        "loss": training.loss[-1],
        "chance": training.chance[-1],
        "input_wait_share": training.input_seconds / training.seconds,
    }


def measure_seed(folder: Path, warm_up: int, steps: int) -> dict[str, Any]:
    """`steps` steps of 8,192 examples."""
    import jax

    from _made_up_log import CONTEXT, WIDTH, size_of
    from antiphon.baselines.seed_recipe import BATCH_SIZE, SeedTowers, seed_step
    from antiphon.prepared import Events

    size, events = size_of(folder), Events.open(folder / "events", (CONTEXT.name,))
    users = events.row_users().astype(np.int32)
    towers = SeedTowers(size.users + 1, size.items + 1, [CONTEXT.cardinality + 1], WIDTH, 0)
    step, state = seed_step(towers)
    rng = np.random.default_rng(0)
    reached, loss = [], jax.numpy.float32(0)
    for number in range(warm_up + steps):
        jax.block_until_ready((state, loss))
        if number >= warm_up:
            reached.append((number, now()))
        chosen = rng.integers(0, len(users), BATCH_SIZE)
        batch = {
            "user": users[chosen],
            "item": events.item_number[chosen],
            "context": events.context[CONTEXT.name][chosen][:, None],
        }
        state, loss = step(state, batch)
    jax.block_until_ready((state, loss))
    reached.append((warm_up + steps, now()))
    return measured(BATCH_SIZE, reached) | {
        "loss": float(loss),
        "chance": float(np.log(BATCH_SIZE)),
    }


def main() -> None:
    case, folder, warm_up, steps = sys.argv[1:]
    given = Path(folder), int(warm_up), int(steps)
    found = measure_seed(*given) if case == "seed" else measure_antiphon(case, *given)
    print(json.dumps(found))


if __name__ == "__main__":
    main()

"""What does it cost to merge the user's own library into what exact search finds?

    python benchmarks/merge.py [--quick] [--items N]

Prints JSON. A run with made-up weights (`_made_up_run.py`), whose users have 200 plays in the
median and 400 in the mean, is asked in memory: for lists of all items, with the library left out
of the search, scored by the repeat term and merged; and for the hundred nearest of the same
embeddings, the plain exact search. Seconds are medians of rounds in turns, of as many queries as
`batches` says; embedding the queries is part of neither.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from _made_up_run import make_run
from antiphon.queries import Queries
from antiphon.retrieval import TrainedModel

K = 100
ROUNDS = 15
BATCHES = (1, 16, 256)
WANTED = 1.5


def queries_of(model: TrainedModel, number: int, rng: np.random.Generator) -> Queries:
    """Of users drawn at random, under contexts drawn at random, at the end of the log."""
    users = rng.integers(1, model.prepared.schema.user_count + 1, number).astype(np.int32)
    now_s = np.full(number, model.prepared.schema.held_out_start_s, np.int64)
    context = {
        "is_organic": rng.integers(1, 3, number).astype(np.uint8),
        "hour": rng.integers(0, 24, number).astype(np.float32),
    }
    return Queries(users, users.astype(np.int64), now_s, context)


def measure(model: TrainedModel, batch: int, rounds: int) -> dict[str, Any]:
    """Seconds of both ways, and their ratio."""
    rng = np.random.default_rng(batch)
    took: dict[str, list[float]] = {"plain": [], "merged": []}
    for _ in range(rounds + 1):  # the first one warms up
        queries = queries_of(model, batch, rng)
        embedded = model.embed(queries)
        with mock.patch.object(TrainedModel, "embed", return_value=embedded):
            took["merged"].append(seconds(lambda q=queries: model.answer(q, K)))
        took["plain"].append(seconds(lambda e=embedded: model.search.top_k(e, K)))
    plain, merged = (statistics.median(took[way][1:]) for way in ("plain", "merged"))
    return {"plain_s": plain, "merged_s": merged, "ratio": round(merged / plain, 2)}


def seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a small corpus; figures mean little")
    parser.add_argument("--items", type=int, default=138_102)
    options = parser.parse_args()
    items, users = (5_000, 300) if options.quick else (options.items, 5_000)
    with tempfile.TemporaryDirectory() as folder:
        model = TrainedModel.load_run(make_run(Path(folder) / "run", items, users, "exact"))
        model = model.with_index(Path(folder) / "run" / "index")
        batches = {
            str(batch): measure(model, batch, 3 if options.quick else ROUNDS) for batch in BATCHES
        }
    print(
        json.dumps({"items": items, "k": K, "ratio_wanted": WANTED, "batches": batches}, indent=2)
    )


if __name__ == "__main__":
    main()

"""How long do writing and reading a checkpoint take, in how much memory?

    python benchmarks/checkpoint.py [--quick] [--items 9390623] [--users 1000000] [--out FOLDER]

Prints JSON. A model of width 64 without features is made, and its checkpoint written twice and read
once. `written_seconds` is what training waits for, `complete_seconds` when the folder has its name.
`read_seconds` includes checking every hash; what was written just before is still in memory then.
Memory is the largest resident set, Python and all, beside the model's own size; without --out the
checkpoints go to a temporary folder.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

from antiphon.checkpoints import Checkpoints
from antiphon.config import Config
from antiphon.memory import peak_memory_bytes, reset_peak_memory
from antiphon.model import TwoTower
from antiphon.schema import Schema
from antiphon.watch import Training

LOG = {"events": "none", "user": "user", "item": "item", "time": "time"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=9_390_623)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--quick", action="store_true", help="138,000 items, 10,000 users")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if given.quick:
        given.items, given.users = 138_000, 10_000
    schema = Schema(
        item_count=given.items,
        user_count=given.users,
        train_end_s=0,
        held_out_start_s=0,
        held_out_end_s=1,
        validation_start_s=0,
        gap_s=0,
    )
    config = Config.parse({"name": "checkpoint", "log": LOG})
    measured = {"processors": os.cpu_count(), "items": given.items, "users": given.users}
    with tempfile.TemporaryDirectory(dir=given.out) as folder:
        started = time.perf_counter()
        model = TwoTower(schema, config.model, config.train)
        for layer in model.tables.values():
            layer.table.value.block_until_ready()
        measured["model_seconds"] = round(time.perf_counter() - started, 2)
        measured["model_bytes"] = sum(v.value.nbytes for v in model.variables)
        measured["model_peak_memory_bytes"] = peak_memory_bytes()
        reset_peak_memory()
        checkpoints = Checkpoints(Path(folder), "benchmark", {}, 0.0)
        for time_of in ("first_", ""):
            started = time.perf_counter()
            checkpoints.write(model, Training(2, done=1 if time_of else 2))
            measured[f"{time_of}written_seconds"] = round(time.perf_counter() - started, 2)
            checkpoints.wait()
            measured[f"{time_of}complete_seconds"] = round(time.perf_counter() - started, 2)
        measured["writing_peak_memory_bytes"] = peak_memory_bytes()
        reset_peak_memory()
        started = time.perf_counter()
        reached = Checkpoints(Path(folder), "benchmark", {}, 0.0).resume(model, Training(2))
        for layer in model.tables.values():
            layer.table.value.block_until_ready()
        measured["read_seconds"] = round(time.perf_counter() - started, 2)
        measured["reading_peak_memory_bytes"] = peak_memory_bytes()
        if reached.done != 2:
            raise SystemExit(f"the checkpoint wasn't read: {reached.notes}")
    print(json.dumps(measured, indent=2))


if __name__ == "__main__":
    main()

"""How long does the prepare stage take, and in how much memory? Beside Hugging Face `datasets`.

    python benchmarks/prepare.py [--quick] [--log data/synthetic-50m]

Prints JSON. The log is one in the layout of Yambda; if it isn't there, it is synthesized (50M
events; with --quick 1M). The whole stage runs with the features of configs/yambda-50m.toml, audio
vectors included, in a fresh process for each memory limit; peak memory is that process's largest
resident set, Python and all. The other side is what the Keras example does to its first rows: a
batched filter in Python, numpy.unique, and a batched map to numbers. It makes no histories, splits
or features, and its time grows with the rows, so it is run on 2M of them and scaled.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from antiphon.config import Config
from antiphon.memory import peak_memory_bytes
from antiphon.prepare import prepare
from antiphon.synthetic import synthesize

ROOT = Path(__file__).resolve().parent.parent
EVENTS = "flat/50m/multi_event.parquet"


def config_for(log: Path, memory_limit: str, threads: int | None) -> Config:
    text = (ROOT / "configs/yambda-50m.toml").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.toml"
        path.write_text(text.replace("data/yambda/", f"{log.resolve()}/"), encoding="utf-8")
        limits = [f"prepare.memory_limit={memory_limit}"]
        return Config.load(path, limits + ([f"prepare.threads={threads}"] if threads else []))


def measure_prepare(log: Path, memory_limit: str, threads: int | None) -> dict[str, Any]:
    config = config_for(log, memory_limit, threads)
    steps: dict[str, float] = {}
    with tempfile.TemporaryDirectory(dir=log.parent) as folder:
        wall, busy, last = time.perf_counter(), time.process_time(), ["", time.perf_counter()]

        def progress(step: str) -> None:
            now = time.perf_counter()
            if last[0]:
                steps[str(last[0])] = round(now - float(last[1]), 2)
            last[:] = [step, now]

        prepared = prepare(config, Path(folder) / "prepared", progress=progress)
        progress("")
        seconds, processor = time.perf_counter() - wall, time.process_time() - busy
        rows = prepared.statistics()["held_out"]["rows_read"]
        return {
            "memory_limit": memory_limit,
            "rows": rows,
            "positives": prepared.events.count,
            "items": prepared.schema.item_count,
            "seconds": round(seconds, 2),
            "processor_seconds": round(processor, 2),
            "rows_per_second": round(rows / seconds),
            "peak_memory_bytes": peak_memory_bytes(),
            "seconds_by_step": steps,
        }


def is_positive(batch: dict[str, list[Any]]) -> list[bool]:
    return [
        event in ("like", "undislike") or (event == "listen" and ratio is not None and ratio >= 50)
        for event, ratio in zip(batch["event_type"], batch["played_ratio_pct"], strict=True)
    ]


def measure_datasets(log: Path, rows: int) -> dict[str, Any]:
    os.environ["HF_HUB_OFFLINE"] = "1"
    import datasets

    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory(dir=log.parent) as folder:
        few = Path(folder) / "few.parquet"
        taken = 0
        with pq.ParquetWriter(few, pq.read_schema(log / EVENTS)) as writer:
            for batch in pq.ParquetFile(log / EVENTS).iter_batches(500_000):
                part = batch.slice(0, rows - taken)
                writer.write_table(pa.Table.from_batches([part]))
                taken += len(part)
                if taken == rows:
                    break
        started = time.perf_counter()
        log_rows = datasets.Dataset.from_parquet(str(few), cache_dir=folder)
        positive = log_rows.filter(is_positive, batched=True, batch_size=10_000)
        items = np.unique(positive.with_format("numpy")["item_id"][:])

        def number(batch: dict[str, list[Any]]) -> dict[str, Any]:
            return {"item_number": np.searchsorted(items, batch["item_id"]) + 1}

        numbered = positive.map(number, batched=True, batch_size=10_000)
        seconds = time.perf_counter() - started
        return {
            "rows": taken,
            "positives": len(numbered),
            "items": len(items),
            "seconds": round(seconds, 2),
            "rows_per_second": round(taken / seconds),
            "peak_memory_bytes": peak_memory_bytes(),
        }


def in_fresh_process(*arguments: object) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="1M events; figures mean little")
    parser.add_argument("--log", type=Path, help="folder of a log in the layout of Yambda")
    parser.add_argument("--memory-limits", nargs="+", default=["2GiB", "0.8GiB"])
    parser.add_argument("--threads", type=int)
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        kind, log, *rest = options.child
        if kind == "prepare":
            threads = None if rest[1] == "None" else int(rest[1])
            measured = measure_prepare(Path(log), rest[0], threads)
        else:
            measured = measure_datasets(Path(log), int(rest[0]))
        print(json.dumps(measured))
        return

    log = options.log or ROOT / ("data/synthetic-1m" if options.quick else "data/synthetic-50m")
    if not log.exists():
        users, events = (200, 1_000_000) if options.quick else (9_238, 50_000_000)
        synthesize(log, users=users, events=events)
    runs = [in_fresh_process("prepare", log, m, options.threads) for m in options.memory_limits]
    baseline = in_fresh_process("datasets", log, 100_000 if options.quick else 2_000_000)
    ratios = [round(run["rows_per_second"] / baseline["rows_per_second"], 1) for run in runs]
    print(
        json.dumps(
            {
                "prepare": runs,
                "datasets": baseline,
                "ratio": ratios[0],
                "ratio_by_memory_limit": dict(zip(options.memory_limits, ratios, strict=True)),
                "wanted": {
                    "ratio": 20,
                    "rows_per_second_in_2GiB": 1_500_000,
                    "peak_memory_bytes": [2 * 2**30, int(0.8 * 2**30)],
                },
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()

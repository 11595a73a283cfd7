"""How long do the baselines take, tuning included? On a log the size of the demo.

    python benchmarks/baselines.py [--quick] [--prepared FOLDER]

Prints JSON: for each baseline the wall-clock seconds of tuning on the validation window and of
fitting on all of training, how many settings were tried, and the seconds of ranking 100 items for
every query of the test window. The log is synthesized and prepared in a temporary folder (2,000
users, 1M events; with --quick 300 users, 100,000 events) if no prepared one is named.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from antiphon.baselines import NAMES, tune_baselines
from antiphon.config import Config, EvaluateSection
from antiphon.memory import peak_memory_bytes
from antiphon.prepare import prepare
from antiphon.prepared import Prepared
from antiphon.synthetic import synthesize
from antiphon.windows import held_out_window

ROOT = Path(__file__).resolve().parent.parent


def prepared_log(folder: Path, users: int, events: int) -> Prepared:
    synthesize(folder / "log", users=users, events=events)
    text = (ROOT / "configs/demo.toml").read_text(encoding="utf-8")
    path = folder / "bench.toml"
    path.write_text(text.replace("data/demo", str(folder / "log")), encoding="utf-8")
    return prepare(Config.load(path), folder / "prepared")


def measure(prepared: Prepared) -> dict[str, Any]:
    section = EvaluateSection()
    queries = held_out_window(prepared, section).queries
    marks: list[tuple[str, float]] = []
    started, busy = time.perf_counter(), time.process_time()
    fitted = tune_baselines(
        prepared, section, progress=lambda words: marks.append((words, time.perf_counter()))
    )
    ended, processor = time.perf_counter(), time.process_time() - busy
    lasting = {name: {"tuning_s": 0.0, "fitting_s": 0.0, "settings": 0} for name in NAMES}
    for (words, begun), (_, over) in itertools.pairwise([*marks, ("", ended)]):
        kind, name = words.split(":")[0].split()
        lasting[name][f"{kind}_s"] += over - begun
        lasting[name]["settings"] += "tried" in words
    table: dict[str, Any] = {}
    for name, one in fitted.items():
        before = time.perf_counter()
        one.rank(queries, 100, exclude_heard=False)
        parts = {**lasting[name], "ranking_s": time.perf_counter() - before}
        table[name] = {key: round(value, 3) for key, value in parts.items()}
        table[name] |= {"knobs": dict(one.knobs), "validation": one.validation, "note": one.note}
    return {
        "users": prepared.schema.user_count,
        "events": prepared.events.count,
        "items": prepared.schema.item_count,
        "queries": len(queries),
        "all_s": round(ended - started, 2),
        "all_processor_s": round(processor, 2),
        "peak_memory_bytes": peak_memory_bytes(),
        "baselines": table,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the log")
    parser.add_argument("--prepared", type=Path, help="a prepared log, as in runs/demo/prepared")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        size = (300, 100_000) if options.quick else (2_000, 1_000_000)
        prepared = (
            Prepared.open(options.prepared)
            if options.prepared
            else prepared_log(Path(folder), *size)
        )
        measured = measure(prepared)
    print(json.dumps({"benchmark": "baselines", **measured}, indent=2))


if __name__ == "__main__":
    main()

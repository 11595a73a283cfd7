"""How long does the whole chain take on 50 million events, and in how much memory and disk?

    python benchmarks/full_scale.py [--users 10000] [--events 50000000] [--epochs 1]
        [--judge USERS] [--out FOLDER] [--quick]

Prints JSON. The log is synthesized in the form of Yambda; then each stage is the command that a
user would give, a process of its own, with configs/yambda-50m.toml. Training may be a part of an
epoch, and some users only may be judged; the projection allows for both. Only evaluation is started
otherwise: it judges the model beside what is popular within the context, as tuning all the
baselines on such a log takes hours. Memory is a process's largest, without what it maps from files
and with it (`resident`: the system takes that back when it is short). Disk is what a stage leaves.
`projection` multiplies what was measured up to the events, users and items of Yambda-5B.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from antiphon.baselines import tune_baselines
from antiphon.config import Config
from antiphon.evaluate import evaluate_rankers
from antiphon.prepared import Prepared
from antiphon.retrieval import TrainedModel

ROOT = Path(__file__).resolve().parent.parent
ANTIPHON = str(Path(sys.executable).with_name("antiphon"))
BASELINES = ("context_popular",)
LOOK_EVERY_S = 0.25
TOLD: dict[str, tuple[str, ...]] = {
    "synth": (),
    "prepare": (),
    "train": ("loss", "input_wait_share"),
    "evaluate": ("queries", "models"),
    "index": (),
}
"""What is kept of what stages tell."""
YAMBDA_5B = {"events": 4_790_000_000, "users": 1_000_000, "items": 9_390_000}


def evaluate(run: Path) -> None:
    """Judge a run's model beside the cheapest baseline; prints what was found."""
    config = Config.load(run / "config.toml")
    prepared = Prepared.open(run / "prepared")
    rankers: dict[str, Any] = {"antiphon": TrainedModel.load_run(run)}
    rankers |= tune_baselines(prepared, config.evaluate, names=BASELINES)
    found = evaluate_rankers(prepared, rankers, config.evaluate)
    figures = {
        name: {m: found.value(name, "all", m) for m in ("ndcg_at_10", "recall_at_100")}
        for name in rankers
    }
    print(json.dumps({"queries": found.slices["all"], "models": figures}))


def stage(name: str, command: Sequence[str], made: Path) -> dict[str, Any]:
    """Run one stage; what it took.

    Args:
        name: of the stage.
        command: prints JSON.
        made: the folder it leaves, if it leaves one.
    """
    print(name, "...", file=sys.stderr, flush=True)
    started = time.perf_counter()
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    most = {"RssAnon": 0, "VmHWM": 0}
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(LOOK_EVERY_S):
            try:
                lines = Path(f"/proc/{running.pid}/status").read_text().splitlines()
            except OSError:
                return
            for line in lines:
                field, _, value = line.partition(":")
                if field in most:
                    most[field] = max(most[field], int(value.split()[0]) * 1024)

    watching = threading.Thread(target=watch)
    watching.start()
    told, _ = running.communicate()
    ended.set()
    watching.join()
    seconds = time.perf_counter() - started
    if running.returncode:
        raise SystemExit(f"{name} failed with {running.returncode}")
    return {
        "stage": name,
        "seconds": round(seconds, 1),
        "memory_bytes": most["RssAnon"],
        "resident_bytes": most["VmHWM"],
        "disk_bytes": sum(path.stat().st_size for path in made.rglob("*") if path.is_file()),
        "told": json.loads(told),
    }


def config_of(log: Path, folder: Path) -> Path:
    """The config of the 50M log, reading this one."""
    text = (ROOT / "configs/yambda-50m.toml").read_text(encoding="utf-8")
    path = folder / "full_scale.toml"
    path.write_text(text.replace("data/yambda/", f"{log.resolve()}/"), encoding="utf-8")
    return path


def projection(
    stages: dict[str, dict[str, Any]], size: dict[str, int], epochs: float, judged: int
) -> dict[str, Any]:
    """Seconds and disk at the size of Yambda-5B, where a stage's work grows as told."""
    grows = {
        "prepare": ("events",),
        "train": ("events",),
        "evaluate": ("users", "items"),
        "index": ("items",),
    }
    found = {}
    for name, by in grows.items():
        times = 1 / epochs if name == "train" else 1.0
        for what in by:
            times *= YAMBDA_5B[what] / (judged if what == "users" else size[what])
        found[name] = {"grows_with": by, "hours": round(stages[name]["seconds"] * times / 3600, 2)}
    times = YAMBDA_5B["events"] / size["events"]
    found["prepare"]["disk_bytes"] = round(stages["prepare"]["disk_bytes"] * times)
    return found


def main(name: str = "full_scale", defaults: Sequence[str] = ()) -> None:
    """Measure.

    Args:
        name: of the benchmark.
        defaults: arguments; what the command line says counts more.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=50_000_000)
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--judge", type=int, help="so many users; all by default")
    parser.add_argument("--quick", action="store_true", help="1,000 users, 300,000 events")
    parser.add_argument("--out", type=Path, help="keep log and run here")
    parser.add_argument("--evaluate", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args([*defaults, *sys.argv[1:]])
    if given.evaluate:
        evaluate(given.evaluate)
        return
    if given.quick:
        given.users, given.events = 1_000, 300_000
    with tempfile.TemporaryDirectory() as temporary:
        out = given.out or Path(temporary)
        out.mkdir(parents=True, exist_ok=True)
        log, runs = out / "log", out / "runs"
        made_log = ["--users", str(given.users), "--events", str(given.events), "--out", str(log)]
        stages = [stage("synth", [ANTIPHON, "synth", *made_log, "--json"], log)]
        config = config_of(log, out)
        run = runs / Config.load(config).name
        to = ["--runs", str(runs), "--json"]
        own = [sys.executable, __file__, "--evaluate", str(run)]
        own_words = ["--set", f"train.epochs={given.epochs}"]
        own_words += ["--set", f"evaluate.max_users={given.judge}"] if given.judge else []
        stages += [
            stage("prepare", [ANTIPHON, "prepare", str(config), *own_words, *to], run / "prepared"),
            stage("train", [ANTIPHON, "train", str(config), *own_words, *to], run / "model"),
            stage("evaluate", own, run / "evaluation"),
            stage("index", [ANTIPHON, "index", str(run), "--json"], run / "index"),
        ]
        prepared = Prepared.open(run / "prepared")
        size = {
            "events": int(prepared.statistics()["held_out"]["rows_read"]),
            "positives": prepared.events.count,
            "users": prepared.schema.user_count,
            "items": prepared.schema.item_count,
        }
    named = {one["stage"]: one for one in stages}
    for one, kept in TOLD.items():
        told = named[one].pop("told")
        named[one] |= {key: told[key] for key in kept}
    judged = min(given.judge or size["users"], size["users"])
    found = {
        "size": size,
        "epochs": given.epochs,
        "users_judged": judged,
        "stages": stages,
        "projection": projection(named, size, given.epochs, judged),
    }
    print(json.dumps({"benchmark": name, **found}, indent=2))


if __name__ == "__main__":
    main()

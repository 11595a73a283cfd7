"""Run every benchmark, or those named, and keep what each prints; then write docs/performance.md.

    python scripts/bench.py [--quick] [NAME ...]

Each file of benchmarks/ prints one JSON document; it goes to benchmarks/results/NAME.json, with the
machine, the versions and the commit it was measured on under `measured_on`. Figures of `--quick`
mean little: they, and a page of them, go to benchmarks/results/quick/, which isn't kept. Other
arguments are handed on to a benchmark that is named. What a benchmark says meanwhile is shown.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BENCHMARKS = ROOT / "benchmarks"
RESULTS = BENCHMARKS / "results"
MEASURED = ("antiphon", "duckdb", "faiss-cpu", "jax", "keras", "numpy", "pyarrow", "torch")
FIRST = ("limits", "training", "catalogue", "equal_quality")
"""What the page is mostly made of; the others follow in the order of their names."""
LEAST = {
    "baselines": ["--quick"],
    "catalogue": ["--items", "10000", "1000000", "10000000"],
    "checkpoint": ["--quick"],
    "day": ["--quick"],
    "equal_quality": ["--seconds", "60"],
    "index": ["--items", "138000"],
    "prepare": ["--quick"],
    "serve": ["--items", "138000"],
    "synth": ["--users", "2000", "--events", "10000000"],
    "training": [
        "--cases",
        *("plain", "torch_sparse", "seed", "same_loss", "same_loss_half", "antiphon"),
    ],
}
"""Arguments of those that would take minutes, where all are run: all within 15 minutes."""
APART = ("ablations", "newcomers", "shapes")
"""About models and not about speed; run by hand, see docs/results.md."""
LONG = ("full_scale", "full_scale_200m", "memory_limit")
"""Takes an hour, or needs to be root; run only if it is named."""
MOST_SECONDS = 420
"""Of one benchmark, where all are run, after which it is ended and counts as failed."""


def main() -> int:
    """Exit code 1 if a benchmark failed; the others run all the same."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    names = sorted(
        (
            path.stem
            for path in BENCHMARKS.glob("*.py")
            if not path.stem.startswith("_") and path.stem not in APART
        ),
        key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name),
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names))
    parser.add_argument("--quick", action="store_true", help="a glance; figures mean little")
    chosen, arguments = parser.parse_known_args()
    unknown = sorted(set(chosen.names) - set(names))
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(names)}")
    if arguments and not chosen.names:
        parser.error(f"{' '.join(arguments)}: name the benchmark that this is for")
    results = RESULTS / "quick" if chosen.quick else RESULTS
    results.mkdir(parents=True, exist_ok=True)
    started, failed = time.perf_counter(), []
    todo = chosen.names or [name for name in names if name not in LONG or chosen.quick]
    for number, name in enumerate(todo, 1):
        given = ["--quick"] if chosen.quick else [] if chosen.names else LEAST.get(name, [])
        minutes = (time.perf_counter() - started) / 60
        print(f"[{number}/{len(todo)}, {minutes:.1f} min] {name}", *given, "...", flush=True)
        most_seconds = None if chosen.names else MOST_SECONDS
        if not run(name, [*given, *arguments], results, most_seconds):
            failed.append(name)
    page = [sys.executable, str(ROOT / "scripts/performance_page.py")]
    page += ["--results", str(results)] if chosen.quick else []
    if subprocess.run(page, check=False).returncode:
        failed.append("the page")
    print(f"{(time.perf_counter() - started) / 60:.1f} minutes in all")
    if failed:
        print("failed:", ", ".join(failed))
    return 1 if failed else 0


def run(name: str, arguments: list[str], results: Path, most_seconds: float | None = None) -> bool:
    """Run one benchmark and write what it found; whether that went well."""
    started = time.perf_counter()
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), *arguments]
    # a session of its own, so that what it started can be ended with it
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as running:
        try:
            printed, _ = running.communicate(timeout=most_seconds)
        except BaseException as error:
            os.killpg(running.pid, signal.SIGKILL)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            print(f"{name}: ended after {most_seconds} s")
            return False
    seconds = time.perf_counter() - started
    if running.returncode:
        print(f"{name}: exit code {running.returncode}")
        return False
    try:
        measured = json.loads(printed)
    except json.JSONDecodeError as error:
        print(f"{name}: what it printed isn't JSON: {error}")
        return False
    path = results / f"{name}.json"
    text = json.dumps(document(name, arguments, seconds, measured), indent=2)
    path.write_text(text + "\n", encoding="utf-8")
    print(f"{name}: {seconds:.0f} s, {path.relative_to(ROOT)}")
    return True


def document(
    name: str, arguments: list[str], seconds: float, measured: dict[str, Any]
) -> dict[str, Any]:
    """What is kept: where it was measured, then all that the benchmark found."""
    where = {"arguments": arguments, "seconds": round(seconds, 1), **_where()}
    return {"benchmark": name, "measured_on": where, **measured}


def _where() -> dict[str, Any]:
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "commit": commit.stdout.strip() or None,
        "machine": {"architecture": platform.machine(), "cores": os.cpu_count()},
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in MEASURED},
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    sys.exit(main())

"""Run every benchmark, or those named, and keep what each prints.

    python scripts/bench.py [--quick] [NAME ...]

Each file of benchmarks/ prints one JSON document; it goes to benchmarks/results/NAME.json, with the
machine, the versions and the commit it was measured on. Other arguments are handed on.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BENCHMARKS = ROOT / "benchmarks"
MEASURED = ("antiphon", "duckdb", "jax", "keras", "numpy", "pyarrow")


def main() -> int:
    """Exit code 1 if a benchmark failed; the others run all the same."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    names = sorted(p.stem for p in BENCHMARKS.glob("*.py") if not p.stem.startswith("_"))
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names))
    chosen, arguments = parser.parse_known_args()
    unknown = sorted(set(chosen.names) - set(names))
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(names)}")
    failed = [name for name in chosen.names or names if not _run(name, arguments)]
    if failed:
        print("failed:", ", ".join(failed))
    return 1 if failed else 0


def _run(name: str, arguments: list[str]) -> bool:
    print(f"{name} ...", flush=True)
    started = time.perf_counter()
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), *arguments]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        print(f"{name}: exit code {done.returncode}")
        return False
    try:
        measured = json.loads(done.stdout)
    except json.JSONDecodeError as error:
        print(f"{name}: what it printed isn't JSON: {error}")
        return False
    document = {"benchmark": name, "seconds": round(seconds, 1), **_where(), "measured": measured}
    results = BENCHMARKS / "results"
    results.mkdir(exist_ok=True)
    path = results / f"{name}.json"
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    print(f"{name}: {seconds:.0f} s, {path.relative_to(ROOT)}")
    return True


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
        "versions": {name: version(name) for name in MEASURED},
    }


if __name__ == "__main__":
    sys.exit(main())

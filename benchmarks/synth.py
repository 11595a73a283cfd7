"""How long does a synthetic log take, in how much memory, and how large is it?

    python benchmarks/synth.py [--users 10000] [--events 50000000] [--quick] [--out FOLDER]

Prints JSON. Without --out the log is written to a temporary folder and removed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from pathlib import Path

from antiphon.synthetic import synthesize


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=50_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--quick", action="store_true", help="2,000 users, 1,000,000 events")
    given = parser.parse_args()
    if given.quick:
        given.users, given.events = 2_000, 1_000_000
    with tempfile.TemporaryDirectory() as temporary:
        out = given.out or Path(temporary) / "log"
        wall, busy = time.perf_counter(), time.process_time()
        summary = synthesize(out, users=given.users, events=given.events, seed=given.seed)
        wall, busy = time.perf_counter() - wall, time.process_time() - busy
        files = {
            str(path.relative_to(out)): path.stat().st_size
            for path in sorted(out.rglob("*.parquet"))
        }
    result = {
        "benchmark": "synth",
        "processors": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "seconds": round(wall, 2),
        "processor_seconds": round(busy, 2),
        "rows_per_second": round(summary.rows / wall),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "file_bytes": files,
        "statistics": summary.statistics(),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()

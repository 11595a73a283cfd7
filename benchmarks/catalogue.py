"""What does the size of the catalogue cost a training step, in time and in memory?

    python benchmarks/catalogue.py [--quick] [--items 10000 100000 1000000 10000000]

Prints JSON: step time and peak memory by case and number of items, width 64, each in a process of
its own (see `_contestants.py`). Users are a tenth as many as items, with 40 events each. Antiphon
with its defaults, without and with content features (artists, album, audio vectors in half
precision, memory-mapped), and with the seed's plain towers; beside them the seed's dense recipe,
and PyTorch's sparse embeddings under those plain towers.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from _contestants import CASES as DESCRIPTIONS
from _contestants import CONTENT, measured_or_not
from _made_up_log import Size, write_content, write_log

CASES = ("plain", "antiphon", "content", "torch_sparse", "seed")
ITEMS = (10_000, 100_000, 1_000_000, 10_000_000)
QUICK_ITEMS = (1_000, 10_000, 100_000)
FEWEST_USERS = 1_000
SHARE = 0.5
"""Of the usual steps: there are many cases."""


def growth(points: list[dict[str, Any]], name: str) -> dict[str, float]:
    """A figure at the largest size over that at the smallest, by case."""
    return {
        case: round(found[-1][name] / found[0][name], 3)
        for case in CASES
        if len(found := [one for one in points if one["case"] == case and name in one]) > 1
    }


def measure_all(items: int, share: float) -> list[dict[str, Any]]:
    """All cases on a log of so many items; one that fails says so, and the others go on."""
    points = []
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / f"{items}_items"
        write_log(Size(max(FEWEST_USERS, items // 10), items), folder)
        # those that need the content last: it is the largest part, and is gone before the next
        for case in sorted(CASES, key=lambda name: name in CONTENT):
            if case in CONTENT:
                write_content(folder)
            points.append({"case": case, "items": items, **measured_or_not(case, folder, share)})
    return points


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="up to 100,000 items, few steps")
    parser.add_argument("--items", type=int, nargs="+", help="sizes of catalogues")
    options = parser.parse_args()
    points: list[dict[str, Any]] = []
    for items in sorted(options.items or (QUICK_ITEMS if options.quick else ITEMS)):
        print(f"  {items:,} items", file=sys.stderr, flush=True)
        points += measure_all(items, 0.1 if options.quick else SHARE)
    result = {
        "step_time_growth": growth(points, "step_seconds"),
        "peak_memory_growth": growth(points, "peak_memory_bytes"),
        "described": {case: DESCRIPTIONS[case] for case in CASES},
        "points": points,
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()

"""Does training on 9.39 million tracks, with all of their content, fit into 8 GiB?

    python benchmarks/memory_limit.py [--quick] [--gib 8]

Prints JSON. Antiphon's defaults, width 64, artists, albums and audio vectors of half precision
(see `_contestants.py`): on 138,000 items, on 9.39 million, and on these once more in a control
group of Linux whose memory has a limit, pages of mapped files included: what doesn't fit there ends
the process. The log's own files are put out of memory first, else they would count as somebody
else's. `steps_over_138k` are step times over that of 138,000 items. Who may not make a control
group, as who isn't root, gets `missing` in the place of the third.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from _contestants import measure, measured_or_not
from _made_up_log import QUICK, SIZES, write_content, write_log

CASE = "content"
GROUPS = Path("/sys/fs/cgroup")


@contextmanager
def limited(most_bytes: int) -> Iterator[Path]:
    """This process and what it starts, in a control group of so much memory; yields its folder.

    Raises:
        OSError: it can't be made here.
    """
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    groups = dict(line.split(":", 2)[1:] for line in lines)
    first = "memory" in groups  # the first version has a tree for each resource
    home = GROUPS / ("memory" if first else "") / groups["memory" if first else ""].lstrip("/")
    group = home / f"antiphon-{os.getpid()}"
    group.mkdir()
    try:
        name = "memory.limit_in_bytes" if first else "memory.max"
        (group / name).write_text(str(most_bytes))
        (group / "cgroup.procs").write_text(str(os.getpid()))
        try:
            yield group
        finally:
            (home / "cgroup.procs").write_text(str(os.getpid()))
    finally:
        group.rmdir()


def most_used(group: Path) -> int:
    """The most that a control group has held, in bytes."""
    names = "memory.max_usage_in_bytes", "memory.peak"
    return next(int(path.read_text()) for name in names if (path := group / name).exists())


def put_out_of_memory(folder: Path) -> None:
    """Have the system forget what it holds of files that are on disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            opened = os.open(path, os.O_RDONLY)
            os.posix_fadvise(opened, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(opened)


def in_limit(folder: Path, most_bytes: int, share: float) -> dict[str, Any]:
    """The case under a limit, or why it can't be."""
    put_out_of_memory(folder)
    with ExitStack() as stack:
        try:
            group = stack.enter_context(limited(most_bytes))
        except OSError as error:
            return {"missing": f"no control group can be made: {error.strerror}"}
        found = measured_or_not(CASE, folder, share)
        return found | {"limit_bytes": most_bytes, "most_used_bytes": most_used(group)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small tables; figures mean little")
    parser.add_argument("--gib", type=float, default=8.0)
    given = parser.parse_args()
    if sys.platform != "linux":
        raise SystemExit("control groups are Linux's: run this there")
    sizes, share = (QUICK, 0.1) if given.quick else (SIZES, 1.0)
    with tempfile.TemporaryDirectory() as parent:
        folders = {name: Path(parent) / name for name in sizes}
        for name, folder in folders.items():
            write_log(sizes[name], folder)
            write_content(folder)
        os.sync()  # else it is written to disk while steps are timed
        cases = {name: measure(CASE, folder, share) for name, folder in folders.items()}
        cases["9m_limited"] = in_limit(folders["9m"], round(given.gib * 2**30), share)
    least = cases["138k"]["step_seconds"]
    result = {
        "steps_over_138k": {
            name: round(one["step_seconds"] / least, 3)
            for name, one in cases.items()
            if "step_seconds" in one
        },
        "sizes": {name: vars(size) for name, size in sizes.items()},
        "cases": cases,
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()

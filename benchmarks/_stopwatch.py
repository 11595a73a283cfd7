"""Time and memory of a stretch of steps, and the process of its own that they are measured in."""

from __future__ import annotations

import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from antiphon.memory import peak_memory_bytes

__all__ = ["Moment", "in_fresh_process", "measured", "now"]


class Moment(NamedTuple):
    """A moment of a process: wall clock, its processor time, its memory that is no file's."""

    wall_s: float
    processor_s: float
    anonymous_bytes: int


def now() -> Moment:
    """This one. (The memory is 0 where there is no /proc.)"""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        status = "RssAnon: 0 kB"
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("RssAnon"))
    return Moment(time.perf_counter(), time.process_time(), int(kilobytes) * 1024)


def measured(batch_size: int, reached: Sequence[tuple[int, Moment]]) -> dict[str, Any]:
    """Figures of a stretch of steps.

    The step time is the median over the spans between the moments: what else the machine does now
    and then doesn't count.

    Args:
        batch_size: examples of a step.
        reached: how many steps were done, and when; the first is where the stretch begins.
    """
    spans = [
        ((after.wall_s - before.wall_s) / steps, (after.processor_s - before.processor_s) / steps)
        for (first, before), (last, after) in itertools.pairwise(reached)
        for steps in [last - first]
    ]
    step_s = statistics.median(wall_s for wall_s, _ in spans)
    return {
        "batch_size": batch_size,
        "steps": reached[-1][0] - reached[0][0],
        "step_seconds": step_s,
        "least_step_seconds": min(wall_s for wall_s, _ in spans),
        "step_processor_seconds": statistics.median(busy_s for _, busy_s in spans),
        "examples_per_second": round(batch_size / step_s),
        "peak_memory_bytes": peak_memory_bytes(),
        "anonymous_memory_bytes": max(moment.anonymous_bytes for _, moment in reached),
    }


def in_fresh_process(script: str, *arguments: object) -> dict[str, Any]:
    """What a script of this folder prints, as JSON.

    Raises:
        subprocess.CalledProcessError: it failed; what it said is on standard error.
    """
    command = [sys.executable, str(Path(__file__).parent / script), *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result

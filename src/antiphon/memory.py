"""The peak memory of a stretch of a program."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

__all__ = ["peak_memory_bytes", "reset_peak_memory"]


def reset_peak_memory() -> None:
    """Let `peak_memory_bytes` count from now on, where the system can (Linux)."""
    try:
        # proc(5): writing 5 resets the peak resident set size ("VmHWM")
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def peak_memory_bytes() -> int:
    """The largest resident set size since the reset, or else since the process began."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024

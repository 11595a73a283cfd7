"""The memory of a stretch of a program: its peak, and whether freed blocks stay at hand."""

from __future__ import annotations

import contextlib
import ctypes
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = [
    "freed_memory_kept",
    "give_back_freed_memory",
    "peak_memory_bytes",
    "reset_peak_memory",
]

# mallopt(3): its parameters, and the values that glibc starts with
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_DEFAULTS = {_TRIM_THRESHOLD: 128 * 1024, _MMAP_MAX: 65_536}


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


@contextlib.contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Let up to 1 GiB of freed memory stay with the process meanwhile, where it can (glibc).

    XLA allocates the temporaries of a step anew each time. glibc takes blocks of over 32 MiB from
    the system and gives them back at once, so that every step faults its pages in again: a third
    of the time of one whose temporaries are just beyond that size.
    """
    library = _glibc()
    if library is None:
        yield
        return
    library.mallopt(_MMAP_MAX, 0)
    library.mallopt(_TRIM_THRESHOLD, 2**30)
    try:
        yield
    finally:
        for parameter, value in _DEFAULTS.items():
            library.mallopt(parameter, value)
        library.malloc_trim(0)


def give_back_freed_memory() -> None:
    """Let the system have what is freed by now, where that can be done (glibc)."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(None)
        return library if library.mallopt and library.malloc_trim else None
    except (OSError, AttributeError, TypeError):
        return None

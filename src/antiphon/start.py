"""The program `antiphon`: what must be set before a process begins, then the command line.

glibc reads its tunables once, at the start of a process. A training step's temporaries are one
block; a thread's arena can hold none beyond 64 MiB, whatever mallopt was told, so that it is taken
from the system and given back at every step, page by page: a fifth of the time of a step on a log
of ten thousand users. In huge pages that is next to nothing.

OpenBLAS makes a team of threads when it is loaded. A service has no product that is worth sharing
(see `threads`), but telling the team so for each answer, and that it may work again, takes
processors from what has much to do: without a team, two workers on two processors answer about
twice as much when four times is asked as they can do.
"""

from __future__ import annotations

import os
import platform
import sys

__all__ = ["TRAINING", "main"]

TRAINING = {"demo", "run", "train"}
"""Commands that train; all others stay as small as they are."""
SERVING = "serve"
_TUNABLES = "GLIBC_TUNABLES"
_HUGE_PAGES = "glibc.malloc.hugetlb=1"


def main() -> None:
    """Run the command line, in the same process, begun once more where that trains."""
    command = next(iter(sys.argv[1:]), None)
    if command in TRAINING and _TUNABLES not in os.environ and platform.libc_ver()[0] == "glibc":
        environment = {**os.environ, _TUNABLES: _HUGE_PAGES}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)
    if command == SERVING:
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from antiphon import cli

    cli.main()

"""One thread a matrix product.

A team of BLAS threads that is called for every small product waits for its slowest, which beside
other work on the same processors takes many times as long as the product; and for tens of
milliseconds after the last one its threads turn round and round, waiting for the next, on
processors that a search needs. What is worth sharing is shared by whole queries.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator

from threadpoolctl import ThreadpoolController

__all__ = ["processors", "single_threaded_blas"]


def processors() -> int:
    """Those that this process may use, where the system tells."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@contextlib.contextmanager
def single_threaded_blas() -> Iterator[None]:
    """No product inside is shared by threads."""
    with _libraries().limit(limits=1, user_api="blas"):
        yield


@functools.cache
def _libraries() -> ThreadpoolController:
    # looks at all that this process has loaded, which takes milliseconds
    return ThreadpoolController()

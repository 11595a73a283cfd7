"""How many threads work: one a matrix product, and as many searches as there are processors.

A team of BLAS threads that is called for every small product waits for its slowest, which beside
other work on the same processors takes many times as long as the product; and for tens of
milliseconds after the last one its threads turn round and round, waiting for the next, on
processors that a search needs. What is worth sharing is shared by whole queries, or by parts of the
corpus where there are few of them.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from threadpoolctl import LibController, ThreadpoolController

Result = TypeVar("Result")

__all__ = ["aside", "processors", "single_threaded_blas"]


def processors() -> int:
    """Those that this process may use, where the system tells."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@contextlib.contextmanager
def single_threaded_blas() -> Iterator[None]:
    """No product inside is shared by threads, nor meanwhile any other of this process."""
    _limit.enter()
    try:
        yield
    finally:
        _limit.leave()


def aside(work: Callable[[], Result]) -> Future[Result]:
    """Begin some work in another thread.

    Worth it where this one then spends its time outside of the interpreter, as a search does.
    """
    return _helpers().submit(work)


class _Limit:
    """The limit is the process's: the first to enter sets it, the last to leave takes it back.

    If each took back what it had found, a thread that came while another was inside would leave the
    limit behind for good.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0

    def enter(self) -> None:
        with self._lock:
            if not self._inside:
                self._before = [library.num_threads for library in _blas()]
                self._set([1] * len(self._before))
            self._inside += 1

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._set(self._before)

    def _set(self, threads: list[int]) -> None:
        # what has one thread keeps it: a call costs as much as a small product
        for library, before, wanted in zip(_blas(), self._before, threads, strict=True):
            if before != 1:
                library.set_num_threads(wanted)


_limit = _Limit()


@functools.cache
def _blas() -> tuple[LibController, ...]:
    # looks at all that this process has loaded, which takes milliseconds
    libraries = ThreadpoolController().lib_controllers
    return tuple(library for library in libraries if library.user_api == "blas")


@functools.cache
def _helpers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(processors(), "antiphon-aside")

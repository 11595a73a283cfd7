"""Batches made ahead of the training step, in a thread."""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
from collections.abc import Callable, Generator

from antiphon.batches import Batch

__all__ = ["prefetch"]


def prefetch(make: Callable[[int], Batch], first_step: int, last_step: int) -> Generator[Batch]:
    """Yield what `make` gives for steps `first_step` to `last_step - 1`, made ahead in a thread.

    An error in the thread is raised here.
    """
    ready: queue.Queue[Batch | BaseException] = queue.Queue(maxsize=3)
    stop = threading.Event()

    def work() -> None:
        _give_way()
        try:
            for step in range(first_step, last_step):
                _put(make(step))
                if stop.is_set():
                    return
        except BaseException as error:
            _put(error)

    def _put(item: Batch | BaseException) -> None:
        while not stop.is_set():
            with contextlib.suppress(queue.Full):
                ready.put(item, timeout=0.2)
                return

    # Between two steps the trainer needs the interpreter for a moment only; with Python's usual
    # 5 ms it would wait for the thread that makes batches, and the devices for both.
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(2e-4)
    thread = threading.Thread(target=work, name="batches", daemon=True)
    thread.start()
    try:
        for _ in range(first_step, last_step):
            item = ready.get()
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        thread.join()
        sys.setswitchinterval(interval_s)


def _give_way() -> None:
    """Let this thread wait for a free core, where the system can be told so.

    A device's product is shared between cores, and ends with the slowest: a thread that took one of
    them for a millisecond would hold up all.
    """
    if hasattr(os, "sched_setscheduler"):
        with contextlib.suppress(OSError):
            os.sched_setscheduler(threading.get_native_id(), os.SCHED_BATCH, os.sched_param(0))

"""Work in a child process, for what only its parent can say of its end.

JAX aborts a process that has lost the others (SIGABRT, from a thread of its own, with a stack
trace): no code of that process can say so in our words, or choose the exit code.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable

from antiphon.errors import PeerError

__all__ = ["supervised"]

FORWARDED = (signal.SIGTERM, signal.SIGINT)


def supervised(work: Callable[[], int]) -> int:
    """Do the work in a child process; to be called before there are threads.

    The child ends at once when the work is done, and when this process is gone. Signals that ask
    for an end are passed on to it.

    Returns:
        The exit code of the work.

    Raises:
        PeerError: the child was aborted.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        threading.Thread(target=_end_with_parent, args=(reading,), daemon=True).start()
        code = 1
        try:
            code = work()
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)  # JAX's own farewell would wait for processes that may be gone
    os.close(reading)
    before = {
        number: signal.signal(number, lambda got, _: os.kill(child, got)) for number in FORWARDED
    }
    try:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(writing)
    if status == -signal.SIGABRT:
        raise PeerError.of("JAX aborted this one")
    return status if status >= 0 else 128 - status


def _end_with_parent(pipe: int) -> None:
    """Nothing is ever written: reading ends when the parent does."""
    os.read(pipe, 1)
    os._exit(1)

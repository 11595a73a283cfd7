"""SIGTERM as a request that is met when it suits, in place of an end at once."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

__all__ = ["asked_to_stop"]


@contextlib.contextmanager
def asked_to_stop() -> Iterator[threading.Event]:
    """Yield an event that SIGTERM sets meanwhile.

    A request that nobody met, because the block ended anyway, is made again afterwards. Python
    hands signals to the main thread only; in others the event is never set.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)
    if stop.is_set():
        signal.raise_signal(signal.SIGTERM)

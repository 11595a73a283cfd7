"""Micro-batches: whatever queued while the model was busy is answered in one go.

One thread runs the model, so that the loop stays free to read and write. Nobody waits for a batch
to fill: an idle thread takes what has come in, be it one request. All that is asked of a batcher is
asked in one loop.

A small request that comes alone the loop answers itself, as long as the last such one was quick:
waking a thread and being woken by it would take a good part of that time again, and what comes in
meanwhile would wait for the model anyway.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Batcher", "BusyError", "TooLateError"]

Asked = TypeVar("Asked")
Answered = TypeVar("Answered")


class BusyError(Exception):
    """The queue is full."""


class TooLateError(Exception):
    """A request waited longer than its deadline; nothing was computed for it."""


@dataclass
class _Waiting(Generic[Asked, Answered]):
    asked: Sequence[Asked]
    future: asyncio.Future[list[Answered | Exception]]
    deadline: float


class Batcher(Generic[Asked, Answered]):
    """A bounded queue in front of one thread.

    Args:
        answer: answers all it is given, in order, an exception standing for what it refuses.
        together: how many requests it is given at once; one call with more goes by itself.
        queue: how many may wait.
        deadline_s: how long one may wait.
        is_small: which requests may be answered in the loop; by default none.
        quick_s: what the last of these must have taken less than.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[Asked]], Sequence[Answered | Exception]],
        *,
        together: int,
        queue: int,
        deadline_s: float,
        is_small: Callable[[Asked], bool] = lambda _: False,
        quick_s: float = 0.0,
    ) -> None:
        self._answer = answer
        self._together = together
        self._room = queue
        self._deadline_s = deadline_s
        self._is_small = is_small
        self._quick_s = quick_s
        self._lone_s = math.inf
        self._busy = False
        self._queue: deque[_Waiting[Asked, Answered]] = deque()
        self._waiting = 0
        self._calling = False
        self._wake = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return self._waiting

    @property
    def is_full(self) -> bool:
        """Whether one more would be refused."""
        return self._waiting >= self._room

    async def ask(self, asked: Sequence[Asked]) -> list[Answered | Exception]:
        """Answers to several requests, all from one call of the model.

        Raises:
            BusyError: they don't fit into the queue; at once.
            TooLateError: they waited for too long.
        """
        loop = asyncio.get_running_loop()
        one = _Waiting(asked, loop.create_future(), time.monotonic() + self._deadline_s)
        with self._wake:
            # a batch larger than the queue is let in when nothing else waits
            if self._closed or (self._waiting and self._waiting + len(asked) > self._room):
                raise BusyError
            self._queue.append(one)
            self._waiting += len(asked)
        if not self._calling:
            self._calling = True
            loop.call_soon(self._call)
        return await one.future

    async def ask_one(self, asked: Asked) -> Answered:
        """The answer to one request; see `ask`.

        Raises:
            Exception: whatever the request is refused with.
        """
        (answer,) = await self.ask([asked])
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _call(self) -> None:
        """See to all that came in with one look at the network: wake the thread once for it."""
        self._calling = False
        with self._wake:
            idle = not self._busy and len(self._queue) == 1
            if not (idle and self._lone_s < self._quick_s and self._is_lone(self._queue[0].asked)):
                self._wake.notify()
                return
            batch = self._next()
        _tell(self._answers(batch))

    def _is_lone(self, asked: Sequence[Asked]) -> bool:
        return len(asked) == 1 and self._is_small(asked[0])

    def close(self) -> None:
        """Answer what was taken, and stop."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join()

    def _work(self) -> None:
        while batch := self._take():
            now = time.monotonic()
            late = [one for one in batch if one.deadline < now]
            timely = [one for one in batch if one.deadline >= now]
            _settle([(one, TooLateError()) for one in late])
            results = self._answers(timely) if timely else []
            self._busy = False  # who is told may ask again before this thread looks
            _settle(results)

    def _take(self) -> list[_Waiting[Asked, Answered]]:
        with self._wake:
            while not self._queue:
                if self._closed:
                    return []
                self._wake.wait()
            self._busy = True
            return self._next()

    def _next(self) -> list[_Waiting[Asked, Answered]]:
        """The next batch, which waits no more."""
        batch = [self._queue.popleft()]
        size = len(batch[0].asked)
        while self._queue and size + len(self._queue[0].asked) <= self._together:
            batch.append(self._queue.popleft())
            size += len(batch[-1].asked)
        self._waiting -= size
        return batch

    def _answers(
        self, batch: list[_Waiting[Asked, Answered]]
    ) -> list[tuple[_Waiting[Asked, Answered], list[Answered | Exception] | Exception]]:
        asked = [request for one in batch for request in one.asked]
        started = time.perf_counter()
        try:
            answers = list(self._answer(asked))
        except Exception as error:  # the thread must outlive whatever goes wrong
            return [(one, error) for one in batch]
        if self._is_lone(asked):
            self._lone_s = time.perf_counter() - started
        ends = itertools.accumulate(len(one.asked) for one in batch)
        return [
            (one, answers[end - len(one.asked) : end]) for one, end in zip(batch, ends, strict=True)
        ]


def _settle(
    results: list[tuple[_Waiting[Asked, Answered], list[Answered | Exception] | Exception]],
) -> None:
    """Tell whoever asked, from another thread; they all run in one loop, which is woken once."""
    if results:
        results[0][0].future.get_loop().call_soon_threadsafe(_tell, results)


def _tell(
    results: list[tuple[_Waiting[Asked, Answered], list[Answered | Exception] | Exception]],
) -> None:
    """Tell whoever asked, in their loop."""
    for one, result in results:
        if one.future.done():  # whoever asked has gone
            continue
        if isinstance(result, Exception):
            one.future.set_exception(result)
        else:
            one.future.set_result(result)

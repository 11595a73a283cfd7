"""The queue in front of the model: bounded, in order, and nothing lost when it closes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest

from antiphon.request import Request
from antiphon.serve.batching import Batcher, BusyError, TooLateError
from antiphon.serve.desks import _is_small
from antiphon.serve.loaded import Alike


class Gate:
    """A model that answers ten times what it is asked, when it is let."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.begun = threading.Event()
        self.batches: list[list[int]] = []

    def answer(self, asked: Sequence[int]) -> list[Any]:
        self.batches.append(list(asked))
        self.begun.set()
        assert self.open.wait(30)
        if 99 in asked:
            raise RuntimeError("broken")
        return [ValueError(one) if one < 0 else 10 * one for one in asked]


def batcher(gate: Gate, **limits: Any) -> Batcher[int, int]:
    return Batcher(gate.answer, **({"together": 4, "queue": 6, "deadline_s": 30.0} | limits))


async def behind_one(gate: Gate, desk: Batcher[int, int]) -> asyncio.Task[Any]:
    """The model is busy with the request 0."""
    first = asyncio.create_task(desk.ask_one(0))
    await asyncio.to_thread(gate.begun.wait, 30)
    return first


def test_what_queued_is_answered_together_in_order() -> None:
    gate = Gate()

    async def main() -> None:
        desk = batcher(gate)
        first = await behind_one(gate, desk)
        others = [asyncio.create_task(desk.ask_one(n)) for n in range(1, 7)]
        await asyncio.sleep(0)
        assert desk.is_full
        assert desk.waiting == 6
        gate.open.set()
        assert await asyncio.gather(first, *others) == [0, 10, 20, 30, 40, 50, 60]
        assert not desk.waiting
        desk.close()

    asyncio.run(main())
    assert gate.batches == [[0], [1, 2, 3, 4], [5, 6]]


def test_one_too_many_is_refused_at_once() -> None:
    gate = Gate()

    async def main() -> None:
        desk = batcher(gate, queue=2)
        first = await behind_one(gate, desk)
        others = [asyncio.create_task(desk.ask_one(n)) for n in (1, 2)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await desk.ask_one(3)
        gate.open.set()
        assert await asyncio.gather(first, *others) == [0, 10, 20]
        assert await desk.ask_one(3) == 30
        desk.close()

    asyncio.run(main())


def test_a_call_stays_together_even_if_it_is_larger_than_the_queue() -> None:
    gate = Gate()
    gate.open.set()

    async def main() -> None:
        desk = batcher(gate, queue=2)
        assert await desk.ask(list(range(9))) == [10 * n for n in range(9)]
        desk.close()

    asyncio.run(main())
    assert gate.batches == [list(range(9))]


def test_what_waited_too_long_isnt_computed() -> None:
    gate = Gate()

    async def main() -> None:
        desk = batcher(gate, deadline_s=0.05)
        first = await behind_one(gate, desk)
        late = asyncio.create_task(desk.ask_one(1))
        await asyncio.sleep(0.1)
        gate.open.set()
        assert await first == 0
        with pytest.raises(TooLateError):
            await late
        desk.close()

    asyncio.run(main())
    assert gate.batches == [[0]]


def test_errors_go_to_whom_they_belong_and_the_thread_lives_on() -> None:
    gate = Gate()

    async def main() -> None:
        desk = batcher(gate)
        first = await behind_one(gate, desk)
        both = asyncio.create_task(desk.ask([-1, 2]))
        await asyncio.sleep(0)
        gate.open.set()
        await first
        refused, answer = await both
        assert isinstance(refused, ValueError)
        assert answer == 20
        with pytest.raises(ValueError, match="-1"):
            await desk.ask_one(-1)
        with pytest.raises(RuntimeError, match="broken"):
            await desk.ask_one(99)
        assert await desk.ask_one(3) == 30
        desk.close()

    asyncio.run(main())


def test_closing_answers_what_was_taken_and_takes_no_more() -> None:
    gate = Gate()

    async def main() -> None:
        desk = batcher(gate)
        first = await behind_one(gate, desk)
        second = asyncio.create_task(desk.ask_one(1))
        await asyncio.sleep(0)
        closing = asyncio.create_task(asyncio.to_thread(desk.close))
        while not desk._closed:
            await asyncio.sleep(0.01)
        with pytest.raises(BusyError):
            await desk.ask_one(2)
        gate.open.set()
        await closing
        assert await asyncio.gather(first, second) == [0, 10]

    asyncio.run(main())


def test_whoever_has_gone_is_no_trouble() -> None:
    gate = Gate()

    async def main() -> None:
        desk = batcher(gate)
        first = await behind_one(gate, desk)
        gone = asyncio.create_task(desk.ask_one(1))
        await asyncio.sleep(0)
        gone.cancel()
        gate.open.set()
        assert await first == 0
        assert await desk.ask_one(2) == 20
        desk.close()

    asyncio.run(main())


def test_a_lone_request_that_is_quick_is_answered_in_the_loop() -> None:
    calls: list[tuple[list[int], bool]] = []
    slow = threading.Event()

    def answer(asked: Sequence[int]) -> list[Any]:
        here = threading.current_thread() is threading.main_thread()
        calls.append((list(asked), here))
        if slow.is_set():
            time.sleep(0.3)
        if 99 in asked:
            raise RuntimeError("broken")
        return [10 * one for one in asked]

    async def main() -> None:
        limits: Any = {"together": 4, "queue": 6, "deadline_s": 30.0}
        desk = Batcher[int, int](answer, is_small=lambda n: n < 100, quick_s=0.2, **limits)
        assert await desk.ask_one(1) == 10, "nobody knows yet how long it takes"
        assert await desk.ask_one(2) == 20
        assert await asyncio.gather(desk.ask_one(3), desk.ask_one(4)) == [30, 40]
        assert await desk.ask([5, 6]) == [50, 60]
        with pytest.raises(RuntimeError, match="broken"):
            await desk.ask_one(99)
        assert await desk.ask_one(100) == 1000, "not a small one"
        assert not desk.waiting
        slow.set()
        assert await desk.ask_one(7) == 70
        assert await desk.ask_one(8) == 80, "the last one took long"
        desk.close()

    asyncio.run(main())
    assert calls == [
        ([1], False),
        ([2], True),
        ([3, 4], False),
        ([5, 6], False),
        ([99], True),
        ([100], False),
        ([7], True),
        ([8], False),
    ]


def test_while_the_thread_answers_the_loop_does_not() -> None:
    gate = Gate()

    async def main() -> None:
        desk = batcher(gate, is_small=lambda _: True, quick_s=30.0)
        first = await behind_one(gate, desk)
        second = asyncio.create_task(desk.ask_one(1))
        await asyncio.sleep(0.05)
        assert gate.batches == [[0]]
        gate.open.set()
        assert await asyncio.gather(first, second) == [0, 10]
        desk.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("asked", "small"),
    [
        (Request(1, {"mood": "a"}, history=[2, 3], mode="repeat"), True),
        (Request(1, k=101), False),
        (Request(1, why=True), False),
        (Request(1, where={"artist": [4]}), False),
        (Request(1, at_most={"artist": 1}), False),
        (Request(1, allow=[]), False),
        (Request(1, deny=[5]), False),
        (Alike(1, 10), False),
    ],
)
def test_which_requests_the_loop_may_answer(asked: Request | Alike, small: bool) -> None:
    assert _is_small(asked) == small

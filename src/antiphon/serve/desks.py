"""Where work of one kind waits its turn: each desk has a bounded queue and one thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from antiphon.answers import Answer, Item
from antiphon.errors import AntiphonError
from antiphon.request import Request
from antiphon.serve.batching import Batcher
from antiphon.serve.loaded import Alike, LoadedRun
from antiphon.serve.settings import Limits

__all__ = ["Desks", "Write"]

Write = Callable[[], Any]
SEARCHES_WAITING = 16
QUICK_S = 0.008
"""A model that answers one small request in less doesn't keep a loop from anything for long."""
SMALL_K = 100


class Desks:
    """The desks of one run.

    Attributes:
        model: answers.
        writes: does what changes the store, one after the other.
        lookups: searches titles, which may be millions: apart from the model and one at a time.
    """

    def __init__(self, loaded: LoadedRun, limits: Limits) -> None:
        deadline_s = limits.deadline_ms / 1000

        def in_parts(
            asked: Sequence[Request | Alike],
        ) -> list[Answer | list[Item] | Exception]:
            # so that a call of many doesn't keep all others waiting longer than they need
            parts = range(0, len(asked), limits.together)
            return [one for at in parts for one in loaded.answer(asked[at : at + limits.together])]

        self.model = Batcher[Request | Alike, Answer | list[Item]](
            in_parts,
            together=limits.together,
            queue=limits.queue,
            deadline_s=deadline_s,
            is_small=_is_small,
            quick_s=QUICK_S,
        )
        self.writes = Batcher[Write, Any](
            _do, together=1, queue=limits.queue, deadline_s=10 * deadline_s
        )
        self.lookups = Batcher[tuple[int, str], list[tuple[int | str, str | None]]](
            lambda asked: [loaded.lookups.items(*one) for one in asked],
            together=1,
            queue=SEARCHES_WAITING,
            deadline_s=deadline_s,
        )

    def close(self) -> None:
        """Finish what was taken, and stop."""
        for desk in (self.model, self.writes, self.lookups):
            desk.close()


def _is_small(asked: Request | Alike) -> bool:
    """Whether a request takes about as long as all others of its kind."""
    if isinstance(asked, Alike) or asked.k > SMALL_K or asked.why:
        return False
    return not (asked.where or asked.at_most or asked.deny) and asked.allow is None


def _do(writes: Sequence[Write]) -> list[Any]:
    done: list[Any] = []
    for write in writes:
        try:
            done.append(write())
        except AntiphonError as error:
            done.append(error)
    return done

"""Live events, checked and kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from antiphon.errors import ConfigError, RequestError
from antiphon.live import LiveEvent, LiveStore
from antiphon.schema import Schema
from antiphon.shelf import Shelf
from antiphon.stated import StatedContexts
from antiphon.vocabulary import Vocabulary

__all__ = ["Appended", "Appending"]

AHEAD_S = 86_400
"""An event further than this ahead of the clock is taken for a mistake, such as milliseconds."""


@dataclass(frozen=True)
class Appended:
    """What became of events.

    Attributes:
        new: kept.
        duplicates: known already; they changed nothing.
        unknown_users: of the events, those of users whom training hasn't seen.
        unknown_items: of the events, those of items that aren't in the corpus now: kept, and of no
            effect until the item is added.
        before_log: of the events, those older than training's end. They are taken to be in the log
            that was trained on: kept, and of no effect.
    """

    new: int
    duplicates: int
    unknown_users: int
    unknown_items: int
    before_log: int


class Appending:
    """Keeps live events.

    Args:
        schema: of the log.
        users: looks up users.
        contexts: encodes contexts.
        live: where events are kept; None for nowhere.
        clock: seconds on the log's clock.
    """

    def __init__(
        self,
        schema: Schema,
        users: Vocabulary,
        contexts: StatedContexts,
        live: LiveStore | None,
        clock: Callable[[], int] | None,
    ) -> None:
        self._schema = schema
        self._users = users
        self._contexts = contexts
        self._live = live
        self._clock = clock

    def append(self, events: Sequence[LiveEvent], shelf: Shelf) -> Appended:
        """Keep events; see `Recommender.append`."""
        if self._live is None:
            raise ConfigError(
                "there is nowhere to keep live events",
                hint="open the run with a store: Recommender.load(run, live=...)",
            )
        for place, event in enumerate(events):
            self._check(place, event)
        kept = [
            LiveEvent(
                self._users.spelling(event.user_id),
                shelf.vocabulary.spelling(event.item_id),
                event.timestamp_s,
                event.context,
                event.is_target,
                event.key,
            )
            for event in events
        ]
        new = self._live.append(kept)
        users = self._users.numbers([event.user_id for event in events])
        items = shelf.numbers([event.item_id for event in events])
        return Appended(
            new=new,
            duplicates=len(events) - new,
            unknown_users=int(np.count_nonzero(users == 0)),
            unknown_items=int(np.count_nonzero(items == 0)),
            before_log=sum(event.timestamp_s < self._schema.train_end_s for event in events),
        )

    def _check(self, place: int, event: LiveEvent) -> None:
        latest_s = 2**53 if self._clock is None else self._clock() + AHEAD_S
        if not -(2**53) <= event.timestamp_s <= latest_s:
            raise RequestError(
                f"event {place} is in the far future or past",
                received=event.timestamp_s,
                allowed=f"seconds on the log's clock, up to {latest_s}",
            )
        try:
            self._contexts.encode(event.context)
        except RequestError as error:
            raise RequestError(
                f"event {place}: {error.what}",
                received=error.received,
                allowed=error.allowed,
                hint=error.hint,
            ) from None

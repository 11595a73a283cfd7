"""Live events, checked and kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from antiphon.errors import ConfigError, RequestError
from antiphon.live import LiveEvent, LiveStore
from antiphon.moments import Clock, presents_s
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
        clock: Clock | None,
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
        users = [self._users.spelling(event.user_id) for event in events]
        times_s = self._times_s(self._live, users, [event.timestamp_s for event in events])
        for place, (event, time_s) in enumerate(zip(events, times_s, strict=True)):
            self._check(place, event, time_s)
        kept = [
            replace(
                event,
                user_id=user,
                item_id=shelf.vocabulary.spelling(event.item_id),
                timestamp_s=time_s,
            )
            for event, user, time_s in zip(events, users, times_s, strict=True)
        ]
        new = self._live.append(kept)
        numbers = self._users.numbers([event.user_id for event in events])
        items = shelf.numbers([event.item_id for event in events])
        return Appended(
            new=new,
            duplicates=len(events) - new,
            unknown_users=int(np.count_nonzero(numbers == 0)),
            unknown_items=int(np.count_nonzero(items == 0)),
            before_log=sum(time_s < self._schema.train_end_s for time_s in times_s),
        )

    def _times_s(
        self, live: LiveStore, users: Sequence[str], told: Sequence[int | None]
    ) -> list[int]:
        """When each event was: as told, or else in its user's present."""
        pairs = list(zip(users, told, strict=True))
        asked = list(dict.fromkeys(user for user, time_s in pairs if time_s is None))
        if not asked:
            return [time_s for time_s in told if time_s is not None]
        past = live.of(asked, self._schema.train_end_s)
        found = presents_s(self._schema, self._clock, len(asked), past.owner, past.timestamp_s)
        present = dict(zip(asked, found.tolist(), strict=True))
        return [present[user] if time_s is None else time_s for user, time_s in pairs]

    def _check(self, place: int, event: LiveEvent, time_s: int) -> None:
        latest_s = 2**53 if self._clock is None else self._clock() + AHEAD_S
        if not -(2**53) <= time_s <= latest_s:
            raise RequestError(
                f"event {place} is in the far future or past",
                received=time_s,
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

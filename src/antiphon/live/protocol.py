"""What every store of live plays and items does.

Ids are text here, spelled as `Recommender` spells them. What a method has been told is on disk when
it returns: a killed process, or a machine without power, loses nothing that was acknowledged.
Stores may be used from several threads, and by several processes at once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64

__all__ = ["AddedItem", "LiveEvent", "LiveEvents", "LiveStore", "Shelved", "key_of"]


@dataclass(frozen=True)
class LiveEvent:
    """A play that happened after the log was trained on.

    Attributes:
        user_id: whether the log knows them or not.
        item_id: kept even where nothing is known of it; see `Recommender.append`.
        timestamp_s: on the log's clock; by default the user's present, which a store must be told.
        context: values by feature name, as requests state them.
        key: tells this event from all others; of two with one key the second is a duplicate. By
            default made of user, item and time.
    """

    user_id: int | str
    item_id: int | str
    timestamp_s: int | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    key: str | None = None


@dataclass(frozen=True)
class LiveEvents:
    """Events of some users, user by user in the order asked for, each sorted by time.

    Attributes:
        owner: which of the users asked for.
        item_id: as stored.
        timestamp_s: on the log's clock.
        context: JSON objects of values by feature name.
    """

    owner: Int64[np.ndarray, " events"]
    item_id: Sequence[str]
    timestamp_s: Int64[np.ndarray, " events"]
    context: Sequence[str]

    @classmethod
    def of(cls, user_ids: Sequence[str], rows: Sequence[tuple[str, str, int, str]]) -> LiveEvents:
        """Of rows of user, item, time and context: those of a user together, sorted by time."""
        place = {user: number for number, user in enumerate(user_ids)}
        rows = sorted(rows, key=lambda row: place[row[0]])
        return cls(
            owner=np.array([place[user] for user, *_ in rows], np.int64),
            item_id=[item for _, item, _, _ in rows],
            timestamp_s=np.array([time_s for _, _, time_s, _ in rows], np.int64),
            context=[context for *_, context in rows],
        )


@dataclass(frozen=True)
class AddedItem:
    """An item that training didn't know.

    Attributes:
        id: its own.
        features: values by name of item feature; categorical ones may have several.
        title: to be shown.
    """

    id: int | str
    features: Mapping[str, Any] = field(default_factory=dict)
    title: str | None = None


@dataclass(frozen=True)
class Shelved:
    """All that was added or withdrawn, as of a version.

    Attributes:
        version: changes with every change.
        items: in the order in which they first came.
        withdrawn: ids of what mustn't be listed.
    """

    version: int
    items: tuple[AddedItem, ...]
    withdrawn: tuple[str, ...]

    @classmethod
    def of(
        cls,
        version: int,
        items: Sequence[tuple[str, str, str | None]],
        withdrawn: Sequence[tuple[str]],
    ) -> Shelved:
        """Of rows of id, features as JSON and title; and of ids."""
        return cls(
            int(version),
            tuple(AddedItem(id_, json.loads(features), title) for id_, features, title in items),
            tuple(id_ for (id_,) in withdrawn),
        )


@runtime_checkable
class LiveStore(Protocol):
    """Plays and items; see above."""

    def append(self, events: Sequence[LiveEvent]) -> int:
        """Keep events; all of them or, on an error, none.

        Returns:
            How many were new; the others are duplicates, and change nothing.
        """
        ...

    def of(self, user_ids: Sequence[str], since_s: int) -> LiveEvents:
        """The events of some users, distinct, at or after a time."""
        ...

    def counts(self) -> dict[str, int]:
        """How many `events`, `users`, `items` (in events), `added` and `withdrawn` there are."""
        ...

    def add(self, items: Sequence[AddedItem]) -> None:
        """Keep items; of one that is there already features and title are replaced."""
        ...

    def withdraw(self, ids: Sequence[str]) -> None:
        """Keep ids of what mustn't be listed; those withdrawn already stay so."""
        ...

    def restore(self, ids: Sequence[str]) -> None:
        """Forget that ids were withdrawn."""
        ...

    def version(self) -> int:
        """Of the items; cheap to ask, so that a process sees what another has changed."""
        ...

    def shelved(self) -> Shelved:
        """All items and ids, and the version they are of."""
        ...

    def close(self) -> None:
        """Let go of the database."""
        ...


def key_of(event: LiveEvent) -> str:
    """What tells an event from others: its own key, or a digest of user, item and time."""
    if event.key is not None:
        return f"key:{event.key}"
    said = json.dumps([str(event.user_id), str(event.item_id), event.timestamp_s])
    return hashlib.sha256(said.encode()).hexdigest()[:32]

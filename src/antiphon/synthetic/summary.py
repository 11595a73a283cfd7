"""What a synthetic log turned out to be, counted while it is written."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from antiphon.synthetic.feedback import KINDS, Events
from antiphon.synthetic.laws import CONTEXTS, LAST_DAY_S

__all__ = ["Count", "SynthSummary", "Tally"]


@dataclass(frozen=True)
class SynthSummary:
    """Measured on the written log, not asked for.

    Shares are of listens, by context where the name says so; `heard_before` is the share of
    listens of a track that the user had listened to before, in any context; `last_day_users` is
    the share of users with a listen in the test period.
    """

    path: Path
    users: int
    tracks: int
    rows: int
    listens: int
    likes: int
    dislikes: int
    unlikes: int
    undislikes: int
    algorithmic_share: float
    listen_plus_algorithmic: float
    listen_plus_organic: float
    heard_before: float
    tracks_played: int
    median_listeners: float
    last_day_users: float

    def statistics(self) -> dict[str, int | float]:
        """All but the path, by name."""
        return {k: v for k, v in dataclasses.asdict(self).items() if k != "path"}

    def to_json(self) -> dict[str, str | int | float]:
        """All of it, by name."""
        return {"path": str(self.path), **self.statistics()}


@dataclass(frozen=True)
class Count:
    """The counts of one block of whole users; `heard` has a track once for each listener."""

    users: int
    kinds: Int64[np.ndarray, " kinds"]
    listens: Int64[np.ndarray, " contexts"]
    listen_plus: Int64[np.ndarray, " contexts"]
    last_day_users: int
    heard: Int64[np.ndarray, " pairs"]

    @classmethod
    def of(cls, events: Events, tracks: int) -> Count:
        """Count the events of one block."""
        listen = events.kind == 0
        context, plus = events.context[listen], events.played_ratio_pct[listen] >= 50
        late = listen & (events.time_s >= LAST_DAY_S)
        return cls(
            users=len(np.unique(events.user)),
            kinds=np.bincount(events.kind, minlength=len(KINDS)),
            listens=np.bincount(context, minlength=CONTEXTS),
            listen_plus=np.bincount(context[plus], minlength=CONTEXTS),
            last_day_users=len(np.unique(events.user[late])),
            heard=np.unique(events.user[listen] * tracks + events.track[listen]) % tracks,
        )


class Tally:
    """Adds up the counts of blocks."""

    def __init__(self, tracks: int) -> None:
        self._users = self._last_day_users = 0
        self._kinds = np.zeros(len(KINDS), np.int64)
        self._listens = np.zeros(CONTEXTS, np.int64)
        self._listen_plus = np.zeros(CONTEXTS, np.int64)
        self._listeners = np.zeros(tracks, np.int64)

    def add(self, count: Count) -> None:
        """Add one block."""
        self._users += count.users
        self._last_day_users += count.last_day_users
        self._kinds += count.kinds
        self._listens += count.listens
        self._listen_plus += count.listen_plus
        self._listeners += np.bincount(count.heard, minlength=len(self._listeners))

    def summary(self, path: Path) -> SynthSummary:
        """All of it as one."""
        played = self._listeners[self._listeners > 0]
        total = int(self._listens.sum())
        plus = self._listen_plus / np.maximum(self._listens, 1)
        listens, likes, dislikes, unlikes, undislikes = (int(n) for n in self._kinds)
        return SynthSummary(
            path=path,
            users=self._users,
            tracks=len(self._listeners),
            rows=int(self._kinds.sum()),
            listens=listens,
            likes=likes,
            dislikes=dislikes,
            unlikes=unlikes,
            undislikes=undislikes,
            algorithmic_share=int(self._listens[0]) / total,
            listen_plus_algorithmic=float(plus[0]),
            listen_plus_organic=float(plus[1]),
            heard_before=1 - int(played.sum()) / total,
            tracks_played=len(played),
            median_listeners=float(np.median(played)),
            last_day_users=self._last_day_users / self._users,
        )

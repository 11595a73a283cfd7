"""Likes, dislikes and their withdrawal, from what was listened to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from antiphon.synthetic.laws import DAY_S, END_S
from antiphon.synthetic.listening import Listens
from antiphon.synthetic.people import People
from antiphon.synthetic.world import MAX_TRACKS, World

__all__ = ["KINDS", "Events", "with_feedback"]

KINDS = ("listen", "like", "dislike", "unlike", "undislike")
_LIKES = 0.075
_DISLIKES = 0.026
_USUAL_AFFINITY = 4.5


@dataclass(frozen=True)
class Events:
    """Events by (user, time); on a tie listens come first, in the order they happened.

    `kind` is a place in `KINDS`; `played_ratio_pct` is −1 where the event is no listen.
    """

    user: Int64[np.ndarray, " n"]
    time_s: Int64[np.ndarray, " n"]
    context: Int64[np.ndarray, " n"]
    track: Int64[np.ndarray, " n"]
    played_ratio_pct: Int64[np.ndarray, " n"]
    kind: Int64[np.ndarray, " n"]


def with_feedback(
    rng: np.random.Generator, world: World, people: People, listens: Listens
) -> Events:
    """The listens and what they led to.

    Liked is what suits the user's taste in its context and was played, rather when it was a
    repeat; a part is withdrawn later. Disliked is what suits less and was skipped at once, mostly
    in the algorithmic context. Each at most once for a user and a track.
    """
    draw = rng.random(len(listens.user))
    plus = listens.played_ratio_pct >= 50
    maybe = np.flatnonzero(plus & (draw < _LIKES))
    suits = 1 / (1 + np.exp(_USUAL_AFFINITY - _affinity(world, people, listens, maybe)))
    odds = _LIKES * suits * np.where(listens.repeats[maybe], 1.0, 0.6)
    likes = _once(listens, maybe[draw[maybe] < odds])

    maybe = np.flatnonzero(~plus & ~listens.repeats & (draw < _DISLIKES))
    suits = 1 / (1 + np.exp(_USUAL_AFFINITY - _affinity(world, people, listens, maybe)))
    odds = _DISLIKES * (1 - suits / 2) * np.where(listens.context[maybe] == 0, 1.0, 0.2)
    dislikes = _once(listens, maybe[draw[maybe] < odds])

    parts = [(np.arange(len(draw)), listens.time_s, listens.context, 0)]
    for rows, kind, withdrawn in ((likes, 1, 0.35), (dislikes, 2, 0.25)):
        soon_s = listens.time_s[rows] + 5 * rng.integers(0, 12, size=len(rows))
        later_s = soon_s + 5 * np.ceil(rng.exponential(30 * DAY_S / 5, size=len(rows)))
        by_hand = (rng.random(len(rows)) < 0.8).astype(np.int64)
        regret = rng.random(len(rows)) < withdrawn
        parts.append((rows, soon_s, listens.context[rows], kind))
        parts.append((rows[regret], later_s[regret].astype(np.int64), by_hand[regret], kind + 2))
    source, time_s, context = (np.concatenate([part[i] for part in parts]) for i in range(3))
    kinds = np.repeat([part[3] for part in parts], [len(part[0]) for part in parts])
    within = np.flatnonzero(time_s < END_S)
    by_time = np.argsort(listens.user[source[within]] * END_S + time_s[within], kind="stable")
    order = within[by_time]
    source, kinds = source[order], kinds[order]
    return Events(
        user=listens.user[source],
        time_s=time_s[order],
        context=context[order],
        track=listens.track[source],
        played_ratio_pct=np.where(kinds == 0, listens.played_ratio_pct[source], -1),
        kind=kinds,
    )


def _affinity(
    world: World, people: People, listens: Listens, rows: Int64[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """An artist's log-odds by the user's taste in the context of the listen."""
    latent = world.artist_latent[world.track_artist[listens.track[rows]]]
    latent *= people.taste[listens.user[rows], listens.context[rows]]
    score: Float[np.ndarray, " n"] = latent.sum(axis=1)
    return score


def _once(listens: Listens, rows: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " m"]:
    """The first of the rows for each user and track."""
    pair = listens.user[rows] * MAX_TRACKS + listens.track[rows]
    _, first = np.unique(pair, return_index=True)
    return rows[np.sort(first)]

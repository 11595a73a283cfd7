"""Listening: from users and a catalogue to listens, a block of whole users at a time.

Written as a few passes over flat arrays. When and where somebody listens, and whether to at least
half (Listen+), does not depend on the track; so the times come first, and what was played second.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Int64

from antiphon.synthetic.laws import CONTEXTS, DAY_S, END_S, Laws
from antiphon.synthetic.people import People
from antiphon.synthetic.world import World

__all__ = ["Listener", "Listens"]

_TICK_S = 5
_TICKS = END_S // _TICK_S
_USERS_AT_ONCE = 16


@dataclass(frozen=True)
class Listens:
    """Listens of whole users, by user and time; `user` and `track` are numbers, not ids."""

    user: Int64[np.ndarray, " n"]
    time_s: Int64[np.ndarray, " n"]
    context: Int64[np.ndarray, " n"]
    played_ratio_pct: Int64[np.ndarray, " n"]
    track: Int64[np.ndarray, " n"]
    repeats: Bool[np.ndarray, " n"]


def _runs(group: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " edges"]:
    """Where each run of equal values begins, and the end."""
    return np.append(np.flatnonzero(np.diff(group, prepend=-1)), len(group))


class Listener:
    """Draws what users do, given what they like and what there is."""

    def __init__(self, laws: Laws, world: World, people: People) -> None:
        self.laws, self.world, self.people = laws, world, people
        self._release_keys = world.release_keys()
        self._lag_cdf = [laws.lag_cdf(context) for context in range(CONTEXTS)]
        self._hit_latent = world.artist_latent[world.track_artist[world.hit_track]]
        rhythm = 0.15 + np.exp(2 * np.cos(2 * np.pi * np.arange(24) / 24) - 2)
        self._hour_cdf = np.cumsum(rhythm) / rhythm.sum()

    def listen(self, rng: np.random.Generator, first: int, end: int) -> Listens:
        """All listens of the users numbered from `first` to before `end`."""
        user = np.repeat(np.arange(first, end), self.people.listens[first:end])
        time_s, context, ratio = self._sittings(rng, user)
        source, repeats = self._sources(rng, user, context, ratio >= 50)
        found = np.flatnonzero(~repeats)
        track = np.empty(len(user), np.int64)
        track[found] = self._discover(rng, user[found], time_s[found], context[found])
        return Listens(user, time_s, context, ratio, track[source], repeats)

    def _sittings(
        self, rng: np.random.Generator, user: Int64[np.ndarray, " n"]
    ) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
        """Time, context and played ratio: sessions by day and hour, one track after another."""
        people, count = self.people, len(user)
        opens = rng.random(count) < 1 / people.session_listens[user]
        opens[_runs(user)[:-1]] = True
        session = np.cumsum(opens) - 1
        begins = np.flatnonzero(opens)

        who = user[begins]
        begin_s = people.begin_s[who]
        day_s = (begin_s + rng.random(len(who)) * (people.end_s[who] - begin_s)) // DAY_S * DAY_S
        hour = people.peak_hour[who] + np.searchsorted(self._hour_cdf, rng.random(len(who)))
        start_s = np.maximum(day_s + (hour + rng.random(len(who))) % 24 * 3_600, begin_s)
        start_s = np.where(start_s >= END_S, start_s - DAY_S, start_s)
        start_s = start_s[np.lexsort((start_s, who))]

        turns = opens | (rng.random(count) < 0.06)
        organic = rng.random(int(turns.sum())) < people.organic_share[user[turns]]
        context = organic[np.cumsum(turns) - 1].astype(np.int64)
        plus = rng.random(count) < np.asarray(self.laws.listen_plus)[context]
        ratio = _ratios(rng, plus)
        length_s = np.exp(rng.normal(np.log(200), 0.3, size=count))
        gap_s = ratio / 100 * length_s + rng.exponential(4.0, size=count)
        passed_s = np.cumsum(gap_s) - gap_s
        offset_s = passed_s - passed_s[begins][session]
        # A session that would outlast the log is moved to end with it.
        longest_s = np.maximum.reduceat(offset_s, begins)
        start_s = np.maximum(np.minimum(start_s, END_S - _TICK_S - longest_s), 0)
        tick = np.minimum((start_s[session] + offset_s) // _TICK_S, _TICKS - 1).astype(np.int64)
        order = np.argsort(user * _TICKS + tick, kind="stable")
        return tick[order] * _TICK_S, context[order], ratio[order]

    def _sources(
        self,
        rng: np.random.Generator,
        user: Int64[np.ndarray, " n"],
        context: Int64[np.ndarray, " n"],
        plus: Bool[np.ndarray, " n"],
    ) -> tuple[Int64[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
        """The discovery that each listen goes back to (itself if it is one); which are repeats."""
        laws, count = self.laws, len(user)
        same = np.asarray(laws.repeat_same)[context]
        other = np.asarray(laws.repeat_other)[context]
        which, back = rng.random(count), rng.random(count)
        past = np.where(which < same, context, np.where(which < same + other, 1 - context, -1))
        source = np.arange(count)
        first_of_user = np.searchsorted(user, user)
        for there in range(CONTEXTS):
            stream = plus & (context == there)
            where = np.flatnonzero(stream)
            before = np.cumsum(stream) - stream
            for here in range(CONTEXTS):
                at = np.flatnonzero((past == there) & (context == here))
                lag = np.searchsorted(self._lag_cdf[here], back[at], side="left")
                wanted = before[at] - lag
                there_is = wanted >= before[first_of_user[at]]
                source[at[there_is]] = where[wanted[there_is]]
        repeats = source != np.arange(count)
        while not np.array_equal(further := source[source], source):
            source = further
        return source, repeats

    def _discover(
        self,
        rng: np.random.Generator,
        user: Int64[np.ndarray, " n"],
        time_s: Int64[np.ndarray, " n"],
        context: Int64[np.ndarray, " n"],
    ) -> Int64[np.ndarray, " n"]:
        """The track of each discovery."""
        laws, world, count = self.laws, self.world, len(user)
        hits = rng.random(count) < np.asarray(laws.trending)[context]
        order = np.argsort(user * CONTEXTS + context, kind="stable")
        artist = np.zeros(count, np.int64)
        by_artist = order[~hits[order]]
        artist[by_artist] = self._artists(rng, user[by_artist], context[by_artist])
        begin = world.artist_start[artist]
        end = world.released_end(self._release_keys, artist, time_s)
        hits |= begin == end  # an artist who has nothing out yet is replaced by a hit
        newest = np.maximum(end - 1, 0)
        is_new = time_s - world.release_s[newest] < laws.fresh_for_s
        fresh = is_new & (rng.random(count) < np.asarray(laws.fresh)[context])
        begin = np.where(fresh, world.album_start[newest], begin)
        mass = world.weight_before
        drawn = mass[begin] + rng.random(count) * (mass[end] - mass[begin])
        track: Int64[np.ndarray, " n"] = np.searchsorted(mass, drawn, side="right") - 1
        track = np.clip(track, begin, np.maximum(end - 1, begin))
        trending = order[hits[order]]
        track[trending] = self._hits(rng, user[trending], time_s[trending], context[trending])
        return track

    def _artists(
        self,
        rng: np.random.Generator,
        user: Int64[np.ndarray, " n"],
        context: Int64[np.ndarray, " n"],
    ) -> Int64[np.ndarray, " n"]:
        """An artist for each by popularity and taste; rows grouped by user and context."""
        world, artist = self.world, np.empty(len(user), np.int64)
        drawn = rng.random(len(user))
        runs = _runs(user * CONTEXTS + context)
        for i in range(0, len(runs) - 1, _USERS_AT_ONCE):
            block = runs[i : i + _USERS_AT_ONCE + 1]
            taste = self.people.taste[user[block[:-1]], context[block[:-1]]]
            odds = taste @ world.artist_latent.T
            odds += world.artist_log_popularity
            np.exp(odds, out=odds)
            cdf = np.cumsum(odds, axis=1, dtype=np.float64)
            for row, low, high in zip(cdf, block[:-1], block[1:], strict=True):
                artist[low:high] = np.searchsorted(row, drawn[low:high] * row[-1], side="right")
        return artist

    def _hits(
        self,
        rng: np.random.Generator,
        user: Int64[np.ndarray, " n"],
        time_s: Int64[np.ndarray, " n"],
        context: Int64[np.ndarray, " n"],
    ) -> Int64[np.ndarray, " n"]:
        """A hit that has begun for each by heat and taste; rows grouped by user and context."""
        world, track = self.world, np.empty(len(user), np.int64)
        drawn = rng.random(len(user))
        runs = _runs(user * CONTEXTS + context)
        for low, high in pairwise(runs):
            here = context[low]
            liking = self._hit_latent[here] @ self.people.taste[user[low], here]
            cdf = np.cumsum(np.exp(liking + world.hit_log_heat[here]))
            begun = np.searchsorted(world.hit_begin_s[here], time_s[low:high], side="right")
            hit = np.searchsorted(cdf, drawn[low:high] * cdf[begun - 1], side="right")
            track[low:high] = world.hit_track[here, np.minimum(hit, begun - 1)]
        return track


def _ratios(rng: np.random.Generator, plus: Bool[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
    """How much of a track was played, in percent: mostly all of it, or next to nothing."""
    kind, spread = rng.random(len(plus)), rng.random(len(plus))
    some = np.where(kind < 0.97, 50 + np.floor(50 * spread), 101 + np.floor(59 * spread**4))
    high = np.where(kind < 0.72, 100, some)
    low = np.where(kind < 0.55, np.floor(6 * spread), np.floor(50 * spread))
    return np.where(plus, high, low).astype(np.int64)

"""The catalogue of a synthetic log: artists, albums, tracks and what becomes a hit when.

Tracks are numbered by (artist, release, album), so an artist's released tracks, and those of the
newest album, are ranges, and a draw by popularity is one look-up in one cumulative sum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt32

from antiphon.synthetic.laws import CONTEXTS, DAY_S, END_S, Laws

__all__ = ["LEAST_TRACKS", "MAX_TRACKS", "World", "allot"]

LEAST_TRACKS = 100
MAX_TRACKS = 9_390_623
"""Also the largest item_id, as in Yambda."""
_TRACKS_PER_ARTIST = 12
_TRACKS_PER_ALBUM = 6
_OLDEST_S = -3_650 * DAY_S
_FIRST_HIT_S = -60 * DAY_S
_SPAN_S = END_S - _OLDEST_S + 1


def allot(weight: Float64[np.ndarray, " n"], total: int, least: int) -> Int64[np.ndarray, " n"]:
    """Whole numbers that sum to `total`: each is `least` plus a share by weight, rounded."""
    edges = np.cumsum(weight)
    edges = np.floor(edges / edges[-1] * (total - least * len(weight))).astype(np.int64)
    share: Int64[np.ndarray, " n"] = np.diff(edges, prepend=0)
    return share + least


@dataclass(frozen=True)
class World:
    """Everything there is before anybody listens. Times in seconds, negative before the log.

    `weight_before[i]` sums the popularity within their artists of the tracks numbered below i;
    `album_start` is the first track of a track's album; hits are ascending in time.
    """

    genre_latent: Float32[np.ndarray, "genres latent"]
    artist_latent: Float32[np.ndarray, "artists latent"]
    artist_log_popularity: Float32[np.ndarray, " artists"]
    artist_start: Int64[np.ndarray, " artist_edges"]
    item_id: UInt32[np.ndarray, " tracks"]
    track_artist: Int64[np.ndarray, " tracks"]
    track_album: Int64[np.ndarray, " tracks"]
    album_start: Int64[np.ndarray, " tracks"]
    release_s: Int64[np.ndarray, " tracks"]
    weight_before: Float64[np.ndarray, " track_edges"]
    track_length_s: UInt32[np.ndarray, " tracks"]
    hit_track: Int64[np.ndarray, "contexts hits"]
    hit_begin_s: Float64[np.ndarray, "contexts hits"]
    hit_log_heat: Float64[np.ndarray, "contexts hits"]

    @property
    def tracks(self) -> int:
        """How many tracks there are, released or not."""
        return len(self.item_id)

    def release_keys(self) -> Int64[np.ndarray, " tracks"]:
        """One ascending number a track: its artist, then the moment of its release."""
        keys: Int64[np.ndarray, " tracks"] = self.track_artist * _SPAN_S
        keys += self.release_s - _OLDEST_S
        return keys

    def released_end(
        self,
        release_keys: Int64[np.ndarray, " tracks"],
        artist: Int64[np.ndarray, " n"],
        time_s: Int64[np.ndarray, " n"],
    ) -> Int64[np.ndarray, " n"]:
        """One past the artist's last track out by then; `artist_start` where there is none."""
        key = artist * _SPAN_S + (time_s - _OLDEST_S)
        end: Int64[np.ndarray, " n"] = np.searchsorted(release_keys, key, side="right")
        return end

    @classmethod
    def build(cls, laws: Laws, tracks: int, seed: int) -> World:
        """Draw a catalogue of so many tracks."""
        rng = np.random.default_rng([seed, 0])
        artists = max(tracks // _TRACKS_PER_ARTIST, 8)
        genre_latent = rng.normal(size=(laws.genres, laws.latent))
        genre = rng.choice(laws.genres, size=artists, p=rng.dirichlet(np.full(laws.genres, 3.0)))
        artist_latent = 0.8 * genre_latent[genre] + 0.6 * rng.normal(size=(artists, laws.latent))
        fame = rng.normal(size=artists)
        popularity = 0.8 * fame + 0.7 * rng.normal(size=artists)
        sizes = allot(np.exp(1.1 * fame + 0.6 * rng.normal(size=artists)), tracks, 1)
        track_artist = np.repeat(np.arange(artists), sizes)
        artist_start = np.concatenate([[0], np.cumsum(sizes)])

        track_album, release_s = _albums(rng, track_artist, artist_start)
        opens = np.diff(track_album, prepend=-1) != 0
        weight = np.exp(laws.track_spread * rng.normal(size=tracks))
        length_s = np.clip(np.exp(rng.normal(np.log(200), 0.3, size=tracks)), 30, 1_800)
        item_id = rng.choice(MAX_TRACKS, size=tracks, replace=False) + 1
        hit_track, hit_begin_s, hit_log_heat = _hits(
            laws, rng, release_s, weight * np.exp(popularity)[track_artist]
        )
        return cls(
            genre_latent=genre_latent.astype(np.float32),
            artist_latent=artist_latent.astype(np.float32),
            artist_log_popularity=popularity.astype(np.float32),
            artist_start=artist_start,
            item_id=item_id.astype(np.uint32),
            track_artist=track_artist,
            track_album=track_album,
            album_start=np.flatnonzero(opens)[track_album],
            release_s=release_s,
            weight_before=np.concatenate([[0.0], np.cumsum(weight)]),
            track_length_s=length_s.astype(np.uint32),
            hit_track=hit_track,
            hit_begin_s=hit_begin_s,
            hit_log_heat=hit_log_heat,
        )


def _albums(
    rng: np.random.Generator,
    track_artist: Int64[np.ndarray, " tracks"],
    artist_start: Int64[np.ndarray, " artist_edges"],
) -> tuple[Int64[np.ndarray, " tracks"], Int64[np.ndarray, " tracks"]]:
    """Album and release of each track, in the order of (artist, release, album)."""
    opens = rng.random(len(track_artist)) < 1 / _TRACKS_PER_ALBUM
    opens[artist_start[:-1]] = True
    album = np.cumsum(opens) - 1
    albums = int(album[-1]) + 1
    release_s = np.maximum(-rng.exponential(1_000 * DAY_S, size=albums), _OLDEST_S)
    new = rng.random(albums) < 0.18
    release_s[new] = rng.random(int(new.sum())) * END_S
    release_s[0] = _OLDEST_S  # so that there is always something to play
    release_s = release_s.astype(np.int64)
    order = np.lexsort((album, release_s[album], track_artist))
    opens = np.diff(album[order], prepend=-1) != 0
    return np.cumsum(opens) - 1, release_s[album[order]]


def _hits(
    laws: Laws,
    rng: np.random.Generator,
    release_s: Int64[np.ndarray, " tracks"],
    popularity: Float64[np.ndarray, " tracks"],
) -> tuple[
    Int64[np.ndarray, "contexts hits"],
    Float64[np.ndarray, "contexts hits"],
    Float64[np.ndarray, "contexts hits"],
]:
    """Track, beginning and log heat of each hit, by context.

    All hits of a context cool at one rate, so their relative heat stays as it was; heat grows
    with the beginning instead, and only the set of hits that have begun changes with time.
    """
    shape = (CONTEXTS, round(laws.hits_a_day * (END_S - _FIRST_HIT_S) / DAY_S))
    begin_s = np.sort(_FIRST_HIT_S + rng.random(shape) * (END_S - _FIRST_HIT_S), axis=1)
    by_release = np.argsort(release_s, kind="stable")
    mass = np.concatenate([[0.0], np.cumsum(popularity[by_release])])
    high = np.searchsorted(release_s[by_release], begin_s, side="right")
    week = np.searchsorted(release_s[by_release], begin_s - 7 * DAY_S, side="right")
    low = np.where((rng.random(shape) < laws.hit_of_new_release) & (week < high), week, 0)
    drawn = mass[low] + rng.random(shape) * (mass[high] - mass[low])
    rank = np.clip(np.searchsorted(mass, drawn, side="right") - 1, low, high - 1)
    half_life_s = np.asarray(laws.hit_half_life_days)[:, None] * DAY_S
    log_heat = laws.hit_spread * rng.normal(size=shape) + np.log(2) * begin_s / half_life_s
    return by_release[rank], begin_s, log_heat

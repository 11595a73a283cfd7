"""What is out at a moment, and how an artist's listens divide among the artist's tracks then."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from antiphon.synthetic.truth import Truth

__all__ = ["Catalogue"]


@dataclass(frozen=True)
class Catalogue:
    """P(track | artist) in each context; the largest of each artist; 0 for what is not out."""

    is_out: Bool[np.ndarray, " artists"]
    share: Float64[np.ndarray, "contexts tracks"]
    largest: Float64[np.ndarray, "contexts artists"]

    @classmethod
    def at(cls, truth: Truth, time_s: int) -> Catalogue:
        """The catalogue at that moment."""
        world, laws = truth.world, truth.laws
        begin = world.artist_start[:-1]
        artist = np.arange(len(begin))
        end = world.released_end(world.release_keys(), artist, np.full(len(begin), time_s))
        newest = np.maximum(end - 1, 0)
        is_out = end > begin
        is_new = is_out & (time_s - world.release_s[newest] < laws.fresh_for_s)
        album = np.where(is_new, world.album_start[newest], end)

        of = world.track_artist
        track, weight = np.arange(world.tracks), np.diff(world.weight_before)
        mass = world.weight_before
        # an artist without a track, or without a new album, has none of its share to divide
        all_mass = np.where(is_out, mass[end] - mass[begin], 1.0)
        new_mass = np.where(is_new, mass[end] - mass[album], 1.0)
        by_all = np.where(track < end[of], weight, 0.0) / all_mass[of]
        by_new = np.where((track >= album[of]) & (track < end[of]), weight, 0.0) / new_mass[of]
        fresh = np.asarray(laws.fresh)[:, None] * is_new[of]
        share = (1 - fresh) * by_all + fresh * by_new
        return cls(is_out, share, np.maximum.reduceat(share, begin, axis=1))

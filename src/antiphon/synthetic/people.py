"""The listeners of a synthetic log: who they are, how much they listen, what they like where."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt32

from antiphon.synthetic.laws import CONTEXTS, DAY_S, END_S, Laws
from antiphon.synthetic.world import World, allot

__all__ = ["KNOWN_USER", "LEAST_LISTENS", "MAX_USERS", "People"]

MAX_USERS = 1_000_000
"""Also the largest uid, as in Yambda."""
KNOWN_USER = 1001
"""Always there, from the first day to the last, listening in both contexts."""
LEAST_LISTENS = 5


@dataclass(frozen=True)
class People:
    """One row a user, by ascending uid.

    `taste` is the gradient of an artist's log-odds by its latent vector, in each context.
    """

    uid: UInt32[np.ndarray, " users"]
    taste: Float32[np.ndarray, "users contexts latent"]
    listens: Int64[np.ndarray, " users"]
    organic_share: Float64[np.ndarray, " users"]
    begin_s: Float64[np.ndarray, " users"]
    end_s: Float64[np.ndarray, " users"]
    peak_hour: Float64[np.ndarray, " users"]
    session_listens: Float64[np.ndarray, " users"]

    @classmethod
    def build(cls, laws: Laws, world: World, users: int, listens: int, seed: int) -> People:
        """Draw the users and share so many listens out among them."""
        rng = np.random.default_rng([seed, 1])
        others = rng.choice(MAX_USERS - 1, size=users - 1, replace=False) + 1
        uid = np.sort(np.append(others + (others >= KNOWN_USER), KNOWN_USER)).astype(np.uint32)
        known = int(np.searchsorted(uid, KNOWN_USER))

        # Some were there before the log begins, the others came in the course of it, a few on
        # its last day; most stay to the end.
        begin_s = END_S * np.maximum(rng.random(users) * 1.4 - 0.4, 0.0)
        begin_s = np.minimum(begin_s, END_S - DAY_S / 4)
        leaves = rng.random(users) < 0.15
        end_s = np.where(leaves, begin_s + (END_S - begin_s) * rng.random(users), END_S)
        end_s = np.maximum(end_s, np.minimum(begin_s + DAY_S, END_S))
        begin_s[known], end_s[known] = 0.0, END_S
        rate = np.minimum(np.exp(0.95 * rng.normal(size=users)), 12.0)
        rate[known] = 1.5
        days = (end_s - begin_s) / DAY_S
        count = allot(rate * days, listens, LEAST_LISTENS)
        lean = rng.normal(0, 1.2, size=users)
        lean[known] = 0.0
        return cls(
            uid=uid,
            taste=_tastes(laws, world, rng, users),
            listens=count,
            organic_share=_organic_shares(lean, count, laws.organic_share),
            begin_s=begin_s,
            end_s=end_s,
            peak_hour=rng.normal(18, 3, size=users) % 24,
            session_listens=np.clip(2.2 * np.sqrt(count / days), 2, 25),
        )


def _organic_shares(
    lean: Float64[np.ndarray, " users"], listens: Int64[np.ndarray, " users"], wanted: float
) -> Float64[np.ndarray, " users"]:
    """Logistic of `lean` plus the constant that makes `wanted` of all listens organic."""
    low, high = -20.0, 20.0
    share: Float64[np.ndarray, " users"] = np.full(len(lean), wanted)
    for _ in range(60):
        middle = (low + high) / 2
        share = 1 / (1 + np.exp(-(lean + middle)))
        if (share * listens).sum() < wanted * listens.sum():
            low = middle
        else:
            high = middle
    return share


def _tastes(
    laws: Laws, world: World, rng: np.random.Generator, users: int
) -> Float32[np.ndarray, "users contexts latent"]:
    """A common part and one for each context, each leaning to two genres."""

    def directions(count: int) -> Float64[np.ndarray, "users count latent"]:
        genres = rng.integers(laws.genres, size=(users, count, 2))
        mixed = world.genre_latent[genres].sum(axis=2)
        mixed = mixed + rng.normal(size=(users, count, laws.latent))
        unit: Float64[np.ndarray, "users count latent"] = mixed / _length(mixed)
        return unit

    common = np.sqrt(laws.taste_common) * directions(1)
    taste = common + np.sqrt(1 - laws.taste_common) * directions(CONTEXTS)
    strength = laws.taste_strength * np.exp(0.2 * rng.normal(size=(users, 1, 1)))
    scaled: Float32[np.ndarray, "users contexts latent"]
    scaled = (strength * taste / _length(taste)).astype(np.float32)
    return scaled


def _length(vector: Float64[np.ndarray, "*batch latent"]) -> Float64[np.ndarray, "*batch 1"]:
    length: Float64[np.ndarray, "*batch 1"] = np.linalg.norm(vector, axis=-1, keepdims=True)
    return length

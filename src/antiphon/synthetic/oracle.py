"""The oracle of a synthetic log: the probabilities that it was drawn from.

The probability that a user's next listen in a context is of an item, given all that happened
before a cutoff. Whether it becomes a Listen+ doesn't depend on the item, so it is also that of the
next Listen+.

The state is frozen at the cutoff: what is heard, released or becomes a hit from then on is unknown,
as it is to any model under the protocol. For the events of a whole day the probabilities are
therefore exact only at its beginning, and a lucky list may beat the oracle's on a few queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.dataset as ds
from jaxtyping import Float64, Int64, UInt32

from antiphon.errors import ArtifactError, RequestError
from antiphon.synthetic.catalogue import Catalogue
from antiphon.synthetic.laws import CONTEXTS, END_S
from antiphon.synthetic.tables import FLAT
from antiphon.synthetic.truth import TRUTH, Truth

__all__ = ["Oracle"]

_USERS_AT_ONCE = 256


@dataclass(frozen=True)
class _Mixture:
    """A query's law: an artist's probability times the track's share, and more on some tracks."""

    context: int
    artist: Float64[np.ndarray, " artists"]
    track: Int64[np.ndarray, " n"]
    extra: Float64[np.ndarray, " n"]


class Oracle:
    """Knows what a synthetic log was drawn from; reads what happened from the log itself."""

    def __init__(self, folder: Path, truth: Truth) -> None:
        self._truth = truth
        self._listens = ds.dataset(folder / FLAT / "listens.parquet")
        self._by_id = np.argsort(truth.world.item_id)
        self._lag_mass = [np.diff(truth.laws.lag_cdf(context)) for context in range(CONTEXTS)]
        self._catalogue: tuple[int, Catalogue] | None = None

    @classmethod
    def load(cls, folder: Path) -> Oracle:
        """The oracle of the log that `synthesize` wrote into this folder.

        Raises:
            ArtifactError: the folder is not a whole synthetic log.
        """
        if not (folder / FLAT / "listens.parquet").is_file() or not (folder / TRUTH).is_dir():
            raise ArtifactError(
                "there is no synthetic log here",
                received=folder,
                allowed=f"a folder with {FLAT}/listens.parquet and {TRUTH}/",
                hint="make one with `antiphon synth`",
            )
        return cls(folder, Truth.load(folder / TRUTH))

    def probabilities(
        self, user_id: int, is_organic: int, *, cutoff_s: int
    ) -> tuple[UInt32[np.ndarray, " tracks"], Float64[np.ndarray, " tracks"]]:
        """Every item of the catalogue, ascending, and its probability; they sum to 1.

        Raises:
            RequestError: an unknown user or context, or a cutoff outside of the log.
        """
        users, contexts = self._queries([user_id], [is_organic], cutoff_s)
        past = self._past(users, cutoff_s)[int(users[0])]
        law = self._mixture(int(users[0]), int(contexts[0]), past, cutoff_s)
        world, share = self._truth.world, self._catalogue_at(cutoff_s).share[law.context]
        mass = law.artist[world.track_artist] * share
        np.add.at(mass, law.track, law.extra)
        return world.item_id[self._by_id], mass[self._by_id]

    def top_k(
        self,
        user_ids: Sequence[int] | np.ndarray,
        is_organic: Sequence[int] | np.ndarray,
        *,
        cutoff_s: int,
        k: int,
    ) -> tuple[UInt32[np.ndarray, "queries k"], Float64[np.ndarray, "queries k"]]:
        """For each query (a user and a context) the k likeliest items, best first.

        The state is all that lies strictly before `cutoff_s`; under a protocol with a gap pass
        the cutoff less the gap.

        Raises:
            RequestError: an unknown user or context, k or the cutoff out of bounds.
        """
        if not 1 <= k <= self._truth.world.tracks:
            raise RequestError(
                "k is out of bounds", received=k, allowed=f"1 to {self._truth.world.tracks:,}"
            )
        users, contexts = self._queries(user_ids, is_organic, cutoff_s)
        items = np.empty((len(users), k), np.uint32)
        masses = np.empty((len(users), k), np.float64)
        distinct = np.unique(users)
        for begin in range(0, len(distinct), _USERS_AT_ONCE):
            block = distinct[begin : begin + _USERS_AT_ONCE]
            pasts = self._past(block, cutoff_s)
            for query in np.flatnonzero((users >= block[0]) & (users <= block[-1])).tolist():
                user = int(users[query])
                law = self._mixture(user, int(contexts[query]), pasts[user], cutoff_s)
                track, mass = self._likeliest(law, self._catalogue_at(cutoff_s), k)
                items[query], masses[query] = self._truth.world.item_id[track], mass
        return items, masses

    def _catalogue_at(self, time_s: int) -> Catalogue:
        if self._catalogue is None or self._catalogue[0] != time_s:
            self._catalogue = (time_s, Catalogue.at(self._truth, time_s))
        return self._catalogue[1]

    def _mixture(
        self, user: int, context: int, past: list[Int64[np.ndarray, " _"]], time_s: int
    ) -> _Mixture:
        """The law of one query; `past` has the tracks heard in each context, newest first."""
        laws, world = self._truth.laws, self._truth.world
        taste = self._truth.people.taste[user, context]
        lag_mass = self._lag_mass[context]
        tracks, extras = [], []
        for there, heard in enumerate(past):
            often = laws.repeat_same if there == context else laws.repeat_other
            heard = heard[: laws.lag_max]
            tracks.append(heard)
            extras.append(often[context] * lag_mass[: len(heard)])
        discovery = 1 - sum(float(extra.sum()) for extra in extras)

        odds = world.artist_latent @ taste + world.artist_log_popularity
        artist = np.exp((odds - odds.max()).astype(np.float64))
        artist *= discovery * (1 - laws.trending[context]) / artist.sum()
        is_out = self._catalogue_at(time_s).is_out
        trending = discovery * laws.trending[context] + float(artist[~is_out].sum())
        artist[~is_out] = 0.0

        begun = int(np.searchsorted(world.hit_begin_s[context], time_s, side="right"))
        hit = world.hit_track[context, :begun]
        heat = world.artist_latent[world.track_artist[hit]] @ taste
        heat = heat + world.hit_log_heat[context, :begun]
        heat = np.exp(heat - heat.max())
        tracks.append(hit)
        extras.append(trending * heat / heat.sum())
        return _Mixture(context, artist, np.concatenate(tracks), np.concatenate(extras))

    def _likeliest(
        self, law: _Mixture, catalogue: Catalogue, k: int
    ) -> tuple[Int64[np.ndarray, " k"], Float64[np.ndarray, " k"]]:
        """The k likeliest tracks, exactly, without looking at all of them.

        A track without extra mass that is among the best k is by one of the k artists whose best
        track is best: each of those k has one that is at least as good.
        """
        world = self._truth.world
        best = law.artist * catalogue.largest[law.context]
        some = min(k, len(best))
        artists = np.argpartition(-best, some - 1)[:some]
        ranges = zip(world.artist_start[artists], world.artist_start[artists + 1], strict=True)
        track = np.unique(np.concatenate([law.track, *(np.arange(a, b) for a, b in ranges)]))
        mass = law.artist[world.track_artist[track]] * catalogue.share[law.context, track]
        np.add.at(mass, np.searchsorted(track, law.track), law.extra)
        order = np.lexsort((world.item_id[track], -mass))[:k]
        return track[order], mass[order]

    def _past(
        self, users: Int64[np.ndarray, " n"], cutoff_s: int
    ) -> dict[int, list[Int64[np.ndarray, " _"]]]:
        """For each user and context the tracks of the Listen+ events before, newest first."""
        people, item_id = self._truth.people, self._truth.world.item_id
        uid = people.uid[users]
        before = (ds.field("timestamp") < cutoff_s) & (ds.field("played_ratio_pct") >= 50)
        some = (ds.field("uid") >= int(uid.min())) & (ds.field("uid") <= int(uid.max()))
        rows = self._listens.to_table(
            columns=["uid", "item_id", "is_organic"],
            filter=some & before & ds.field("uid").isin(uid.tolist()),
        )
        row_uid, row_item, organic = (column.to_numpy() for column in rows.columns)
        track = self._by_id[np.searchsorted(item_id, row_item, sorter=self._by_id)]
        ends = np.searchsorted(row_uid, uid, side="right")
        begins = np.searchsorted(row_uid, uid, side="left")
        return {
            int(user): [
                track[begin:end][organic[begin:end] == context][::-1] for context in range(CONTEXTS)
            ]
            for user, begin, end in zip(users, begins, ends, strict=True)
        }

    def _queries(
        self,
        user_ids: Sequence[int] | np.ndarray,
        is_organic: Sequence[int] | np.ndarray,
        cutoff_s: int,
    ) -> tuple[Int64[np.ndarray, " queries"], Int64[np.ndarray, " queries"]]:
        """Numbers of users and contexts, checked."""
        uid, contexts = np.asarray(user_ids, np.int64), np.asarray(is_organic, np.int64)
        if uid.ndim != 1 or uid.shape != contexts.shape:
            raise RequestError(
                "each query is one user and one context",
                received=f"{uid.shape} users, {contexts.shape} contexts",
                allowed="two flat sequences of one length",
            )
        if not 0 <= cutoff_s <= END_S:
            raise RequestError(
                "the cutoff is outside of the log", received=cutoff_s, allowed=f"0 to {END_S:,} s"
            )
        if not np.isin(contexts, np.arange(CONTEXTS)).all():
            raise RequestError("unknown context", received=set(contexts), allowed="0 or 1")
        known = self._truth.people.uid.astype(np.int64)
        number = np.minimum(np.searchsorted(known, uid), len(known) - 1)
        if (unknown := uid[known[number] != uid]).size:
            raise RequestError(
                "unknown users",
                received=", ".join(map(str, unknown[:5])),
                allowed=f"{len(known):,} ids from {known[0]} to {known[-1]}",
            )
        return number, contexts

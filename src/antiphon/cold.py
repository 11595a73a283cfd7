"""Cold items among themselves: does the model tell what nobody has played by its content?

Beside the whole corpus nothing that was never played comes into the first hundred places, whoever
ranks; so the slice `cold_items` tells rankers apart no better than it tells what they know. Here
the corpus is the cold items alone, and who is asked are the queries that played one of them.

    random                the mean over all orders, worked out and not drawn
    most_popular_artist   cold items by the plays of their artist before the cutoff
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int, Int32, Int64, Shaped

from antiphon.bootstrap import Users, interval
from antiphon.evaluate import Evaluation, artist_feature, paired
from antiphon.figures import DEPTH, KS, cell
from antiphon.metrics import TargetIndex, target_metrics
from antiphon.per_query import PerQuery
from antiphon.prepared import Prepared
from antiphon.protocols import PROTOCOLS
from antiphon.queries import Queries
from antiphon.traits import check_lists
from antiphon.windows import Window

__all__ = ["COLD_METRICS", "RanksAmong", "cold_items", "cold_report", "plays_of_artists"]

COLD_METRICS = ("recall_at_100", "ndcg_at_10")

Json = dict[str, Any]


@runtime_checkable
class RanksAmong(Protocol):
    """A model that can order some of the corpus."""

    def rank_among(
        self, queries: Queries, items: Int32[np.ndarray, " items"], k: int
    ) -> tuple[Int32[np.ndarray, "queries k"], Float32[np.ndarray, "queries k"]]:
        """The k best of some items, in ascending order, that none of the users has had.

        Padded as in `queries.Ranker`.
        """
        ...


@dataclass(frozen=True)
class _Asked:
    """The queries that own a cold target.

    Attributes:
        window: those queries, with all their targets.
        targets: the same, to be looked up.
        wanted: which of the targets are cold items.
    """

    window: Window
    targets: TargetIndex
    wanted: Bool[np.ndarray, " targets"]

    @classmethod
    def of(cls, window: Window) -> _Asked | None:
        """Those of a window; None where there is nobody to ask."""
        query_of = window.targets.query_rows()[_are_cold(window)]
        asked = np.isin(np.arange(len(window.queries)), query_of)
        if not asked.any():
            return None
        some = window.take(asked)
        return cls(some, TargetIndex(some.targets), _are_cold(some))

    def judge(self, lists: Int32[np.ndarray, "queries k"], who: str, protocol: str) -> PerQuery:
        """What lists of cold items are worth."""
        check_lists(lists, self.window.item_count, who)
        hits = self.targets.hits(lists)
        return _chosen(target_metrics(hits, self.targets, self.wanted, protocol, KS))

    def expected(self, items: int, protocol: str) -> PerQuery:
        """What an order of so many items, drawn at random, is worth on average.

        Each place holds a target of a query that has n of them with the chance n / items, and all
        metrics here are sums over places.
        """
        distinct = self.targets.counts(self.wanted & self.targets.is_first)
        places = min(DEPTH, items)
        chance = np.repeat((distinct / items)[:, None], places, axis=1)
        events = self.targets.counts(self.wanted)
        return _chosen(PerQuery.of(PROTOCOLS[protocol](chance, distinct, events, KS)))


def cold_report(evaluation: Evaluation, ranker: RanksAmong, prepared: Prepared) -> Evaluation:
    """Fill in `cold`; it stays None where there are no cold items, or nobody played one.

    Args:
        evaluation: of `evaluate_rankers`; who is asked, and how.
        ranker: the model.
        prepared: the log, for the artists.
    """
    judge = evaluation.judge
    asked = _Asked.of(judge.window)
    if asked is None:
        return evaluation
    queries, protocol = asked.window.queries, judge.section.protocol
    items = cold_items(judge.window)
    lists, _ = ranker.rank_among(queries, items, DEPTH)
    judged = {
        "antiphon": asked.judge(lists, "antiphon", protocol),
        "random": asked.expected(len(items), protocol),
    }
    feature = artist_feature(prepared, judge.section)
    if feature is not None:
        plays = plays_of_artists(prepared.item_feature(feature), judge.window.item_counts)
        best = items[np.argsort(-plays[items], kind="stable")[:DEPTH]]
        same = np.broadcast_to(best, (len(queries), len(best)))
        judged["most_popular_artist"] = asked.judge(same, "most_popular_artist", protocol)
    users = Users(queries.user_key, judge.section.resamples, judge.seed)
    drawn = {name: _resampled(users, one) for name, one in judged.items()}
    ours = "antiphon"
    return evaluation.with_parts(
        cold={
            "items": len(items),
            "queries": len(queries),
            "users": users.count,
            "targets": int(asked.wanted.sum()),
            "feature": feature,
            "models": {name: _cells(judged[name], drawn[name]) for name in judged},
            "comparisons": {
                name: paired(
                    COLD_METRICS,
                    _values(judged[ours]),
                    _values(judged[name]),
                    drawn[ours],
                    drawn[name],
                )
                for name in judged
                if name != ours
            },
        }
    )


def cold_items(window: Window) -> Int32[np.ndarray, " items"]:
    """The items of the corpus that nobody had before the cutoff, in ascending order."""
    return (np.flatnonzero(window.item_counts[1:] == 0) + 1).astype(np.int32)


def plays_of_artists(
    codes: Shaped[np.ndarray, "items ..."], counts: Int[np.ndarray, " items"]
) -> Int64[np.ndarray, " items"]:
    """The plays of all items of each item's artist; of several, of the most played one.

    Args:
        codes: of the artists by item number; 0 is no artist.
        counts: plays by item number.
    """
    columns = np.asarray(codes).reshape(len(codes), -1).T
    of_artist = np.zeros(int(columns.max(initial=0)) + 1, np.int64)
    for column in columns:
        plays = np.bincount(column, weights=counts, minlength=len(of_artist))
        of_artist += plays.astype(np.int64)
    of_artist[0] = 0
    return np.asarray(np.max([of_artist[column] for column in columns], axis=0))


def _are_cold(window: Window) -> Bool[np.ndarray, " targets"]:
    """Which targets are cold items of the corpus: what isn't in it, no order of it can hold."""
    items = window.targets.item_number
    inside = items <= window.item_count
    return np.asarray(inside & (window.item_counts[np.where(inside, items, 0)] == 0))


def _chosen(metrics: PerQuery) -> PerQuery:
    columns = [metrics.names.index(name) for name in COLD_METRICS]
    return PerQuery(COLD_METRICS, metrics.numerator[:, columns], metrics.denominator[:, columns])


def _resampled(users: Users, metrics: PerQuery) -> Float32[np.ndarray, "resamples metrics"]:
    return users.resample(users.sums(metrics.numerator), users.sums(metrics.denominator))


def _cells(metrics: PerQuery, drawn: Float32[np.ndarray, "resamples metrics"]) -> Json:
    bounds = interval(drawn)
    return {
        name: cell(value, bounds.low[m], bounds.high[m])
        for m, (name, value) in enumerate(metrics.value().items())
    }


def _values(metrics: PerQuery) -> Float64[np.ndarray, " metrics"]:
    return np.array(list(metrics.value().values()))

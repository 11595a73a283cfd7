"""Judging one ranker on a window: its lists, its figures by slice and metric, their resamples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int32

from antiphon.bootstrap import Interval, Users, interval
from antiphon.errors import EvaluationError
from antiphon.figures import ACCURACY, CURVE_KS, DEPTH, KS, Cell, cell
from antiphon.metrics import TargetIndex, target_metrics
from antiphon.per_query import PerQuery
from antiphon.queries import Queries, Ranker
from antiphon.sections import EvaluateSection
from antiphon.slices import Slice, slices_of
from antiphon.traits import check_lists, coverage, list_metrics
from antiphon.windows import Window

__all__ = ["GivenLists", "Judge", "Judged", "Progress", "score"]

QUERIES_AT_ONCE = 16_384

Progress = Callable[[str, float], None]
"""Called with what is being done and the share of it that is."""


@dataclass(frozen=True)
class GivenLists:
    """Lists that somebody made elsewhere, for all queries of a window in their order."""

    lists: Int32[np.ndarray, "queries k"]
    scores: Float32[np.ndarray, "queries k"]


@dataclass(frozen=True)
class Judged:
    """What one ranker did.

    Attributes:
        lists: item numbers, padded with 0.
        scores: of the items.
        names: metrics, the columns of the arrays.
        values: figures of each slice and metric; NaN where the slice is empty.
        resampled: the same in every resample.
        curve: recall at `CURVE_KS` over all queries, with its interval.
    """

    lists: Int32[np.ndarray, "queries k"]
    scores: Float32[np.ndarray, "queries k"]
    names: tuple[str, ...]
    values: Float64[np.ndarray, "slices metrics"]
    resampled: Float32[np.ndarray, "resamples slices metrics"]
    curve: tuple[Float64[np.ndarray, " ks"], Interval]

    @cached_property
    def interval(self) -> Interval:
        """Of the values."""
        return interval(self.resampled)


class Judge:
    """All that rankers of one window have in common.

    Args:
        window: the queries and their targets.
        section: protocol, exclusions and resamples.
        creator: code of the artist by item number, for `repetition`; None leaves it out.
        seed: of the resamples.
        progress: told how far a ranker has come.
    """

    def __init__(
        self,
        window: Window,
        section: EvaluateSection,
        *,
        creator: Int32[np.ndarray, " items"] | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> None:
        self.window = window
        self.section = section
        self.seed = seed
        self.slices: list[Slice] = slices_of(window)
        self.targets = TargetIndex(window.targets)
        self.users = Users(window.queries.user_key, section.resamples, seed)
        self.creator = creator
        self.progress: Progress = progress or (lambda _what, _share: None)
        order = np.argsort(-window.item_counts[1:], kind="stable")
        self._popularity_rank = np.zeros(window.item_count + 1, np.int64)
        self._popularity_rank[order + 1] = np.arange(1, window.item_count + 1)

    def judge(
        self, who: str, ranker: Ranker | GivenLists, queries: Queries | None = None
    ) -> Judged:
        """Ask a ranker all queries and score its lists.

        Args:
            who: the ranker's name, for errors and progress.
            ranker: the ranker.
            queries: the window's queries under other contexts; slices go by the window's own.

        Raises:
            EvaluationError: its lists can't be scored (see `check_lists`).
        """
        if isinstance(ranker, GivenLists):
            lists, scores = ranker.lists, ranker.scores
            if lists.shape != (expected := (len(self.window.queries), DEPTH)):
                raise EvaluationError(
                    f"{who} answers other queries", received=lists.shape, allowed=expected
                )
            check_lists(lists, self.window.item_count, who)
        else:
            lists, scores = self.ask(who, ranker, queries or self.window.queries)
        every = np.ones(len(self.targets.query_of), bool)
        hits = self.targets.hits(lists)
        protocol = self.section.protocol
        whole = target_metrics(hits, self.targets, every, protocol, KS)
        looks = list_metrics(lists, self._popularity_rank, self.creator, KS)
        covers = self._coverage(who, ranker, lists)
        values, above, below = [], [], []
        for number, part in enumerate(self.slices):
            if part.targets is None:
                accuracy = whole
            else:
                accuracy = target_metrics(hits, self.targets, part.targets, protocol, KS)
            both = _only(accuracy.beside(looks), part.queries)
            values.append([*both.value().values(), *covers[number]])
            above.append(self.users.sums(both.numerator))
            below.append(self.users.sums(both.denominator))
        drawn = self.users.resample(np.concatenate(above, 1), np.concatenate(below, 1))
        drawn = drawn.reshape(len(drawn), len(self.slices), len(both.names))
        no_interval = np.full((*drawn.shape[:2], len(KS)), np.nan, np.float32)
        curve = target_metrics(hits, self.targets, every, protocol, CURVE_KS)
        return Judged(
            lists,
            scores,
            both.names + tuple(f"coverage_at_{k}" for k in KS),
            np.array(values),
            np.concatenate([drawn, no_interval], axis=2),
            self._curve(curve),
        )

    def ask(
        self, who: str, ranker: Ranker, queries: Queries
    ) -> tuple[Int32[np.ndarray, "queries k"], Float32[np.ndarray, "queries k"]]:
        """The ranker's lists and scores of all queries, some at a time, checked."""
        lists = np.zeros((len(queries), DEPTH), np.int32)
        scores = np.full((len(queries), DEPTH), -np.inf, np.float32)
        for start in range(0, len(queries), QUERIES_AT_ONCE):
            self.progress(who, start / len(queries))
            rows = slice(start, min(start + QUERIES_AT_ONCE, len(queries)))
            some = queries.take(rows)
            lists[rows], scores[rows] = ranker.rank(
                some, DEPTH, exclude_heard=self.section.exclude_heard
            )
        self.progress(who, 1.0)
        check_lists(lists, self.window.item_count, who)
        return lists, scores

    def table(self, judged: Judged) -> dict[str, dict[str, Cell]]:
        """`{slice: {metric: {value, low, high}}}`, None where there is nothing."""
        bounds = judged.interval
        return {
            part.name: {
                name: cell(judged.values[s, m], bounds.low[s, m], bounds.high[s, m])
                for m, name in enumerate(judged.names)
            }
            for s, part in enumerate(self.slices)
        }

    def sizes(self) -> dict[str, dict[str, Any]]:
        """`{slice: {queries, users, targets, description}}`."""
        users = self.window.queries.user_key
        query_of = self.targets.query_of
        return {
            part.name: {
                "queries": int(part.queries.sum()),
                "users": len(np.unique(users[part.queries])),
                "targets": int(
                    part.queries[query_of].sum() if part.targets is None else part.targets.sum()
                ),
                "description": part.description,
            }
            for part in self.slices
        }

    def _curve(self, metrics: PerQuery) -> tuple[Float64[np.ndarray, " ks"], Interval]:
        columns = [metrics.names.index(f"recall_at_{k}") for k in CURVE_KS]
        above, below = metrics.numerator[:, columns], metrics.denominator[:, columns]
        drawn = self.users.resample(self.users.sums(above), self.users.sums(below))
        return above.sum(0) / below.sum(0), interval(drawn)

    def _coverage(
        self, who: str, ranker: Ranker | GivenLists, lists: Int32[np.ndarray, "queries k"]
    ) -> Float64[np.ndarray, "slices ks"]:
        corpus = self.window.item_count
        covers = np.array(
            [[coverage(lists[part.queries], corpus, k) for k in KS] for part in self.slices]
        )
        covers[[not part.queries.any() for part in self.slices]] = np.nan
        if self.section.protocol == "yambda-paper" and not isinstance(ranker, GivenLists):
            # one list, without a context, for every user with known events
            everybody = self.window.everybody(self.section.max_users)
            lists, _ = self.ask(f"{who}: coverage", ranker, everybody)
            covers[0] = [coverage(lists, corpus, k) for k in KS]
        return covers


def score(
    window: Window, ranker: Ranker, section: EvaluateSection, metrics: Sequence[str]
) -> Mapping[str, float]:
    """A few figures over all queries, without intervals: what tuning on validation needs.

    Args:
        window: usually the validation window.
        ranker: fitted on `window.known` only.
        section: protocol and exclusions.
        metrics: names as in `ACCURACY`.
    """
    unknown_names = sorted(set(metrics) - set(ACCURACY))
    if unknown_names:
        raise EvaluationError(
            "there are no such metrics", received=unknown_names, allowed=", ".join(ACCURACY)
        )
    index = TargetIndex(window.targets)
    lists, _ = ranker.rank(window.queries, DEPTH, exclude_heard=section.exclude_heard)
    check_lists(lists, window.item_count, "the ranker")
    every = np.ones(len(index.query_of), bool)
    values = target_metrics(index.hits(lists), index, every, section.protocol, KS).value()
    return {name: values[name] for name in metrics}


def _only(metrics: PerQuery, queries: np.ndarray) -> PerQuery:
    """The metrics with all other queries counting nothing."""
    rows = queries[:, None]
    return PerQuery(metrics.names, metrics.numerator * rows, metrics.denominator * rows)

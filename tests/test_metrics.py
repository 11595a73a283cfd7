"""Metrics against sums by hand, a naive re-implementation and trec_eval."""

from __future__ import annotations

import math

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st

from antiphon.errors import EvaluationError
from antiphon.metrics import TargetIndex, target_metrics
from antiphon.per_query import PerQuery
from antiphon.queries import Targets
from antiphon.traits import check_lists, coverage, list_metrics

KS = (1, 3, 10)


def targets_of(rows: list[list[int]]) -> Targets:
    offsets = np.cumsum([0] + [len(row) for row in rows]).astype(np.int64)
    return Targets(offsets, np.array([n for row in rows for n in row], np.int32))


def lists_of(rows: list[list[int]], k: int = 10) -> np.ndarray:
    lists = np.zeros((len(rows), k), np.int32)
    for number, row in enumerate(rows):
        lists[number, : len(row)] = row
    return lists


def judge(
    lists: list[list[int]],
    targets: list[list[int]],
    protocol: str = "standard",
    wanted: list[bool] | None = None,
) -> PerQuery:
    index = TargetIndex(targets_of(targets))
    chosen = np.ones(len(index.query_of), bool) if wanted is None else np.array(wanted, bool)
    return target_metrics(index.hits(lists_of(lists)), index, chosen, protocol, KS)


def test_standard_by_hand() -> None:
    # one query, targets {7, 9, 4}, list 7 1 9: hits at ranks 1 and 3
    found = judge([[7, 1, 9]], [[7, 9, 4]]).value()
    assert found["recall_at_1"] == pytest.approx(1 / 1)  # min(3, 1) = 1
    assert found["recall_at_3"] == pytest.approx(2 / 3)
    # (1/log2(2) + 1/log2(4)) / (1/log2(2) + 1/log2(3) + 1/log2(4)) = 1.5 / 2.1309298
    assert found["ndcg_at_3"] == pytest.approx(1.5 / 2.130929753571458)
    assert found["ndcg_at_10"] == found["ndcg_at_3"], "nothing follows"
    assert found["mrr_at_1"] == 1
    assert found["hit_rate_at_1"] == 1


def test_mrr_and_hit_rate_by_hand() -> None:
    # first hits at ranks 2 and 4, and none
    found = judge([[1, 7], [1, 2, 3, 8], [1]], [[7], [8], [9]]).value()
    assert found["mrr_at_1"] == 0
    assert found["mrr_at_3"] == pytest.approx((1 / 2 + 0 + 0) / 3)
    assert found["mrr_at_10"] == pytest.approx((1 / 2 + 1 / 4 + 0) / 3)
    assert found["hit_rate_at_3"] == pytest.approx(1 / 3)
    assert found["hit_rate_at_10"] == pytest.approx(2 / 3)


def test_standard_counts_a_repeated_target_once() -> None:
    once, twice = judge([[7, 1]], [[7]]), judge([[7, 1]], [[7, 7, 7]])
    assert once.value() == twice.value()


def test_yambda_paper_by_hand() -> None:
    # query 0: target events 7 7 9, list 7 1 9; query 1: target event 5, list 1 2
    found = judge([[7, 1, 9], [1, 2]], [[7, 7, 9], [5]], "yambda-paper").value()
    # hits over events: (2/3 + 0/1) / 2 queries
    assert found["recall_at_3"] == pytest.approx(1 / 3)
    assert found["recall_at_1"] == pytest.approx((1 / 3 + 0) / 2)
    # DCG: 1.5 and 0. IDCG: three events give 2.1309298, one gives 1
    assert found["ndcg_at_3"] == pytest.approx((1.5 + 0) / (2.130929753571458 + 1))
    # the ratio of means isn't the mean of ratios
    assert found["ndcg_at_3"] != pytest.approx((1.5 / 2.130929753571458 + 0) / 2)


def test_a_target_outside_of_the_corpus_stays_in_the_denominator() -> None:
    # item 99 can't be listed; recall@10 is 1 of 2
    assert judge([[7]], [[7, 99]]).value()["recall_at_10"] == pytest.approx(1 / 2)


def test_only_the_wanted_targets_count() -> None:
    # of targets 7 and 9 only 9 counts, found at rank 3: ndcg = 1/log2(4) = 1/2
    found = judge([[7, 1, 9]], [[7, 9]], wanted=[False, True]).value()
    assert found["recall_at_1"] == 0
    assert found["recall_at_3"] == 1
    assert found["ndcg_at_3"] == pytest.approx(1 / 2)
    assert found["mrr_at_3"] == pytest.approx(1 / 3)


def test_queries_without_a_wanted_target_count_nothing() -> None:
    some = judge([[7], [8]], [[7], [8]], wanted=[True, False])
    assert some.value()["recall_at_10"] == 1
    assert np.all(some.denominator[1] == 0)
    nobody = judge([[7]], [[7]], wanted=[False])
    assert all(math.isnan(value) for value in nobody.value().values())


@pytest.mark.parametrize("protocol", ["standard", "yambda-paper"])
def test_the_best_list_scores_one(protocol: str) -> None:
    targets = [[3, 1, 2], [5], list(range(1, 12))]
    lists = [[1, 2, 3], [5], list(range(11, 1, -1))]
    found = judge(lists, targets, protocol).value()
    assert found["ndcg_at_3"] == pytest.approx(1)
    assert found["mrr_at_1"] == 1
    if protocol == "standard":
        assert found["recall_at_1"] == found["recall_at_3"] == found["recall_at_10"] == 1


def test_what_lists_are_like_by_hand() -> None:
    # ranks by plays: item 1 is third, item 2 first, item 3 second; artists 8, 9, 8
    ranks = np.array([0, 3, 1, 2])
    artists = np.array([0, 8, 9, 8], np.int32)
    found = list_metrics(lists_of([[1, 2, 3], [2]]), ranks, artists, (1, 10)).value()
    assert found["popularity_rank_at_1"] == pytest.approx((3 + 1) / 2)
    assert found["popularity_rank_at_10"] == pytest.approx(((3 + 1 + 2) / 3 + 1) / 2)
    # the third item has the artist of the first: 1 of 3; the other list 0 of 1
    assert found["repetition_at_10"] == pytest.approx((1 / 3 + 0) / 2)
    assert found["repetition_at_1"] == 0


def test_items_of_unknown_artist_and_empty_lists_say_nothing() -> None:
    ranks, artists = np.array([0, 1, 2]), np.array([0, 0, 5], np.int32)
    metrics = list_metrics(lists_of([[1], []]), ranks, artists, (10,))
    assert metrics.value()["popularity_rank_at_10"] == 1
    assert math.isnan(metrics.value()["repetition_at_10"])


def test_coverage_by_hand() -> None:
    # items 1, 2, 3 stand in a list's first two places, of a corpus of 8
    assert coverage(lists_of([[1, 2, 7], [2, 3, 8]]), 8, 2) == pytest.approx(3 / 8)
    assert coverage(lists_of([[]]), 8, 2) == 0


@pytest.mark.parametrize(
    ("row", "what"),
    [([3, 1, 3], "twice"), ([-1], "not in the corpus"), ([9], "not in the corpus")],
)
def test_lists_that_cannot_be_scored_are_refused(row: list[int], what: str) -> None:
    with pytest.raises(EvaluationError, match=what):
        check_lists(lists_of([[1], row]), 8, "somebody")
    check_lists(lists_of([[1], [2, 8]]), 8, "somebody")


some_lists = st.lists(st.integers(1, 12), max_size=10, unique=True)
some_targets = st.lists(st.integers(1, 15), min_size=1, max_size=8)
some_queries = st.lists(st.tuples(some_lists, some_targets), min_size=1, max_size=6)


@given(some_queries, st.sampled_from(["standard", "yambda-paper"]), st.randoms())
def test_against_a_naive_implementation(
    queries: list[tuple[list[int], list[int]]], protocol: str, random: object
) -> None:
    parity = random.randint(0, 1)  # type: ignore[attr-defined]
    wanted = [item % 2 == parity for _, targets in queries for item in targets]
    found = judge([q[0] for q in queries], [q[1] for q in queries], protocol, wanted).value()
    kept = [(items, [t for t in targets if t % 2 == parity]) for items, targets in queries]
    kept = [(items, targets) for items, targets in kept if targets]
    for k in KS:
        expected = naive(kept, protocol, k)
        for name, value in expected.items():
            assert found[f"{name}_at_{k}"] == pytest.approx(value, nan_ok=True)


@given(some_queries, st.sampled_from(["standard", "yambda-paper"]), st.permutations(range(1, 16)))
def test_what_items_are_numbered_means_nothing(
    queries: list[tuple[list[int], list[int]]], protocol: str, numbers: list[int]
) -> None:
    lists, targets = [q[0] for q in queries], [q[1] for q in queries]
    mixed_lists, mixed_targets = (
        [[numbers[item - 1] for item in row] for row in rows] for rows in (lists, targets)
    )
    found = judge(lists, targets, protocol).value()
    assert judge(mixed_lists, mixed_targets, protocol).value() == found
    ranks, artists = np.arange(16), np.array([0, *(1 + n % 4 for n in range(15))], np.int32)
    place = np.concatenate([[0], numbers])
    mixed_ranks, mixed_artists = np.zeros_like(ranks), np.zeros_like(artists)
    mixed_ranks[place], mixed_artists[place] = ranks, artists
    assert list_metrics(lists_of(lists), ranks, artists, KS).value() == pytest.approx(
        list_metrics(lists_of(mixed_lists), mixed_ranks, mixed_artists, KS).value(), nan_ok=True
    )
    assert coverage(lists_of(lists), 15, 3) == coverage(lists_of(mixed_lists), 15, 3)


def naive(queries: list[tuple[list[int], list[int]]], protocol: str, k: int) -> dict[str, float]:
    recall, dcg, idcg, ndcg, mrr, hit_rate = [], [], [], [], [], []
    for items, targets in queries:
        gains = [item in targets for item in items[:k]]
        n = len(set(targets)) if protocol == "standard" else len(targets)
        recall.append(sum(gains) / (min(n, k) if protocol == "standard" else n))
        dcg.append(sum(gain / math.log2(rank + 2) for rank, gain in enumerate(gains)))
        idcg.append(sum(1 / math.log2(rank + 2) for rank in range(min(n, k))))
        ndcg.append(dcg[-1] / idcg[-1])
        mrr.append(1 / (gains.index(True) + 1) if True in gains else 0)
        hit_rate.append(float(True in gains))
    if not queries:
        return dict.fromkeys(["recall", "ndcg", "mrr", "hit_rate"], math.nan)
    return {
        "recall": sum(recall) / len(recall),
        "ndcg": sum(dcg) / sum(idcg) if protocol == "yambda-paper" else sum(ndcg) / len(ndcg),
        "mrr": sum(mrr) / len(mrr),
        "hit_rate": sum(hit_rate) / len(hit_rate),
    }


def test_against_trec_eval() -> None:
    """Where definitions agree: ndcg, hit rate and mrr; recall where n <= k."""
    random = np.random.default_rng(0)
    lists = [random.permutation(40)[:10] + 1 for _ in range(60)]
    targets = [random.permutation(40)[: random.integers(1, 9)] + 1 for _ in range(60)]
    run = {
        f"q{q}": {f"i{item}": float(-rank) for rank, item in enumerate(row)}
        for q, row in enumerate(lists)
    }
    truth = {f"q{q}": {f"i{item}": 1 for item in row} for q, row in enumerate(targets)}
    measures = {"ndcg_cut.3,10", "recall.10", "success.1,10", "recip_rank"}
    theirs = pytrec_eval.RelevanceEvaluator(truth, measures).evaluate(run)
    ours = judge([list(map(int, row)) for row in lists], [list(map(int, row)) for row in targets])
    for mine, its in [
        ("ndcg_at_3", "ndcg_cut_3"),
        ("ndcg_at_10", "ndcg_cut_10"),
        ("recall_at_10", "recall_10"),
        ("hit_rate_at_1", "success_1"),
        ("hit_rate_at_10", "success_10"),
        ("mrr_at_10", "recip_rank"),
    ]:
        column = ours.numerator[:, ours.names.index(mine)]
        expected = [theirs[f"q{q}"][its] for q in range(60)]
        np.testing.assert_allclose(column, expected, atol=1e-12, err_msg=mine)

"""The context report: other contexts, likeness of lists, lifts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.context_report import context_report, pairs_of_users
from antiphon.contexts import flipped, shuffled, unknown
from antiphon.evaluate import Evaluation, evaluate_rankers
from antiphon.overlap import agreement, overlap_at, rank_biased_overlap
from antiphon.queries import Queries
from antiphon.schema import FittedCyclic, FittedNumeric, FittedVector, Schema
from antiphon.sections import EvaluateSection
from tiny import TAB, FixedLists, write_prepared

HOUR = FittedCyclic(name="hour", period=24)
AGE = FittedNumeric(name="age", mean=30, deviation=10)
MOOD = FittedVector(name="mood", size=2)


def schema(*context: object) -> Schema:
    return Schema(
        context=context,
        item_count=9,
        user_count=9,
        train_end_s=1,
        held_out_start_s=2,
        held_out_end_s=3,
        validation_start_s=0,
        gap_s=0,
    )


def queries(user_key: list[int], **context: np.ndarray) -> Queries:
    keys = np.array(user_key, np.int64)
    return Queries(keys.astype(np.int32), keys, np.zeros(len(keys), np.int64), context)


def test_unknown_is_missing_in_every_feature() -> None:
    context = unknown(schema(TAB, HOUR, AGE, MOOD), 3)
    assert context["tab"].tolist() == [0, 0, 0]
    assert np.isnan(context["hour"]).all()
    assert np.isnan(context["age"]).all()
    assert context["mood"].shape == (3, 2)
    assert np.isnan(context["mood"][:, 0]).all()


def test_flipped_by_hand() -> None:
    asked = queries(
        [1, 2, 3, 4],
        tab=np.array([1, 1, 2, 0], np.int32),
        hour=np.array([1, 13, np.nan, 23.5], np.float32),
        age=np.array([0.5, -1, np.nan, 0], np.float32),
        mood=np.array([[1, -2], [0, 0], [np.nan, 0], [3, 3]], np.float32),
    )
    context = flipped(schema(TAB, HOUR, AGE, MOOD), asked)
    # 1 is the most frequent: it becomes 2, everything else becomes 1, missing stays
    assert context["tab"].tolist() == [2, 2, 1, 0]
    np.testing.assert_allclose(context["hour"], [13, 1, np.nan, 11.5])
    np.testing.assert_allclose(context["age"], [-0.5, 1, np.nan, 0])
    np.testing.assert_allclose(context["mood"][0], [-1, 2])
    assert np.isnan(context["mood"][2, 0])


def test_a_feature_of_one_value_cannot_be_flipped() -> None:
    asked = queries([1, 2], tab=np.array([2, 2], np.int32))
    assert flipped(schema(TAB), asked)["tab"].tolist() == [2, 2]


@given(st.lists(st.integers(1, 6), min_size=1, max_size=40), st.integers(0, 5))
def test_shuffling_moves_whole_contexts_between_users(users: list[int], seed: int) -> None:
    users = sorted(users)
    row = np.arange(len(users))
    asked = queries(users, tab=row.astype(np.int32), hour=row.astype(np.float32))
    context = shuffled(asked, seed)
    assert sorted(context["tab"].tolist()) == row.tolist(), "each context is used once"
    assert context["hour"].tolist() == context["tab"].tolist(), "features stay together"
    if 2 * max(map(users.count, users)) <= len(users):
        source = np.array(users)[context["tab"]]
        assert not (source == np.array(users)).any(), "nobody keeps a context of their own"


def test_shuffling_depends_on_the_seed_only() -> None:
    asked = queries(list(range(50)), tab=np.arange(50, dtype=np.int32))
    one, two = shuffled(asked, 1)["tab"], shuffled(asked, 2)["tab"]
    assert one.tolist() == shuffled(asked, 1)["tab"].tolist()
    assert one.tolist() != two.tolist()


def test_overlap_by_hand() -> None:
    ours, theirs = np.array([[1, 2, 3, 4]]), np.array([[2, 5, 1, 6]])
    # shared in the first 1, 2, 3, 4 places: {}, {2}, {1, 2}, {1, 2}
    shared = agreement(ours, theirs)
    assert shared.tolist() == [[0, 1, 2, 2]]
    assert overlap_at(shared, np.array([4]), 3).tolist() == pytest.approx([2 / 3])
    # (1 - .9) / .9 * (0/1 * .9 + 1/2 * .81 + 2/3 * .729 + 2/4 * .6561) + 2/4 * .6561
    expected = 0.1 / 0.9 * (0.405 + 0.486 + 0.32805) + 0.32805
    assert rank_biased_overlap(shared, np.array([4]))[0] == pytest.approx(expected)


def test_equal_lists_overlap_by_one_and_disjoint_ones_not_at_all() -> None:
    ours = np.array([[1, 2, 3], [1, 2, 0], [1, 2, 3], [0, 0, 0]])
    theirs = np.array([[1, 2, 3], [1, 2, 0], [4, 5, 6], [1, 2, 3]])
    length = np.array([3, 2, 3, 0])
    shared = agreement(ours, theirs)
    assert rank_biased_overlap(shared, length)[:3].tolist() == pytest.approx([1, 1, 0])
    assert overlap_at(shared, length, 3)[:3].tolist() == pytest.approx([1, 1, 0])
    assert np.isnan(rank_biased_overlap(shared, length)[3])


some_list = st.permutations(range(1, 9)).flatmap(lambda p: st.just(p[:5]))


@given(st.lists(st.tuples(some_list, some_list), min_size=1, max_size=5))
def test_agreement_against_sets(pairs: list[tuple[list[int], list[int]]]) -> None:
    ours, theirs = (np.array([pair[side] for pair in pairs]) for side in (0, 1))
    expected = [[len(set(a[:d]) & set(b[:d])) for d in range(1, 6)] for a, b in pairs]
    assert agreement(ours, theirs).tolist() == expected
    assert agreement(theirs, ours).tolist() == expected


def test_pairs_are_neighbouring_queries_of_one_user() -> None:
    pairs = pairs_of_users(np.array([1, 2, 2, 2, 5]))
    assert (pairs.ours.tolist(), pairs.theirs.tolist()) == ([1, 2], [2, 3])


def report(tmp_path: Path) -> Evaluation:
    """Twenty users who play item 1 at home and item 2 in search; the model knows."""
    train = [(u, 1 + u % 2, 10, 1 + u % 2) for u in range(1, 21)]
    test = [(u, tab, 100 + tab, tab) for u in range(1, 21) for tab in (1, 2)]
    prepared = write_prepared(tmp_path, train, test, item_count=4, user_count=20)
    lists = {(u, tab): ([tab, 3] if tab else [4, 3]) for u in range(1, 21) for tab in (0, 1, 2)}
    model = FixedLists(lists)
    section = EvaluateSection(resamples=100)
    evaluation = evaluate_rankers(prepared, {"antiphon": model}, section)
    return context_report(evaluation, model)


def test_report_of_a_model_that_lives_on_context(tmp_path: Path) -> None:
    evaluation = report(tmp_path)
    assert evaluation.context is not None
    assert evaluation.context_lift is not None
    assert evaluation.lists is not None
    assert evaluation.context["on"] == evaluation.models["antiphon"]
    figures = {w: evaluation.context[w]["all"]["recall_at_10"]["value"] for w in evaluation.context}
    assert figures["on"] == 1
    assert figures["unknown"] == figures["flipped"] == 0
    assert 0 < figures["shuffled"] < 1, "by chance some contexts are right"
    lift = evaluation.context_lift["flipped"]["tab=search"]["ndcg_at_10"]
    assert lift["difference"] == lift["low"] == lift["high"] == 1
    assert evaluation.context_lift["shuffled"]["all"]["ndcg_at_10"]["low"] > 0
    # lists [1, 3] and [2, 3] share one item of two, at the second place
    same = evaluation.lists["same_user"]
    assert (same["pairs"], same["users"]) == (20, 20)
    assert same["overlap_at_10"]["value"] == pytest.approx(0.5)
    assert evaluation.lists["flipped"]["pairs"] == 40
    assert 0 < evaluation.lists["shuffled"]["pairs"] < 40, "only where the context changed"


def test_a_log_without_context_has_an_empty_report(tmp_path: Path) -> None:
    prepared = write_prepared(
        tmp_path, [(1, 1, 10, 0)], [(1, 1, 100, 0)], item_count=1, user_count=1, context=()
    )
    model = FixedLists([1])
    evaluation = evaluate_rankers(prepared, {"antiphon": model}, EvaluateSection(resamples=0))
    evaluation = context_report(evaluation, model)
    assert evaluation.context == evaluation.context_lift == evaluation.lists == {}
    assert evaluation.models["antiphon"]["all"]["ndcg_at_10"] == {
        "value": 1.0,
        "low": None,
        "high": None,
    }

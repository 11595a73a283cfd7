"""Popularity, own history, neighbours and linear models, against sums by hand and naive code."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from antiphon.baselines import ease, history, popular
from antiphon.baselines.ease import EaseByItems, EaseByUsers, EaseScorer, fit_ease
from antiphon.baselines.fitted import FittedBaseline
from antiphon.baselines.history import TrainingLog
from antiphon.baselines.item_knn import ItemKnn, cosines, fit_neighbours, strongest
from antiphon.baselines.own_history import OwnHistory
from antiphon.baselines.popular import Popularity, cell_counts
from antiphon.baselines.profiles import Forgetting, profiles
from antiphon.baselines.random_lists import RandomLists
from antiphon.traits import check_lists
from baseline_log import ask, dense, log_of, random_log


def popularity(
    log: TrainingLog,
    half_life_days: float | None = None,
    smoothing: float = 0.0,
    by: tuple[str, ...] = (),
) -> Popularity:
    return Popularity(log, cell_counts(log, half_life_days), smoothing, by)


def lists(
    scorer: object, log: TrainingLog, queries: object, k: int, exclude_heard: bool = False
) -> list[list[int]]:
    fitted = FittedBaseline("it", {"exclude_heard": False}, scorer, log)
    numbers, scores = fitted.rank(queries, k, exclude_heard=exclude_heard)
    check_lists(numbers, log.schema.item_count, "it")
    assert numbers.shape == scores.shape == (len(queries), k)
    assert (np.diff(np.where(np.isfinite(scores), scores, -1e30)) <= 0).all()
    assert np.isfinite(scores).sum() == (numbers > 0).sum()
    return [row[row > 0].tolist() for row in numbers]


# --- the log


def test_sums_leave_the_order_of_events_alone() -> None:
    log = log_of([(1, 3, 0, 1), (1, 2, 1, 1), (1, 3, 2, 1)], items=3)
    assert dense(log.user_items)[1].tolist() == [0, 0, 1, 2]
    assert log.row_items.tolist() == [3, 2, 3], "scipy sorts in place what it is given"


def test_the_last_days_only() -> None:
    log = log_of([(1, 1, 0, 1), (1, 2, 5, 1), (2, 3, 7, 1)], items=3)
    assert dense(log.last_days(2.5).user_items)[1:].tolist() == [[0, 0, 1, 0], [0, 0, 0, 1]]
    assert log.last_days(None) is log


def test_nothing_is_copied_of_a_log_that_is_all_visible() -> None:
    log = log_of([(1, 3, 0, 1), (1, 2, 1, 2), (2, 1, 2, 1)], items=3)
    assert np.shares_memory(log.row_items, log.events.item_number)
    assert np.shares_memory(log.row_times_s, log.events.timestamp_s)
    first = np.array([0, 1, 0])  # of user 1's
    later = TrainingLog(replace(log.events, starts=log.events.starts + first), log.schema)
    assert later.row_items.tolist() == [2, 1]
    hidden = TrainingLog(replace(log.events, ends=log.events.ends - first), log.schema)
    assert hidden.row_items.tolist() == [3, 1], "user 1's last one lies between them"
    assert hidden.row_cells.tolist() == [0, 0]
    nothing = TrainingLog(replace(log.events, ends=log.events.starts), log.schema)
    assert nothing.count == len(nothing.row_items) == 0


@pytest.mark.parametrize("half_life_days", [None, 2.0])
def test_counts_are_the_same_in_pieces_and_however_cells_are_numbered(
    half_life_days: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = random_log(3)
    codes, cells = log.cell_codes, log.row_cells
    expected = np.zeros((len(codes), log.width))
    np.add.at(expected, (cells, log.row_items), log.row_weights(half_life_days))
    np.testing.assert_allclose(dense(cell_counts(log, half_life_days)), expected, rtol=1e-12)
    monkeypatch.setattr(popular, "ROWS_AT_ONCE", 3)
    monkeypatch.setattr(history, "MOST_LISTED", 1)
    again = TrainingLog(log.events, log.schema)
    assert again.cell_codes.tolist() == codes.tolist()
    assert again.row_cells.tolist() == cells.tolist()
    np.testing.assert_allclose(dense(cell_counts(again, half_life_days)), expected, rtol=1e-12)


# --- popularity


def test_most_popular_counts_plays() -> None:
    log = log_of([(1, 2, 0, 1), (2, 2, 0, 1), (2, 3, 0, 1), (1, 4, 9, 1), (1, 4, 9, 1)], items=5)
    # 2 and 4 twice, 3 once, 1 and 5 never; ties by item number
    assert lists(popularity(log), log, ask([1, 0]), 9) == [[2, 4, 3, 1, 5]] * 2


def test_decayed_popularity_by_hand() -> None:
    # at day 6 with a half-life of 2 days, events of days 0, 2, 4, 6 weigh 1/8, 1/4, 1/2, 1
    log = log_of([(1, 1, 0, 1), (1, 1, 2, 1), (2, 2, 4, 1), (2, 3, 6, 1)], items=3)
    sums = np.array([0, 1 / 8 + 1 / 4, 1 / 2, 1])
    found = popularity(log, 2.0).of_cell(np.array([1], np.int32))
    np.testing.assert_allclose(found, sums / sums.sum())
    assert lists(popularity(log, 2.0), log, ask([1]), 3) == [[3, 2, 1]]
    assert lists(popularity(log, None), log, ask([1]), 3) == [[1, 2, 3]]


def test_popularity_within_a_context_by_hand() -> None:
    # tab 1: item 1 three times, item 2 once; tab 2: item 3 four times
    plays = [(1, 1, 0, 1)] * 3 + [(1, 2, 0, 1)] + [(2, 3, 0, 2)] * 4
    log = log_of(plays, items=3)
    overall = np.array([0, 3, 1, 4]) / 8
    first = (np.array([0, 3, 1, 0]) + 4 * overall) / (4 + 4)
    found = popularity(log, None, 4.0, ("tab",))
    np.testing.assert_allclose(found.of_cell(np.array([1], np.int32)), first)
    queries = ask([0, 0, 0, 0], tab=[1, 2, 0, 3])
    # an unknown context is any; one that the log doesn't have falls back to overall
    assert lists(found, log, queries, 3) == [[1, 3, 2], [3, 1, 2], [3, 1, 2], [3, 1, 2]]
    bare = popularity(log, None, 0.0, ("tab",))
    assert lists(bare, log, queries, 3) == [[1, 2, 3], [3, 1, 2], [3, 1, 2], [3, 1, 2]]
    assert lists(found, log, ask([0]), 3) == [[3, 1, 2]], "nothing said about the tab"


def test_a_context_may_be_partly_known() -> None:
    plays = [(1, 1, 0, 1), (1, 2, 0, 1), (1, 2, 0, 1), (1, 3, 0, 2)]
    log = log_of(plays, items=3, hours=[1, 2, 2, 1])
    both = popularity(log, None, 0.0, ("tab", "hour"))
    # tab 1 at hour 1: item 1; tab 1 at any hour: 2, 2, 1; any tab at hour 1: 1, 3
    queries = ask([0, 0, 0], tab=[1, 1, 0], hour=[1, 0, 1])
    assert [row[0] for row in lists(both, log, queries, 1)] == [1, 2, 1]
    tab = popularity(log, None, 0.0, ("tab",))
    assert [row[0] for row in lists(tab, log, queries, 1)] == [2, 2, 2]


def test_what_is_missing_in_the_log_matches_no_context() -> None:
    log = log_of([(1, 1, 0, 0), (1, 1, 0, 0), (1, 2, 0, 1)], items=2)
    found = popularity(log, None, 0.0, ("tab",))
    assert lists(found, log, ask([0, 0], tab=[1, 0]), 2) == [[2, 1], [1, 2]]


def test_a_log_without_context() -> None:
    log = random_log(0, context=False)
    np.testing.assert_array_equal(
        lists(popularity(log, 5.0, 1.0, ()), log, ask([1]), 20),
        lists(popularity(log, 5.0), log, ask([1]), 20),
    )


def test_popularity_leaves_out_what_was_heard() -> None:
    log = log_of([(1, 1, 0, 1), (1, 2, 0, 1), (2, 1, 0, 1)], items=4)
    queries = ask([1, 2, 0])
    assert lists(popularity(log), log, queries, 4, True) == [[3, 4], [2, 3, 4], [1, 2, 3, 4]]


# --- chance


def test_random_lists_depend_on_the_query_alone() -> None:
    log = random_log(1)
    queries = ask([1, 2, 1, 0], tab=[1, 1, 2, 1])
    found = lists(RandomLists(log), log, queries, 5)
    assert found == lists(RandomLists(log), log, queries, 5)
    assert found[2:3] == lists(RandomLists(log), log, queries.take(np.array([2])), 5)
    assert found[0] != found[1]
    assert found[0] != found[2]
    assert found != lists(RandomLists(log, seed=1), log, queries, 5)


def test_random_lists_reach_everything_evenly() -> None:
    log = log_of([(1, 1, 0, 1)], items=10, users=2000)
    numbers = np.array(lists(RandomLists(log), log, ask(range(1, 2001)), 4))
    # each of 10 items is in a list of 4 with probability 0.4: 800 +- 22 of 2,000
    assert (np.abs(np.bincount(numbers.ravel(), minlength=11)[1:] - 800) < 110).all()
    assert len(lists(RandomLists(log), log, ask([1]), 20, True)[0]) == 9, "all but the one heard"


# --- a user's own items


def test_own_history_by_hand() -> None:
    events = [(1, 1, 0, 1), (1, 1, 1, 1), (1, 2, 3, 2), (1, 3, 4, 1), (2, 4, 0, 1)]
    log = log_of(events, items=5)
    # half-life 1 day, counted at day 4: item 1 weighs 1/16 + 1/8, item 2 1/2, item 3 1
    found = profiles(log, ask([1, 0], tab=[1, 1]), Forgetting(1.0))
    np.testing.assert_allclose(dense(found)[0], [0, 3 / 16, 1 / 2, 1, 0, 0], rtol=1e-6)
    assert dense(found)[1].sum() == 0
    # asked under tab 1 with a weight of 3/4 on context, item 2 counts a quarter
    found = profiles(log, ask([1], tab=[1]), Forgetting(1.0, context_weight=0.75))
    np.testing.assert_allclose(dense(found)[0], [0, 3 / 16, 1 / 8, 1, 0, 0], rtol=1e-6)
    # by lag: the last event weighs 1 / (1 + 2), then 1/4, 1/5, 1/6
    found = profiles(log, ask([1]), Forgetting(lag_offset=2.0))
    np.testing.assert_allclose(dense(found)[0], [0, 1 / 5 + 1 / 6, 1 / 4, 1 / 3, 0, 0], rtol=1e-6)


def test_own_history_is_filled_up_with_what_is_popular() -> None:
    events = [(1, 1, 0, 1), (1, 2, 3, 2), (2, 4, 0, 1), (2, 4, 0, 1), (2, 5, 0, 2)]
    log = log_of(events, items=5)
    popular = popularity(log, None, 0.0, ("tab",))
    own = OwnHistory(log, popular, Forgetting(1.0, context_weight=1.0))
    queries = ask([1, 1, 0, 1], tab=[1, 2, 1, 0])
    # tab 1: own 1 (1/8), then 2 of the other tab; 4 is popular in tab 1; 3 and 5 nowhere
    # any tab: own 2 (1), own 1 (1/8); then overall 4 (twice), 5 (once), 3 (never)
    assert lists(own, log, queries, 5) == [
        [1, 2, 4, 3, 5],
        [2, 1, 5, 3, 4],
        [4, 1, 2, 3, 5],
        [2, 1, 4, 5, 3],
    ]
    assert lists(own, log, ask([1], tab=[1]), 4, True) == [[4, 3, 5]]


# --- neighbours


def test_cosines_by_hand() -> None:
    # users a, b, c; item 0 by a and b, item 1 by b and c, item 2 by a (twice)
    matrix = sp.csr_array(np.array([[1, 0, 2], [1, 1, 0], [0, 1, 0]], np.float32))
    # cos(0,1) = 1 / (sqrt2 sqrt2) = 1/2; cos(0,2) = 2 / (sqrt2 * 2) = 1/sqrt2; cos(1,2) = 0
    expected = [[1, 1 / 2, 1 / np.sqrt(2)], [1 / 2, 1, 0], [1 / np.sqrt(2), 0, 1]]
    np.testing.assert_allclose(dense(cosines(matrix, 3, 0.0)), expected, rtol=1e-6)
    # shrunk by 2: cos(0,1) = 1 / (2 + 2), cos(0,0) = 2 / (2 + 2), cos(2,2) = 4 / (4 + 2)
    shrunk = dense(cosines(matrix, 3, 2.0))
    np.testing.assert_allclose(shrunk[[0, 0, 2], [1, 0, 2]], [1 / 4, 1 / 2, 2 / 3], rtol=1e-6)
    two = [[1, 0, 1 / np.sqrt(2)], [1 / 2, 1, 0], [1 / np.sqrt(2), 0, 1]]
    np.testing.assert_allclose(dense(cosines(matrix, 2, 0.0)), two, rtol=1e-6)


@given(st.integers(0, 10_000), st.integers(1, 8), st.sampled_from([0.0, 3.0]))
def test_cosines_against_a_loop(seed: int, neighbours: int, shrink: float) -> None:
    rng = np.random.default_rng(seed)
    values = rng.random((7, 9)) * (rng.random((7, 9)) < 0.5)
    found = dense(cosines(sp.csr_array(values.astype(np.float32)), neighbours, shrink))
    for i in range(9):
        row = np.zeros(9)
        for j in range(9):
            dot = values[:, i] @ values[:, j]
            norms = np.linalg.norm(values[:, i]) * np.linalg.norm(values[:, j])
            row[j] = dot / (norms + shrink) if dot else 0
        row[np.argsort(-row, kind="stable")[neighbours:]] = 0
        np.testing.assert_allclose(found[i], row, rtol=1e-5, atol=1e-7)


def test_of_equal_neighbours_those_of_the_least_number_stay() -> None:
    row = np.array([[0.5, 0.9, 0.5, 0.5, 0.1], [0, 0, 0, 0, 0]], np.float32)
    kept = dense(strongest(sp.csr_array(row), 3))
    np.testing.assert_allclose(kept, [[0.5, 0.9, 0.5, 0, 0], [0] * 5], rtol=1e-6)


def test_item_knn_against_a_loop() -> None:
    log = random_log(2)
    neighbours = fit_neighbours(log, 30.0, 1.0, 6)
    forgetting = Forgetting(20.0, context_weight=0.5)
    queries = ask([3, 5], tab=[1, 2])
    votes = dense(profiles(log, queries, forgetting))
    knn = ItemKnn(log, popularity(log), neighbours, forgetting)
    for row, found in enumerate(lists(knn, log, queries, 5)):
        scores = {
            item: sum(votes[row, other] * dense(neighbours)[other, item] for other in range(21))
            for item in range(1, 21)
        }
        assert found == sorted(scores, key=lambda item: (-np.float32(scores[item]), item))[:5]


# --- EASE


@given(st.integers(0, 10_000), st.sampled_from([0.5, 5.0, 50.0]))
def test_ease_solves_a_ridge_regression_for_each_item(seed: int, regularization: float) -> None:
    rng = np.random.default_rng(seed)
    values = ((rng.random((30, 8)) < 0.3) * rng.random((30, 8))).astype(np.float32)
    expected = np.zeros((8, 8))
    for j in range(8):
        others = np.delete(np.arange(8), j)
        x = values[:, others].astype(float)
        gram = x.T @ x + regularization * np.eye(7)
        expected[others, j] = np.linalg.solve(gram, x.T @ values[:, j])
    items, matrix = np.arange(1, 9, dtype=np.int32), sp.csr_array(values)
    users = np.arange(30, dtype=np.int32)
    by_items = EaseByItems.fit(items, matrix, regularization)
    np.testing.assert_allclose(by_items.weights, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(by_items.block(users), values @ expected, rtol=1e-4, atol=1e-5)
    by_users = EaseByUsers.fit(items, matrix, regularization)
    np.testing.assert_allclose(by_users.block(users), values @ expected, rtol=1e-4, atol=1e-5)


def test_ease_inverts_the_lesser_side() -> None:
    log = random_log(0, users=12, items=20)
    assert isinstance(fit_ease(log, None, 1.0), EaseByUsers)
    assert isinstance(fit_ease(random_log(0, users=30, items=20), None, 1.0), EaseByItems)


def test_ease_of_a_large_catalogue_models_what_is_played_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ease, "MOST", 3)
    events = [(1, 2, 0, 1)] * 9 + [(1, 10, 100, 1), (2, 9, 100, 1), (2, 10, 99, 1)]
    log = log_of(events, items=10, users=4)
    model = ease.fit_ease(log, 10.0, 1.0)
    # item 2 weighs 9 / 2**10, what was never played nothing
    assert model.items.tolist() == [2, 9, 10]
    scorer = ease.EaseScorer(log, popularity(log), model)
    first = lists(scorer, log, ask([2, 3]), 4)
    assert set(first[0][:3]) == {2, 9, 10}
    assert first[1] == [2, 10, 9, 1], "a stranger gets what is popular"


# --- all of them


def scorers(log: TrainingLog) -> dict[str, object]:
    popular = popularity(log, 10.0, 1.0, ("tab",) if log.features else ())
    forgetting = Forgetting(9.0, None, 0.3)
    return {
        "random": RandomLists(log),
        "popularity": popular,
        "own": OwnHistory(log, popular, forgetting),
        "knn": ItemKnn(log, popular, fit_neighbours(log, 30.0, 1.0, 5), forgetting),
        "ease": EaseScorer(log, popular, fit_ease(log, 30.0, 2.0)),
    }


@pytest.mark.parametrize("name", ["random", "popularity", "own", "knn", "ease"])
def test_lists_of_any_baseline(name: str) -> None:
    log = random_log(3)
    scorer = scorers(log)[name]
    queries = ask([0, *range(1, 13)], tab=[1] * 13)
    whole = lists(scorer, log, queries, 30)
    assert all(sorted(row) == list(range(1, 21)) for row in whole), "the whole catalogue, once"
    heard = [set(np.flatnonzero(row)) for row in dense(log.user_items)]
    left = lists(scorer, log, queries, 30, True)
    assert [set(row) for row in left] == [set(range(1, 21)) - gone for gone in heard]
    assert [row[:3] for row in left] == lists(scorer, log, queries, 3, True)
    alone = lists(scorer, log, queries.take(np.array([4])), 30, True)
    assert alone == left[4:5], "a query is answered alone as among others"
    if name != "random":
        assert whole[0] == lists(scorers(log)["popularity"], log, queries, 30)[0]
    assert lists(scorer, log, queries.take(np.zeros(0, int)), 3) == []


@pytest.mark.parametrize("name", ["popularity", "own", "knn", "ease"])
def test_item_numbers_mean_nothing(name: str) -> None:
    log = random_log(4, events=400)
    mixed = np.random.default_rng(0).permutation(20) + 1
    numbers = np.concatenate([[0], mixed]).astype(np.int32)
    other = TrainingLog(
        type(log.events)(**{**log.events.__dict__, "item_number": numbers[log.events.item_number]}),
        log.schema,
    )
    queries = ask([1, 2, 3], tab=[1, 2, 0])
    found = lists(scorers(log)[name], log, queries, 8)
    assert lists(scorers(other)[name], other, queries, 8) == numbers[np.array(found)].tolist()


def test_its_own_knob_and_the_caller_leave_out_what_was_heard() -> None:
    log = log_of([(1, 1, 0, 1), (2, 2, 0, 1)], items=2)
    own = FittedBaseline("it", {"exclude_heard": True}, popularity(log), log)
    for asked in (False, True):
        numbers, scores = own.rank(ask([1]), 2, exclude_heard=asked)
        assert numbers.tolist() == [[2, 0]]
        assert scores[0, 1] == -np.inf


def test_an_empty_log() -> None:
    log = log_of([], items=3, users=2)
    for name, scorer in scorers(log).items():
        if name != "random":
            assert lists(scorer, log, ask([0, 1], tab=[1, 0]), 3) == [[1, 2, 3]] * 2

"""The judge on a log small enough to work out by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from antiphon.artifacts import write_json
from antiphon.errors import EvaluationError
from antiphon.evaluate import Evaluation, evaluate_rankers
from antiphon.judge import GivenLists, score
from antiphon.prepared import Prepared
from antiphon.sections import EvaluateSection
from antiphon.windows import held_out_window, validation_window
from tiny import FixedLists, write_prepared

QUICK = EvaluateSection(resamples=50)

# user, item, second, tab; users 1 and 2 are known, 3 is new; item 6 is cold, item 5 unplayed
TRAIN = [(1, 1, 10, 1), (1, 2, 20, 2), (1, 1, 60, 1), (2, 1, 30, 1), (2, 3, 70, 2), (2, 4, 80, 1)]
TEST = [
    (1, 1, 100, 1),
    (1, 3, 110, 1),
    (1, 2, 120, 2),
    (2, 6, 130, 2),
    (3, 5, 140, 0),
    (3, 1, 150, 0),
]


@pytest.fixture
def prepared(tmp_path: Path) -> Prepared:
    return write_prepared(tmp_path, TRAIN, TEST, item_count=5, user_count=2, artist=[7, 7, 8, 8, 9])


def judged(prepared: Prepared, section: EvaluateSection = QUICK) -> Evaluation:
    popular = FixedLists([1, 2, 3, 4, 5])
    exact = FixedLists({(1, 1): [3, 1], (1, 2): [2], (3, 0): [1, 5]})
    return evaluate_rankers(prepared, {"antiphon": exact, "most_popular": popular}, section)


def test_figures_by_hand(prepared: Prepared) -> None:
    evaluation = judged(prepared)
    # queries: user 1 home {1, 3}, user 1 search {2}, user 2 search {6: cold}, user 3 unknown {5, 1}
    assert evaluation.slices["all"]["queries"] == 4
    assert evaluation.slices["all"]["users"] == 3
    assert evaluation.slices["all"]["targets"] == 6
    assert evaluation.value("antiphon", "all", "recall_at_10") == pytest.approx(3 / 4)
    assert evaluation.value("antiphon", "all", "ndcg_at_10") == pytest.approx(3 / 4)
    assert evaluation.value("antiphon", "tab=search", "recall_at_10") == pytest.approx(1 / 2)
    # most popular: ranks of hits 1 and 3; 2; none; 1 and 5, each against the ideal
    home = (1 + 1 / 2) / (1 + 1 / np.log2(3))
    search, new = 1 / np.log2(3), (1 + 1 / np.log2(6)) / (1 + 1 / np.log2(3))
    expected = (home + search + 0 + new) / 4
    found = evaluation.value("most_popular", "all", "ndcg_at_10")
    assert found == pytest.approx(expected, rel=1e-5)
    # five items of a corpus of five; popularity ranks 1 to 5; one artist repeated twice of five
    assert evaluation.value("most_popular", "all", "coverage_at_10") == 1
    assert evaluation.value("most_popular", "all", "popularity_rank_at_10") == 3
    assert evaluation.value("most_popular", "all", "repetition_at_10") == pytest.approx(2 / 5)


def test_slices_by_hand(prepared: Prepared) -> None:
    slices = judged(prepared).slices
    targets = {name: part["targets"] for name, part in slices.items()}
    # user 1 had 1 and 2 before; 3, 6, 5, 1 (of the new user) are discoveries
    assert targets["repeat"] == 2
    assert targets["discovery"] == 4
    # plays: item 1 three, items 2, 3, 4 one each: 1 is the head; 2, 3 begin below 80%; 4 is tail
    assert (targets["head"], targets["middle"], targets["tail"]) == (2, 2, 0)
    assert targets["cold_items"] == 2
    assert {n: s["queries"] for n, s in slices.items() if n.startswith("tab")} == {
        "tab=home": 1,
        "tab=search": 2,
        "tab=unknown": 1,
    }
    assert slices["new_users"]["users"] == 1
    assert slices["history=1-9"]["users"] == 2


@pytest.mark.parametrize("seed", range(6))
def test_slices_against_loops_over_users(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    tabs, users, items = range(3), 6, 12
    train = [
        (int(random.integers(1, users)), int(1 + random.zipf(1.5) % (items - 1)), second, tab)
        for second, tab in enumerate(random.integers(0, 3, 80).tolist())
    ]
    # user 6 is new, items 12 and 13 are cold: one is in the corpus, the other isn't
    test = [
        (int(random.integers(1, users + 1)), int(random.integers(1, items + 2)), 100 + n, tab)
        for n, tab in enumerate(random.integers(0, 3, 40).tolist())
    ]
    prepared = write_prepared(tmp_path, train, test, item_count=items, user_count=users - 1)
    lists = {
        (user, tab): (random.permutation(items) + 1)[: random.integers(1, items)].tolist()
        for user in range(1, users + 1)
        for tab in tabs
    }
    found = evaluate_rankers(prepared, {"antiphon": FixedLists(lists)}, QUICK)
    for name, asked in looped_slices(train, test, items).items():
        assert found.slices[name]["queries"] == len(asked), name
        assert found.slices[name]["targets"] == sum(map(len, asked.values())), name
        figures = [looped_figures(lists[query], targets) for query, targets in asked.items()]
        for place, metric in enumerate(("recall_at_10", "ndcg_at_10")):
            value = found.value("antiphon", name, metric)
            if not figures:
                assert value is None
                continue
            expected = sum(figure[place] for figure in figures) / len(figures)
            assert value == pytest.approx(expected, rel=1e-5), (name, metric)


def looped_slices(
    train: list[tuple], test: list[tuple], items: int
) -> dict[str, dict[tuple[int, int], list[int]]]:
    """The targets of each slice, by (user, tab), as the docs define them."""
    queries: dict[tuple[int, int], list[int]] = {}
    for user, item, _, tab in test:
        queries.setdefault((user, tab), []).append(item)
    plays = {item: sum(event[1] == item for event in train) for item in range(1, items + 2)}
    had = {(event[0], event[1]) for event in train}
    band, before = {}, 0
    for item in sorted(plays, key=lambda one: (-plays[one], one)):
        share = before / len(train)
        band[item] = "head" if share < 0.5 else "middle" if share < 0.8 else "tail"
        band[item] = band[item] if plays[item] else "cold_items"
        before += plays[item]

    def of_queries(wanted: Callable[[int, int], bool]) -> dict[tuple[int, int], list[int]]:
        return {query: targets for query, targets in queries.items() if wanted(*query)}

    def of_targets(wanted: Callable[[int, int], bool]) -> dict[tuple[int, int], list[int]]:
        some = {q: [item for item in queries[q] if wanted(q[0], item)] for q in queries}
        return {query: targets for query, targets in some.items() if targets}

    length = {user: sum(event[0] == user for event in train) for user, _ in queries}
    return {
        "all": queries,
        "tab=home": of_queries(lambda _, tab: tab == 1),
        "tab=search": of_queries(lambda _, tab: tab == 2),
        "tab=unknown": of_queries(lambda _, tab: tab == 0),
        "new_users": of_queries(lambda user, _: length[user] == 0),
        "history=1-9": of_queries(lambda user, _: 1 <= length[user] <= 9),
        "history=10-99": of_queries(lambda user, _: length[user] >= 10),
        "repeat": of_targets(lambda user, item: (user, item) in had),
        "discovery": of_targets(lambda user, item: (user, item) not in had),
        **{
            name: of_targets(lambda _, item, name=name: band[item] == name)
            for name in ("head", "middle", "tail", "cold_items")
        },
    }


def looped_figures(items: list[int], targets: list[int]) -> tuple[float, float]:
    """Recall and ndcg at 10 of one query, by the standard protocol."""
    hits = [item in targets for item in items[:10]]
    most = min(len(set(targets)), 10)
    gain = sum(hit / math.log2(rank + 2) for rank, hit in enumerate(hits))
    return sum(hits) / most, gain / sum(1 / math.log2(rank + 2) for rank in range(most))


def test_slices_of_targets_leave_the_others_hits_out(prepared: Prepared) -> None:
    evaluation = judged(prepared)
    # repeats: user 1 home {1} at rank 2 of antiphon's list; search {2} at rank 1
    expected = (1 / np.log2(3) + 1) / 2
    assert evaluation.value("antiphon", "repeat", "ndcg_at_10") == pytest.approx(expected, rel=1e-5)
    assert evaluation.slices["repeat"]["queries"] == 2


def test_empty_slices_are_there_and_say_so(prepared: Prepared) -> None:
    evaluation = judged(prepared)
    assert evaluation.slices["history=1000+"] == {
        "queries": 0,
        "users": 0,
        "targets": 0,
        "description": "users with 1000+ known events",
    }
    nothing = {"value": None, "low": None, "high": None}
    assert all(cell == nothing for cell in evaluation.models["antiphon"]["history=1000+"].values())
    assert evaluation.comparisons["best_baseline"]["history=1000+"]["ndcg_at_10"]["low"] is None


def test_comparisons_are_differences_of_the_figures(prepared: Prepared) -> None:
    evaluation = judged(prepared)
    ours = evaluation.models["antiphon"]["all"]["ndcg_at_10"]["value"]
    theirs = evaluation.models["most_popular"]["all"]["ndcg_at_10"]["value"]
    one = evaluation.comparisons["most_popular"]["all"]["ndcg_at_10"]
    assert one["difference"] == pytest.approx(ours - theirs, abs=1e-5)
    assert one["ratio"] == pytest.approx(ours / theirs, rel=1e-5)
    assert one["low"] <= one["difference"] <= one["high"]
    best = evaluation.comparisons["best_baseline"]["all"]["ndcg_at_10"]
    assert best == {"baseline": "most_popular", **one}


def test_the_best_baseline_is_chosen_per_slice_and_metric(prepared: Prepared) -> None:
    rankers = {
        "antiphon": FixedLists([1]),
        "first": FixedLists({(1, 1): [1, 3]}),
        "second": FixedLists({(1, 2): [2]}),
        "oracle": FixedLists({(1, 1): [1, 3], (1, 2): [2], (3, 0): [1, 5]}),
    }
    best = evaluate_rankers(prepared, rankers, QUICK).comparisons["best_baseline"]
    assert best["tab=home"]["ndcg_at_10"]["baseline"] == "first"
    assert best["tab=search"]["ndcg_at_10"]["baseline"] == "second", "the oracle is no baseline"


def test_the_json_is_json(prepared: Prepared, tmp_path: Path) -> None:
    document = judged(prepared).to_json()
    write_json(tmp_path / "evaluation.json", document)
    assert json.loads((tmp_path / "evaluation.json").read_text()) == document
    assert document["format_version"] == 1
    assert document["protocol"]["known_before_s"] == 90
    assert document["hashes"]["prepared"] == prepared.stage.hash


def test_the_same_seed_gives_the_same_json(prepared: Prepared) -> None:
    assert judged(prepared).to_json() == judged(prepared).to_json()


def test_the_curve_is_recall(prepared: Prepared) -> None:
    evaluation = judged(prepared)
    curve = evaluation.curves["antiphon"]
    at_10 = evaluation.value("antiphon", "all", "recall_at_10")
    assert curve["value"][curve["k"].index(10)] == at_10


def test_yambda_paper_asks_only_users_with_history(prepared: Prepared) -> None:
    section = EvaluateSection(protocol="yambda-paper", resamples=50)
    evaluation = judged(prepared, section)
    assert evaluation.slices["all"]["users"] == 2
    assert evaluation.slices["new_users"]["queries"] == 0
    # three lists of users known, asked once without a context: nothing is listed for tab 0
    assert evaluation.value("antiphon", "all", "coverage_at_10") == 0
    assert evaluation.value("most_popular", "all", "coverage_at_10") == 1


def test_the_validation_window_sees_nothing_of_itself(prepared: Prepared) -> None:
    window = validation_window(prepared, QUICK)
    # known: before 50 - 10 = 40 s; asked: 60, 70, 80 s
    assert window.known.timestamp_s[window.known.rows()].tolist() == [10, 20, 30]
    assert window.item_counts.tolist() == [0, 2, 1, 0, 0, 0]
    assert sorted(window.targets.item_number.tolist()) == [1, 3, 4]
    assert window.queries.time_s.tolist() == [50] * 3
    # user 1 had item 1; items 3 and 4 are not only new to user 2, but to everybody
    assert window.targets_heard().tolist() == [True, False, False]
    slices = evaluate_rankers(prepared, {"antiphon": FixedLists([1])}, QUICK, window=window).slices
    assert slices["cold_items"]["targets"] == 2


def test_users_first_seen_in_the_validation_window_are_new(tmp_path: Path) -> None:
    train = [(1, 1, 10, 1), (2, 1, 45, 1), (2, 1, 60, 1)]  # 45 s lies in the gap
    prepared = write_prepared(tmp_path, train, [(1, 1, 100, 1)], item_count=1, user_count=2)
    window = validation_window(prepared, QUICK)
    assert window.queries.user_key.tolist() == [2]
    assert window.queries.user_number.tolist() == [0]
    assert window.history_lengths().tolist() == [0]


@pytest.mark.parametrize("which", ["validation", "test"])
def test_what_is_known_does_not_change_with_the_future(tmp_path: Path, which: str) -> None:
    limit = 40 if which == "validation" else 90

    def known(folder: str, train: list, held_out: list) -> list:
        prepared = write_prepared(tmp_path / folder, train, held_out, item_count=9, user_count=2)
        view = validation_window if which == "validation" else held_out_window
        window = view(prepared, QUICK)
        rows = window.known.rows()
        return [
            window.known.item_number[rows].tolist(),
            window.known.timestamp_s[rows].tolist(),
            window.known.context["tab"][rows].tolist(),
            window.item_counts.tolist(),
        ]

    later = [(u, 9, s, 2) if s >= limit else (u, i, s, c) for u, i, s, c in TRAIN]
    changed = [(u, 8, s, 1) for u, _, s, _ in TEST]
    assert known("one", TRAIN, TEST) == known("two", later, changed)


def test_max_users_takes_whole_users(prepared: Prepared) -> None:
    keys = {
        n: set(held_out_window(prepared, EvaluateSection(max_users=n)).queries.user_key.tolist())
        for n in (1, 2, 3, 9)
    }
    assert [len(keys[n]) for n in (1, 2, 3, 9)] == [1, 2, 3, 3]
    assert keys[1] < keys[2], "more users never drop one"


def test_score_agrees_with_the_tables(prepared: Prepared) -> None:
    window = held_out_window(prepared, QUICK)
    ranker = FixedLists([2, 1, 5])
    found = score(window, ranker, QUICK, ["ndcg_at_10", "recall_at_100"])
    table = evaluate_rankers(prepared, {"antiphon": ranker}, QUICK).models["antiphon"]["all"]
    assert found["ndcg_at_10"] == pytest.approx(table["ndcg_at_10"]["value"], rel=1e-5)
    assert list(found) == ["ndcg_at_10", "recall_at_100"]


def test_progress_is_told(prepared: Prepared) -> None:
    told: list[tuple[str, float]] = []
    evaluate_rankers(
        prepared, {"one": FixedLists([1])}, QUICK, progress=lambda *step: told.append(step)
    )
    assert told[0] == ("one", 0.0)
    assert told[-1] == ("one", 1.0)


def test_lists_for_other_queries_are_refused(prepared: Prepared) -> None:
    lists = GivenLists(np.zeros((3, 100), np.int32), np.zeros((3, 100), np.float32))
    with pytest.raises(EvaluationError, match="other queries"):
        evaluate_rankers(prepared, {"predictions": lists}, QUICK)


def test_what_cannot_be_judged_is_refused(tmp_path: Path, prepared: Prepared) -> None:
    nothing = write_prepared(tmp_path / "none", TRAIN, [], item_count=5, user_count=2)
    with pytest.raises(EvaluationError, match="no targets"):
        held_out_window(nothing, QUICK)
    with pytest.raises(EvaluationError, match="twice"):
        evaluate_rankers(prepared, {"antiphon": FixedLists([1, 1])}, QUICK)
    with pytest.raises(EvaluationError, match="query_by"):
        held_out_window(prepared, EvaluateSection(query_by=("hour",)))
    with pytest.raises(EvaluationError, match="repetition_feature"):
        judged(prepared, EvaluateSection(repetition_feature="label"))
    with pytest.raises(EvaluationError, match="no such metrics"):
        score(held_out_window(prepared, QUICK), FixedLists([1]), QUICK, ["ndcg"])

"""The exact search against scoring everything and sorting it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon import exact_search, scan
from antiphon.errors import EvaluationError
from antiphon.exact_search import ExactSearch, top_k_inner_product
from antiphon.exclusions import Exclusions
from antiphon.prepared import Events
from antiphon.queries import Queries
from antiphon.scan import TILE


def naive(
    queries: np.ndarray, candidates: np.ndarray, k: int, leave_out: list[list[int]] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    numbers = np.zeros((len(queries), k), np.int32)
    scores = np.full((len(queries), k), -np.inf, np.float32)
    for row, query in enumerate(queries.astype(np.float64)):
        out = set(leave_out[row]) if leave_out else set()
        found = [
            (-np.float32((query * candidates[item]).sum()), item)
            for item in range(1, len(candidates))
            if item not in out
        ]
        for place, (score, item) in enumerate(sorted(found)[:k]):
            numbers[row, place], scores[row, place] = item, -score
    return numbers, scores


def embeddings(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def exclusions(rows: list[list[int]]) -> Exclusions:
    offsets = np.cumsum([0] + [len(row) for row in rows]).astype(np.int64)
    return Exclusions(offsets, np.array([i for row in rows for i in row], np.int32))


def same(found: tuple[np.ndarray, np.ndarray], expected: tuple[np.ndarray, np.ndarray]) -> None:
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


@pytest.mark.parametrize("items", [2, 50, TILE, TILE + 1, 3 * TILE + 7])
def test_against_sorting_everything(items: int) -> None:
    queries, candidates = embeddings(0, 40, 8), embeddings(1, items, 8)
    same(top_k_inner_product(queries, candidates, 20), naive(queries, candidates, 20))


@pytest.mark.parametrize("rows", [1, 2, 7, 16, 64, 65])
def test_however_many_ask_together(rows: int) -> None:
    # few rows are multiplied piece by piece, and what is left over by itself
    queries, candidates = embeddings(0, rows, 68), embeddings(1, 2 * TILE + 77, 68)
    out = [[n + 1, TILE, TILE + 1, 2 * TILE + 76] for n in range(rows)]
    found = ExactSearch(candidates).top_k(queries, 10, exclude=exclusions(out), threads=1)
    same(found, naive(queries, candidates, 10, out))


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("rows", [2, 13])
def test_a_lone_block_is_shared_by_parts_of_the_corpus(rows, threads, monkeypatch) -> None:
    monkeypatch.setattr(exact_search, "SHARED", 100)
    parts = []
    run = scan._Part.run
    monkeypatch.setattr(
        scan._Part, "run", lambda self, *ends: (parts.append(ends), run(self, *ends))
    )
    queries, candidates = embeddings(0, rows, 8), embeddings(1, 2 * TILE + 77, 8)
    candidates[1::3] = candidates[1]  # equals, on both sides of each bound
    out = [[n + 1, TILE, TILE + 1, 2 * TILE + 76] for n in range(rows)]
    found = ExactSearch(candidates).top_k(queries, 10, exclude=exclusions(out), threads=threads)
    same(found, naive(queries, candidates, 10, out))
    assert len(parts) == threads


def test_a_search_serves_lists_of_other_lengths() -> None:
    queries, candidates = embeddings(0, 3, 8), embeddings(1, 3000, 8)
    search = ExactSearch(candidates)
    for k in (5, 200, 5):
        same(search.top_k(queries, k), naive(queries, candidates, k))


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_change_nothing(threads: int) -> None:
    queries, candidates = embeddings(0, 70, 8), embeddings(1, 3000, 8)
    found = ExactSearch(candidates).top_k(queries, 10, threads=threads)
    same(found, ExactSearch(candidates).top_k(queries, 10))


def test_a_query_alone_gets_the_answer_it_gets_among_others() -> None:
    queries, candidates = embeddings(0, 70, 64), embeddings(1, 5000, 64)
    search = ExactSearch(candidates)
    numbers, scores = search.top_k(queries, 100)
    for row in (0, 33, 69):
        same(
            search.top_k(queries[row : row + 1], 100),
            (numbers[row : row + 1], scores[row : row + 1]),
        )


def test_exclusions() -> None:
    queries, candidates = embeddings(0, 30, 8), embeddings(1, 2500, 8)
    best, _ = top_k_inner_product(queries, candidates, 40)
    # each leaves out the best of the plain list, some twice, some out of the corpus
    out = [[*row[: 3 * n].tolist(), 2500, 0, *row[:1].tolist()] for n, row in enumerate(best)]
    found = top_k_inner_product(queries, candidates, 40, exclude=exclusions(out))
    same(found, naive(queries, candidates, 40, out))


def test_the_sample_knows_of_exclusions() -> None:
    # one dimension: the greatest are sampled first, and all of them are left out
    candidates = np.linspace(0, 1, 5001, dtype=np.float32)[:, None]
    queries = np.ones((3, 1), np.float32)
    out = [list(range(1001, 5001))] * 3
    numbers, _ = top_k_inner_product(queries, candidates, 5, exclude=exclusions(out))
    assert numbers.tolist() == [[1000, 999, 998, 997, 996]] * 3


def test_fewer_than_k() -> None:
    queries, candidates = embeddings(0, 2, 4), embeddings(1, 6, 4)
    numbers, scores = top_k_inner_product(queries, candidates, 8, exclude=exclusions([[1], []]))
    assert (numbers > 0).sum(1).tolist() == [4, 5]
    assert np.all(scores[numbers == 0] == -np.inf)
    nothing = top_k_inner_product(queries, candidates[:1], 3)
    assert nothing[0].tolist() == [[0, 0, 0]] * 2
    assert top_k_inner_product(queries[:0], candidates, 3)[0].shape == (0, 3)


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e-20])
def test_equal_scores_go_by_item_number(scale: float) -> None:
    # all candidates are equal, many more than fit between two rises of the bounds
    candidates = np.full((20_000, 8), scale, np.float32)
    queries = np.concatenate([embeddings(0, 3, 8), np.zeros((1, 8), np.float32)])
    numbers, _ = top_k_inner_product(queries, candidates, 10)
    assert numbers.tolist() == [list(range(1, 11))] * 4


def test_a_crowd_of_equals_at_the_end_of_the_list() -> None:
    # three better ones far back, the rest of the list is the first of 30,000 equals
    candidates = np.ones((30_001, 4), np.float32)
    candidates[[29_000, 15_000, 29_500]] *= 2
    numbers, scores = top_k_inner_product(np.ones((20, 4), np.float32), candidates, 6)
    assert numbers.tolist() == [[15_000, 29_000, 29_500, 1, 2, 3]] * 20
    assert scores[0].tolist() == [8, 8, 8, 4, 4, 4]


def test_permuting_the_candidates_permutes_the_lists() -> None:
    queries, candidates = embeddings(0, 25, 64), embeddings(1, 4000, 64)
    order = np.concatenate([[0], np.random.default_rng(2).permutation(3999) + 1])
    numbers, scores = top_k_inner_product(queries, candidates, 50)
    moved, moved_scores = top_k_inner_product(queries, candidates[order], 50)
    np.testing.assert_array_equal(order[moved], numbers)
    np.testing.assert_array_equal(moved_scores, scores)


@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(2, 60), st.integers(1, 12))
def test_small_integers_with_many_ties(seed: int, rows: int, items: int, k: int) -> None:
    random = np.random.default_rng(seed)
    queries = random.integers(-2, 3, (rows, 3)).astype(np.float32)
    candidates = random.integers(-2, 3, (items, 3)).astype(np.float32)
    out = [random.integers(0, items, random.integers(0, 9)).tolist() for _ in range(rows)]
    found = top_k_inner_product(queries, candidates, k, exclude=exclusions(out))
    same(found, naive(queries, candidates, k, out))


def test_memory_mapped_candidates(tmp_path: Path) -> None:
    queries, candidates = embeddings(0, 5, 8), embeddings(1, 100, 8)
    np.save(tmp_path / "c.npy", candidates)
    mapped = np.load(tmp_path / "c.npy", mmap_mode="r")
    same(top_k_inner_product(queries, mapped, 7), naive(queries, candidates, 7))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(bad: float) -> None:
    queries, candidates = embeddings(0, 3, 8), embeddings(1, 70_000, 8)
    for array in (queries, candidates):
        before, array[1, 2] = float(array[1, 2]), bad
        with pytest.raises(EvaluationError, match="finite"):
            top_k_inner_product(queries, candidates, 2)
        array[1, 2] = before
    with pytest.raises(EvaluationError, match="place"):
        top_k_inner_product(queries, candidates, 0)


def test_heard_items_of_users() -> None:
    events = Events(
        starts=np.array([0, 0, 2]),
        ends=np.array([0, 2, 3]),
        item_number=np.array([5, 6, 9], np.int32),
        timestamp_s=np.arange(3),
        is_target=np.ones(3, bool),
        context={},
    )
    numbers = np.array([2, 0, 1, 1], np.int32)
    asked_s = np.array([9, 9, 9, 1], np.int64)
    queries = Queries(numbers, numbers.astype(np.int64), asked_s, {})
    heard = Exclusions.heard(events, queries)
    rows = np.split(heard.item_number, heard.offsets[1:-1])
    assert [row.tolist() for row in rows] == [[9], [], [5, 6], [5]]
    assert Exclusions.heard(events, queries, gap_s=8).offsets[-1] == 1, "item 5 at the first second"

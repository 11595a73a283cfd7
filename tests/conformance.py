"""What every index must do, whatever its engine, beside scoring everything and sorting it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from antiphon.errors import EvaluationError
from antiphon.exclusions import Exclusions
from antiphon.indexes import Filter, Index
from antiphon.indexes.filters import rows_of
from corpora import embeddings, exclusions, queries_like, right, same

WIDTH = 8
Build = Callable[[np.ndarray], Index]


class Conformance:
    """Every engine's test class is one of these.

    Attributes:
        exact: whether lists must be right; else a few misses are forgiven.
        same_again: whether building twice must give the same graph.
    """

    exact = True
    same_again = True

    @pytest.fixture
    def build(self, tmp_path: Path) -> Build:
        """Makes the engine of some candidates."""
        raise NotImplementedError

    def check(
        self,
        index: Index,
        candidates: np.ndarray,
        queries: np.ndarray,
        k: int,
        exclude: Exclusions | None = None,
        among: Filter | None = None,
    ) -> None:
        found = index.top_k(queries, k, exclude=exclude, among=among)
        expected = right(queries, candidates, k, exclude, among)
        if self.exact:
            same(found, expected)
            return
        numbers, scores = found
        # as many as there are; true scores, in order; nothing that is left out
        np.testing.assert_array_equal((numbers > 0).sum(1), (expected[0] > 0).sum(1))
        for row in range(len(queries)):
            listed = numbers[row][numbers[row] > 0]
            assert len(set(listed.tolist())) == len(listed)
            only = Filter.allowing(listed) if among is None else Filter.allowing(listed) & among
            alone = None if exclude is None else rows_of(exclude, np.array([row]))
            again = right(queries[row : row + 1], candidates, k, alone, only)
            same((numbers[row : row + 1], scores[row : row + 1]), again)
        hits = (scores >= expected[1][:, -1:]) & (numbers > 0)
        assert hits.sum() >= 0.98 * (expected[0] > 0).sum()

    @pytest.mark.parametrize("queries", [1, 3, 40])
    def test_the_best_in_order(self, build: Build, queries: int) -> None:
        candidates = embeddings(1, 2000)
        index = build(candidates)
        assert isinstance(index, Index)
        assert (index.item_count, index.width) == (1999, WIDTH)
        for k in (1, 10, 100):
            self.check(index, candidates, queries_like(0, queries), k)

    def test_a_query_alone_gets_the_answer_it_gets_among_others(self, build: Build) -> None:
        candidates, queries = embeddings(1, 3000), queries_like(0, 30)
        index = build(candidates)
        out = exclusions([list(range(1, 20 * row)) for row in range(30)])
        together = index.top_k(queries, 20, exclude=out)
        for row in (0, 7, 29):
            alone = index.top_k(queries[row : row + 1], 20, exclude=rows_of(out, np.array([row])))
            same(alone, (together[0][row : row + 1], together[1][row : row + 1]))

    def test_equal_scores_go_by_item_number(self, build: Build) -> None:
        candidates = np.ones((301, WIDTH), np.float32)
        candidates[[7, 200]] *= 2
        index = build(candidates)
        numbers, scores = index.top_k(np.ones((2, WIDTH), np.float32), 5)
        if self.exact:
            assert numbers.tolist() == [[7, 200, 1, 2, 3]] * 2
            assert scores.tolist() == [[16, 16, 8, 8, 8]] * 2
        assert (np.diff(numbers)[np.diff(scores) == 0] > 0).all()

    def test_what_is_left_out(self, build: Build) -> None:
        candidates, queries = embeddings(1, 2500), queries_like(0, 12)
        index = build(candidates)
        ranked, _ = right(queries, candidates, 400)
        # the best themselves, more and more of them, some twice, some that aren't there
        rows = [
            [*row[: 35 * n].tolist(), 0, 9999, *row[:1].tolist()] for n, row in enumerate(ranked)
        ]
        out = exclusions(rows)
        self.check(index, candidates, queries, 10, out)
        self.check(index, candidates, queries[3:4], 10, rows_of(out, np.array([3])))
        numbers, _ = index.top_k(queries, 50, exclude=out)
        assert not any(
            set(row) & set(found) - {0} for row, found in zip(rows, numbers.tolist(), strict=True)
        )

    @pytest.mark.parametrize("allowed", [1, 5, 60, 1500])
    def test_allow_lists(self, build: Build, allowed: int) -> None:
        candidates, queries = embeddings(1, 2500), queries_like(0, 4)
        chosen = np.random.default_rng(allowed).choice(2499, allowed, replace=False) + 1
        among = Filter.allowing(np.append(chosen, [0, 5000]))
        assert among.count(2499) == allowed
        index = build(candidates)
        self.check(index, candidates, queries, 10, among=among)
        out = exclusions([chosen[: allowed // 2].tolist()] * 4)
        self.check(index, candidates, queries, 10, out, among)

    @pytest.mark.parametrize("denied", [1, 300, 2490, 2499])
    def test_deny_lists(self, build: Build, denied: int) -> None:
        candidates, queries = embeddings(1, 2500), queries_like(0, 4)
        ranked, _ = right(queries[:1], candidates, denied)
        among = Filter.denying(ranked[0])  # the best of the first query
        assert among.count(2499) == 2499 - denied
        index = build(candidates)
        self.check(index, candidates, queries, 10, among=among)
        self.check(index, candidates, queries, 10, exclusions([[1, 2, 3]] * 4), among)

    def test_nothing_is_allowed(self, build: Build) -> None:
        index = build(embeddings(1, 50))
        numbers, scores = index.top_k(
            queries_like(0, 2), 3, among=Filter.allowing(np.zeros(0, int))
        )
        assert numbers.tolist() == [[0] * 3] * 2
        assert np.isneginf(scores).all()
        everything = exclusions([list(range(50))])
        assert index.top_k(queries_like(0, 1), 2, exclude=everything)[0].tolist() == [[0, 0]]

    def test_fewer_than_k(self, build: Build) -> None:
        candidates, queries = embeddings(1, 6), queries_like(0, 2)
        index = build(candidates)
        self.check(index, candidates, queries, 8)
        self.check(index, candidates, queries, 8, exclusions([[1], []]))
        numbers, scores = index.top_k(queries, 8, exclude=exclusions([[1], []]))
        assert (numbers > 0).sum(1).tolist() == [4, 5]
        assert np.isneginf(scores[numbers == 0]).all()
        assert index.top_k(queries[:0], 3)[0].shape == (0, 3)

    def test_a_corpus_without_items(self, build: Build) -> None:
        index = build(embeddings(1, 1))
        assert index.item_count == 0
        assert index.top_k(queries_like(0, 2), 3)[0].tolist() == [[0, 0, 0]] * 2

    def test_permuting_the_candidates_permutes_the_lists(self, build: Build) -> None:
        candidates, queries = embeddings(1, 800), queries_like(0, 6)
        order = np.concatenate([[0], np.random.default_rng(2).permutation(799) + 1])
        numbers, scores = build(candidates[order]).top_k(queries, 20)
        expected = right(queries, candidates, 20)
        if self.exact:
            same((order[numbers].astype(np.int32), scores), expected)
        else:
            assert np.mean(scores >= expected[1][:, -1:]) > 0.98

    def test_building_twice_gives_the_same_answers(self, build: Build) -> None:
        candidates, queries = embeddings(1, 2000), queries_like(0, 20)
        first = build(candidates).top_k(queries, 30)
        second = build(candidates).top_k(queries, 30)
        if self.same_again:
            same(first, second)
        else:
            assert np.mean(first[0] == second[0]) > 0.9

    @pytest.mark.parametrize("width", [3, 15, 16, 33])
    def test_any_width(self, build: Build, width: int) -> None:
        candidates, queries = embeddings(1, 400, width), queries_like(0, 3, width)
        self.check(build(candidates), candidates, queries, 10)

    @pytest.mark.parametrize("scale", [0.0, 1e-20, 1e6])
    def test_any_scale(self, build: Build, scale: float) -> None:
        candidates = (embeddings(1, 200) * scale).astype(np.float32)
        self.check(build(candidates), candidates, queries_like(0, 3), 200)

    def test_what_cannot_be_asked(self, build: Build) -> None:
        index = build(embeddings(1, 20))
        bad = queries_like(0, 2)
        bad[1, 2] = np.nan
        with pytest.raises(EvaluationError, match="finite"):
            index.top_k(bad, 2)
        with pytest.raises(EvaluationError, match="place"):
            index.top_k(queries_like(0, 2), 0)
        with pytest.raises(EvaluationError, match="width"):
            index.top_k(queries_like(0, 2, WIDTH + 1), 2)

    def test_many_threads_at_once(self, build: Build) -> None:
        candidates, queries = embeddings(1, 2000), queries_like(0, 24)
        index = build(candidates)
        expected = [index.top_k(queries[row : row + 1], 10) for row in range(24)]
        with ThreadPoolExecutor(4) as pool:
            answers = pool.map(lambda row: index.top_k(queries[row : row + 1], 10), range(24))
            for answer, right_one in zip(answers, expected, strict=True):
                same(answer, right_one)

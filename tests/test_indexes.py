"""Engines of this process, filters and lists; what all engines must do is in conformance.py."""

from __future__ import annotations

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from antiphon.errors import ArtifactError, EvaluationError
from antiphon.indexes import (
    Filter,
    Index,
    NumpyScan,
    faiss_scan,
    graph,
    merge_top_k,
    top_k_spread,
)
from antiphon.indexes.faiss_files import open_graph, open_scan, write_graph, write_scan
from antiphon.indexes.filters import numbers_of, with_denied
from antiphon.indexes.folder import open_engine
from antiphon.indexes.graph import Reach
from antiphon.indexes.layout import layout_of
from antiphon.indexes.lists import best
from conformance import WIDTH, Build, Conformance
from corpora import embeddings, exclusions, queries_like, right, same


def _numpy(candidates: np.ndarray, folder: Path) -> Index:
    return NumpyScan(candidates)


def _scan(candidates: np.ndarray, folder: Path) -> Index:
    write_scan(folder, candidates, queries_like(99, 50, candidates.shape[1]))
    return open_scan(folder, candidates)


def _graph(candidates: np.ndarray, folder: Path) -> Index:
    write_graph(folder, candidates, queries_like(99, 50, candidates.shape[1]))
    # wide enough to find everything, and never to be too wide for a graph
    return open_graph(folder, candidates).reaching(Reach(200, 3.0, 1_000_000))


class OnDisk(Conformance):
    """Engines that are written to a folder and opened from it."""

    engine = ""

    @staticmethod
    def write(folder: Path, candidates: np.ndarray) -> None:
        raise NotImplementedError

    def test_saved_and_opened_memory_mapped(self, tmp_path: Path) -> None:
        candidates, queries = embeddings(1, 1500), queries_like(0, 5)
        self.write(tmp_path, candidates)
        np.save(tmp_path / "candidates.npy", candidates)
        mapped = np.load(tmp_path / "candidates.npy", mmap_mode="r")
        index = open_engine(self.engine, tmp_path, mapped)
        same(
            index.top_k(queries, 10),
            open_engine(self.engine, tmp_path, candidates).top_k(queries, 10),
        )
        self.check(index, candidates, queries, 3)
        for path in tmp_path.iterdir():
            assert path.suffix in (".faiss", ".json", ".npy")
            # a pickle begins with its protocol's mark
            assert not path.read_bytes().startswith(b"\x80")

    def test_the_file_is_mapped_and_not_read(self, tmp_path: Path) -> None:
        self.write(tmp_path, embeddings(1, 1500))
        (file,) = tmp_path.glob("*.faiss")
        index = open_engine(self.engine, tmp_path, embeddings(1, 1500))
        assert str(file) in Path("/proc/self/maps").read_text(encoding="utf-8")
        del index

    def test_other_candidates_are_refused(self, tmp_path: Path) -> None:
        self.write(tmp_path, embeddings(1, 50))
        for others in (embeddings(1, 51), embeddings(1, 50, WIDTH + 1)):
            with pytest.raises(ArtifactError, match="other candidates"):
                open_engine(self.engine, tmp_path, others)

    def test_damaged_files_are_refused(self, tmp_path: Path) -> None:
        self.write(tmp_path, embeddings(1, 50))
        (file,) = tmp_path.glob("*.faiss")
        content = file.read_bytes()

        def refused(match: str) -> None:
            with pytest.raises(ArtifactError, match=match):
                open_engine(self.engine, tmp_path, embeddings(1, 50))

        file.write_bytes(content[:-1])
        refused("truncated or swapped")
        file.write_bytes(b"nonsense".ljust(len(content)))
        refused("can't be read")
        file.unlink()
        refused("can't be read")
        file.write_bytes(content)
        (tmp_path / "layout.json").unlink()
        refused("can't be read")

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_embeddings_that_are_not_finite(self, tmp_path: Path, bad: float) -> None:
        candidates = embeddings(1, 50)
        candidates[7, 1] = bad
        with pytest.raises(EvaluationError, match="finite"):
            self.write(tmp_path, candidates)


class TestNumpyScan(Conformance):
    @pytest.fixture
    def build(self, tmp_path: Path) -> Build:
        return NumpyScan

    def test_picking_out_many_blocks(self, monkeypatch) -> None:
        from antiphon.indexes import numpy_scan

        monkeypatch.setattr(numpy_scan, "ROWS_AT_ONCE", 64)
        monkeypatch.setattr(numpy_scan, "PAIRS_DENIED", 0)
        candidates, queries = embeddings(1, 1000), queries_like(0, 5)
        out = exclusions([[1, 2, 500, 999]] * 5)
        for among in (Filter.allowing(np.arange(1, 1000, 3)), Filter.denying(np.arange(5, 700))):
            self.check(NumpyScan(candidates), candidates, queries, 100, out, among)


class TestFaissScan(OnDisk):
    engine = "faiss-scan"
    write = staticmethod(write_scan)

    @pytest.fixture
    def build(self, tmp_path: Path, monkeypatch) -> Build:
        # so that small allow lists are scanned too
        monkeypatch.setattr(faiss_scan, "FEW_ALLOWED", 50)
        return lambda candidates: _scan(candidates, tmp_path)

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
    @given(
        seed=st.integers(0, 10_000),
        items=st.integers(1, 300),
        k=st.integers(1, 40),
        kind=st.sampled_from(["normal", "small whole numbers", "nearly equal", "long tail"]),
    )
    def test_it_is_exact_on_anything(
        self, tmp_path: Path, seed: int, items: int, k: int, kind: str
    ) -> None:
        random = np.random.default_rng(seed)
        candidates = random.normal(size=(items, 4)).astype(np.float32)
        if kind == "small whole numbers":
            candidates = random.integers(-2, 3, (items, 4)).astype(np.float32)
        elif kind == "nearly equal":  # less apart than bfloat16 can tell
            candidates = (1 + 1e-4 * candidates).astype(np.float32)
        elif kind == "long tail":
            candidates = np.exp(4 * candidates).astype(np.float32)
        queries = random.normal(size=(2, 4)).astype(np.float32)
        write_scan(tmp_path, candidates, queries)
        index = open_scan(tmp_path, candidates)
        out = exclusions([random.integers(0, items, 9).tolist(), []])
        same(index.top_k(queries, k), right(queries, candidates, k))
        same(index.top_k(queries, k, exclude=out), right(queries, candidates, k, out))

    def test_it_does_not_need_numpy_for_what_is_easy(self, build: Build, monkeypatch) -> None:
        index = build(embeddings(1, 2000))
        monkeypatch.setattr(NumpyScan, "top_k", None)
        out = exclusions([list(range(1, 500))])
        for k in (1, 10, 100):
            index.top_k(queries_like(0, 1), k)
            index.top_k(queries_like(0, 1), k, exclude=out)
            index.top_k(queries_like(0, 1), k, among=Filter.denying(np.arange(300)))

    @pytest.mark.parametrize("few", [0, 3, faiss_scan.FEW_LEFT_OUT])
    def test_what_is_left_out_is_dropped_or_never_brought(self, build: Build, few, monkeypatch):
        monkeypatch.setattr(faiss_scan, "FEW_LEFT_OUT", few)
        candidates, query = embeddings(1, 400), queries_like(0, 1)
        index = build(candidates)
        best = right(query, candidates, 399)[0][0].tolist()
        # the head of the list, some of it twice; the whole corpus; what isn't in it
        for row in (best[:60], best[:3] * 2, best, best[:-4], [0, 400, 5000], [best[9]]):
            out = exclusions([row])
            for k in (1, 10, 399):
                same(index.top_k(query, k, exclude=out), right(query, candidates, k, out))

    def test_stretching_does_not_change_scores(self) -> None:
        candidates, queries = embeddings(1, 100), queries_like(0, 20)
        queries[:, 3] = 0  # a coordinate that no query uses
        layout = layout_of(candidates, queries, equal_lengths=True)
        # powers of two: nothing is rounded
        assert set(np.log2(layout.factors) % 1) == {0}
        laid = layout.of_candidates(candidates), layout.of_queries(queries)
        np.testing.assert_allclose(laid[1] @ laid[0].T, queries @ candidates.T, atol=1e-5)
        lengths = np.linalg.norm(laid[0], axis=1)
        np.testing.assert_allclose(lengths, layout.longest, rtol=1e-5)

    def test_the_bound_holds_and_is_not_idle(self, tmp_path: Path) -> None:
        candidates, queries = embeddings(1, 3000), queries_like(0, 50)
        write_scan(tmp_path, candidates, queries)
        index = open_scan(tmp_path, candidates)
        laid = index._layout.of_queries(queries)
        rough, labels = index._storage.search(laid, 2999)
        exact = np.einsum("qw,qiw->qi", queries.astype(np.float64), candidates[labels + 1])
        off = np.abs(exact - rough).max(axis=1)
        bound = index._layout.error(laid)
        assert (off <= bound).all()
        assert (off >= bound / 30).all()

    def test_the_bound_holds_where_queries_are_rounded_too(self, tmp_path: Path) -> None:
        candidates, queries = embeddings(1, 3000), queries_like(0, 50)
        write_scan(tmp_path, candidates, queries)
        layout = open_scan(tmp_path, candidates)._layout
        laid = layout.of_queries(queries)
        # as processors do that multiply bfloat16 by bfloat16
        kept = layout.of_candidates(candidates[1:]).astype(jnp.bfloat16).astype(np.float64)
        rough = laid.astype(jnp.bfloat16).astype(np.float64) @ kept.T
        off = np.abs(queries.astype(np.float64) @ candidates[1:].T - rough).max(axis=1)
        assert (off <= layout.error(laid)).all()
        assert (off >= layout.error(laid) / 30).all()


class TestFaissGraph(OnDisk):
    exact = False
    engine = "faiss-graph"
    write = staticmethod(write_graph)

    @pytest.fixture
    def build(self, tmp_path: Path) -> Build:
        return lambda candidates: _graph(candidates, tmp_path)

    def test_it_is_the_graph_that_answers(self, build: Build, monkeypatch) -> None:
        index = build(embeddings(1, 2000))
        monkeypatch.setattr(faiss_scan.FaissScan, "top_k", None)
        out = exclusions([list(range(1, 500)), []])
        index.top_k(queries_like(0, 2), 10, exclude=out)
        index.top_k(queries_like(0, 2), 10, among=Filter.denying(np.arange(300)))

    def test_where_a_scan_is_cheaper_it_answers(self, build: Build) -> None:
        candidates, queries = embeddings(1, 2000), queries_like(0, 12)
        index = build(candidates).reaching(Reach(0, 1.0, 0))
        out = exclusions([list(range(1, 30 * row)) for row in range(12)])
        same(index.top_k(queries, 10, exclude=out), right(queries, candidates, 10, out))

    def test_lists_that_reach_deep_are_searched_wider(self, build: Build) -> None:
        # the whole head is left out: a search of the plain width would come back empty-handed
        candidates, queries = embeddings(1, 4000), queries_like(0, 20)
        ranked, _ = right(queries, candidates, 1500)
        out = exclusions(ranked.tolist())
        index = build(candidates).reaching(Reach(40, 1.0, 1_000_000))
        numbers, scores = index.top_k(queries, 10, exclude=out)
        expected = right(queries, candidates, 10, out)
        assert np.mean(scores >= expected[1][:, -1:]) > 0.98
        assert (numbers > 0).all()

    def test_more_queries_than_are_in_memory_at_once(self, build: Build, monkeypatch) -> None:
        monkeypatch.setattr(graph, "AT_ONCE", 4000)  # widths are 200 and more
        candidates, queries = embeddings(1, 2000), queries_like(0, 30)
        out = exclusions([list(range(1, 20 * row)) for row in range(30)])
        index = build(candidates)
        same(index.top_k(queries, 10, exclude=out), right(queries, candidates, 10, out))

    def test_one_coordinate_in_other_units_does_no_harm(self, tmp_path: Path) -> None:
        # what a plain graph over inner products fails on: log popularity beside unit vectors
        random = np.random.default_rng(3)
        candidates, queries = embeddings(1, 6000, 24), queries_like(0, 40, 24)
        candidates[:, -2:] = random.normal(-3, 2, (6000, 2))
        write_graph(tmp_path, candidates, queries_like(5, 200, 24))
        index = open_graph(tmp_path, candidates).reaching(Reach(120, 1.0, 1_000_000))
        _, scores = index.top_k(queries, 10)
        expected = right(queries, candidates, 10)
        assert np.mean(scores >= expected[1][:, -1:]) > 0.95

    def test_widths(self) -> None:
        reach = Reach(spare=40, growth=1.5, widest=100)
        assert reach.width(10) == 56  # 40 + 15 = 55, to the next multiple of 8
        assert (
            reach.width(1000) == 1792
        )  # 40 + 1500 = 1540 has 11 bits: to the next multiple of 2 ** 8


def test_filters_combine() -> None:
    a, b = Filter.allowing(np.array([5, 1, 5, 0, 9])), Filter.allowing(np.array([9, 5, 7]))
    c = Filter.denying(np.array([5]))
    assert a.item_number.tolist() == [1, 5, 9]
    assert (a & b).allowed(100).tolist() == [5, 9]
    assert (a & c).allowed(100).tolist() == (c & a).allowed(100).tolist() == [1, 9]
    assert (c & Filter.denying(np.array([1]))).allowed(6).tolist() == [2, 3, 4, 6]
    assert a.allowed(8).tolist() == [1, 5]
    assert np.flatnonzero(c.mask(6)).tolist() == [1, 2, 3, 4, 6]
    assert (a.count(8), c.count(4), c.count(6)) == (2, 4, 5)
    assert numbers_of(np.array([-3, 0, 2, 2])).tolist() == [2]


def test_denied_items_join_what_is_left_out() -> None:
    joined = with_denied(exclusions([[7], [], [8, 9]]), np.array([1, 2], np.int32), 3)
    rows = np.split(joined.item_number, joined.offsets[1:-1])
    assert [row.tolist() for row in rows] == [[7, 1, 2], [1, 2], [8, 9, 1, 2]]
    plain = with_denied(None, np.array([4], np.int32), 2)
    assert (plain.offsets.tolist(), plain.item_number.tolist()) == ([0, 1, 2], [4, 4])


def test_merging_lists() -> None:
    dense = np.array([[3, 1, 0]], np.int32), np.array([[9, 5, -np.inf]], np.float32)
    own = np.array([[8, 2]], np.int32), np.array([[5, 7]], np.float32)
    numbers, scores = merge_top_k([dense, own], 4)
    assert numbers.tolist() == [[3, 2, 1, 8]], "1 and 8 tie"
    assert scores.tolist() == [[9, 7, 5, 5]]
    assert merge_top_k([dense, own], 6)[0].tolist() == [[3, 2, 1, 8, 0, 0]]
    assert merge_top_k([dense], 1)[0].tolist() == [[3]]


def test_the_best_of_some() -> None:
    numbers, scores = best(np.array([4, 2, 9], np.int32), np.array([1, 1, 3], np.float32), 2)
    assert (numbers.tolist(), scores.tolist()) == ([9, 2], [3, 1])


@pytest.mark.parametrize("at_most", [1, 2, 5])
@pytest.mark.parametrize("several", [False, True])
def test_at_most_so_many_of_a_value(at_most: int, several: bool) -> None:
    random = np.random.default_rng(0)
    candidates, queries = embeddings(1, 400), queries_like(0, 10)
    codes = random.integers(0, 30, (400, 3) if several else 400).astype(np.int32)
    out, among = exclusions([[1, 2, 3]] * 10), Filter.denying(np.arange(10, 20))
    found = top_k_spread(
        NumpyScan(candidates), queries, 25, codes, at_most, exclude=out, among=among
    )
    ranked, _ = right(queries, candidates, 399, out, among)
    for row in range(10):
        counts, expected = dict.fromkeys(range(1, 30), 0), []
        for item in ranked[row][ranked[row] > 0].tolist():
            own = set(np.atleast_1d(codes[item]).tolist()) - {0}
            if len(expected) < 25 and all(counts[value] < at_most for value in own):
                expected.append(item)
                for value in own:
                    counts[value] += 1
        assert found[0][row][: len(expected)].tolist() == expected
        assert (found[0][row][len(expected) :] == 0).all()
        assert (np.diff(found[1][row][: len(expected)]) <= 0).all()


def test_one_value_everywhere() -> None:
    codes = np.ones(50, np.int32)
    candidates, queries = embeddings(1, 50), queries_like(0, 2)
    numbers, _ = top_k_spread(NumpyScan(candidates), queries, 10, codes, 3)
    assert (numbers > 0).sum(1).tolist() == [3, 3]
    with pytest.raises(EvaluationError, match="at_most = 0"):
        top_k_spread(NumpyScan(candidates), queries, 10, codes, 0)


def test_engines_that_cannot_be_opened(tmp_path: Path, monkeypatch) -> None:
    candidates = embeddings(1, 30)
    write_graph(tmp_path, candidates)
    with pytest.raises(ArtifactError, match="unknown engine"):
        open_engine("voyager", tmp_path, candidates)
    from antiphon.indexes import folder

    monkeypatch.setattr(folder, "has_faiss", lambda: False)
    with pytest.raises(ArtifactError, match="needs faiss"):
        open_engine("faiss-graph", tmp_path, candidates)
    assert isinstance(open_engine("faiss-scan", tmp_path, candidates), NumpyScan)
    monkeypatch.undo()
    write_scan(tmp_path, candidates)
    with pytest.raises(ArtifactError, match="swapped"):
        open_engine("faiss-graph", tmp_path, candidates)

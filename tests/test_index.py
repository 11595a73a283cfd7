"""The index stage, conditions on candidates, and the export, on a small trained run."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import chain
from antiphon import cli, index, pipeline
from antiphon.artifacts import open_stage
from antiphon.config import Config
from antiphon.errors import ArtifactError, ConfigError, RecallError, RequestError
from antiphon.exact_search import ExactSearch
from antiphon.export import export_candidates
from antiphon.indexes import NumpyScan, Where, faiss_files, folder, open_index, reaching
from antiphon.indexes.faiss_scan import FaissScan
from antiphon.indexes.postings import Postings
from antiphon.indexes.recall import Questions, choose_queries, recall_of, refuse_below
from antiphon.recommend import Recommender
from antiphon.retrieval import TrainedModel
from antiphon.windows import held_out_window
from corpora import exclusions, queries_like
from searched_run import config_of, trained_model


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> TrainedModel:
    return trained_model(tmp_path_factory)


@pytest.fixture
def run(model: TrainedModel, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model.stage.path.parent, tmp_path / "small"))


@pytest.fixture
def build(model: TrainedModel, tmp_path: Path) -> Callable[..., dict]:
    """Builds the index at `tmp_path / "index"`."""

    def build(*overrides: str) -> dict:
        config = config_of(model, *(f"index.{override}" for override in overrides))
        told = index.build_index(config, model, tmp_path / "index").to_json()
        written = json.loads((tmp_path / "index" / "index.json").read_text(encoding="utf-8"))
        assert written == json.loads(json.dumps(told))
        return written

    return build


@pytest.fixture
def graphs_make_sense(monkeypatch) -> None:
    """As if the corpus were large: a search as wide as the corpus is worth it."""
    monkeypatch.setattr(faiss_files, "SCAN_COSTS", 1)
    monkeypatch.setattr(reaching, "LEAST_WIDTH", 1)


def test_the_stage_writes_an_index_and_what_it_finds(build, model, tmp_path) -> None:
    told = build()
    assert (told["engine"], told["items"]) == ("faiss-scan", chain.ITEMS)
    assert told["width"] == model.candidates.shape[1]
    figures = {(f["part"], f["without_library"], f["k"]): f for f in told["recall"]}
    parts = ("all", "mood=0", "mood=1", "mood=unknown")
    assert set(figures) == {(p, w, k) for p in parts for w in (False, True) for k in (10, 100)}
    assert {f["index_recall_at_k"] for f in told["recall"]} == {1.0}
    assert (
        sum(figures[p, True, 10]["queries"] for p in parts[1:])
        == figures["all", True, 10]["queries"]
    )
    for times in told["latency_ms"].values():
        assert 0 < times["p50"] <= times["p99"]

    stage = open_stage(
        tmp_path / "index", inputs={"prepared": model.prepared.stage, "model": model.stage}
    )
    assert not list(tmp_path.glob(".index*"))
    opened = open_index(stage.path, model.candidates)
    queries = held_out_window(model.prepared, model.config.evaluate).queries
    embedded = model.embed(queries)
    found, expected = (one.top_k(embedded[:5], 12) for one in (opened, NumpyScan(model.candidates)))
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


def test_it_is_skipped_when_done_and_done_again_for_another_model(run, tmp_path) -> None:
    pipeline.index(run)
    before = (run / "index" / "manifest.json").stat().st_mtime_ns
    assert pipeline.index(run).skipped == ("index",)
    assert (run / "index" / "manifest.json").stat().st_mtime_ns == before
    summary = json.loads((run / "summary.json").read_text())
    assert list(summary["stages"]) == ["prepare", "train", "index"]
    assert summary["index"] == {"engine": "faiss-scan", "least_recall": 1.0}
    pipeline.index(run, ["index.k=[5]"])
    assert Config.load(run / "config.toml").index.k == (5,)

    other = Path(shutil.copytree(run, tmp_path / "other"))
    candidates = np.load(other / "model" / "candidates.npy")
    np.save(other / "model" / "candidates.npy", candidates[::-1])
    with pytest.raises(ArtifactError, match=r"candidates\.npy is damaged or swapped"):
        pipeline.index(other)


def test_only_the_index_can_be_told_otherwise(run) -> None:
    with pytest.raises(ConfigError, match="as it is"):
        pipeline.index(run, ["train.epochs=2"])
    with pytest.raises(ConfigError, match=r"unknown key index\.kin"):
        pipeline.index(run, ["index.kin=exact"])


def test_a_graph(build, model, tmp_path, graphs_make_sense) -> None:
    told = build("kind=approximate", "target=0.95", "k=[5, 20]")
    assert told["engine"] == "faiss-graph"
    assert told["reach"]["widest"] == chain.ITEMS
    assert all(f["index_recall_at_k"] >= 0.95 for f in told["recall"])
    written = json.loads((tmp_path / "index" / "layout.json").read_text())
    assert written["reach"] == told["reach"]
    opened = open_index(tmp_path / "index", model.candidates)
    assert opened.top_k(np.asarray(model.candidates[1:3]), 4)[0].shape == (2, 4)


def test_a_graph_of_few_items_is_refused(build, tmp_path) -> None:
    old = build()
    with pytest.raises(RecallError, match="so few items"):
        build("kind=approximate")
    assert json.loads((tmp_path / "index" / "index.json").read_text()) == old, "the old one stays"
    assert not list(tmp_path.glob(".index*"))


@pytest.mark.parametrize("mode", ["all", "discover", "repeat"])
def test_answers_are_searched_in_the_index_of_the_run(run, monkeypatch, mode) -> None:
    plain = Recommender.load(run)
    assert isinstance(plain.model.search, NumpyScan), "the run has no index yet"
    pipeline.index(run)
    searched = Recommender.load(run)
    assert isinstance(searched.model.search, FaissScan)
    for user in plain.sample_users(5):
        for mood in ("0", "1"):
            asked = {"mood": mood}
            expected = plain.recommend(user, asked, 20, mode=mode)
            assert searched.recommend(user, asked, 20, mode=mode) == expected

    def unreachable(*_: object, **__: object) -> None:
        raise AssertionError("a scan beside the index")

    monkeypatch.setattr(ExactSearch, "top_k", unreachable)
    searched.recommend(plain.sample_users(1)[0], {"mood": "0"}, mode=mode)


def test_an_index_of_another_model_answers_nothing(run) -> None:
    pipeline.index(run)
    manifest = run / "index" / "manifest.json"
    document = json.loads(manifest.read_text(encoding="utf-8"))
    document["inputs"]["model"] = "0" * len(document["inputs"]["model"])
    manifest.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(ArtifactError, match="index"):
        Recommender.load(run)
    scan = run / "index" / "scan.faiss"
    shutil.rmtree(run / "index")
    pipeline.index(run)
    scan.write_bytes(scan.read_bytes()[:-1] + b"x")
    with pytest.raises(ArtifactError, match=r"scan\.faiss"):
        Recommender.load(run)


def test_below_its_target_it_is_refused(build, tmp_path, graphs_make_sense, monkeypatch) -> None:
    # no wider than needed to bring k, in a graph that is as poor as it may be
    monkeypatch.setattr(reaching, "SPARES", (0,))
    monkeypatch.setattr(reaching, "GROWTHS", (1.0,))
    poor = ("target=1", "connections=4", "build_width=8", "k=[3]")
    with pytest.raises(RecallError, match="below its target: nothing was written") as caught:
        build("kind=approximate", *poor)
    assert "index_recall_at_3 = 0." in str(caught.value)
    assert caught.value.exit_code == 3
    assert not (tmp_path / "index").exists()
    assert not list(tmp_path.glob(".index*"))
    told = build("kind=auto", "exact_up_to=10", *poor)
    assert told["engine"] == "faiss-scan"
    assert told["note"].startswith("exact, as a graph found too little: index_recall_at_3")
    assert not (tmp_path / "index" / "graph.faiss").exists()


def test_without_faiss(build, model, tmp_path, monkeypatch) -> None:
    for module in (folder, index):
        monkeypatch.setattr(module, "has_faiss", lambda: False)
    told = build("exact_up_to=1")
    assert told["engine"] == "numpy"
    assert isinstance(open_index(tmp_path / "index", model.candidates), NumpyScan)
    with pytest.raises(ArtifactError, match=r"antiphon\[faiss\]"):
        build("kind=approximate")


def test_queries_are_chosen_from_every_context(model) -> None:
    window = held_out_window(model.prepared, model.config.evaluate)
    rows, parts = choose_queries(window, 20)
    assert set(parts) == {"all", "mood=0", "mood=1", "mood=unknown"}
    moods = np.asarray(window.queries.context["mood"])
    for code, part in enumerate(("mood=unknown", "mood=0", "mood=1")):
        assert parts[part].sum() >= min(50, (moods == code).sum())
    assert (np.diff(rows) > 0).all()
    again, _ = choose_queries(window, 20)
    np.testing.assert_array_equal(again, rows)
    everything, _ = choose_queries(window, 100_000)
    assert len(everything) == len(window.queries)


def test_recall_by_hand() -> None:
    """An index that finds every item but number 2."""
    candidates = np.array([[0], [4], [3], [2], [2], [1]], np.float32)
    queries = np.ones((2, 1), np.float32)
    parts = {"all": np.ones(2, bool), "mood=1": np.array([False, True]), "none": np.zeros(2, bool)}
    library = exclusions([[1], [2, 3, 4]])
    questions = Questions.ask(NumpyScan(candidates), queries, library, parts, 3)

    class Forgetful(NumpyScan):
        def top_k(self, queries, k, *, exclude=None, among=None):
            from antiphon.indexes import Filter

            return super().top_k(queries, k, exclude=exclude, among=Filter.denying(np.array([2])))

    def shares(without: bool) -> dict:
        found = recall_of(Forgetful(candidates), questions, [2, 3], without_library=without)
        return {(f.part, f.k): f.index_recall_at_k for f in found}

    # right: 1 2 | 3 (or 4, which ties); found: 1 3 | 4
    assert shares(False) == {
        ("all", 2): 0.5, ("mood=1", 2): 0.5, ("none", 2): None,
        ("all", 3): 2 / 3, ("mood=1", 3): 2 / 3, ("none", 3): None,
    }  # fmt: skip
    # right: 2 3 | 4 and 1 5; found: 3 4 | 5 and 1 5. Of 2 + 2 found 1 + 2, of 3 + 2 found 2 + 2
    assert shares(True) == {
        ("all", 2): 3 / 4, ("mood=1", 2): 1.0, ("none", 2): None,
        ("all", 3): 4 / 5, ("mood=1", 3): 1.0, ("none", 3): None,
    }  # fmt: skip
    figures = recall_of(Forgetful(candidates), questions, [2], without_library=True)
    refuse_below(figures, 0.75)
    with pytest.raises(RecallError) as caught:
        refuse_below(figures, 0.76)
    assert "index_recall_at_2 = 0.7500 on 2 queries (all, the user's library left out)" in str(
        caught.value
    )


def test_how_much_of_a_library_is_better_by_hand() -> None:
    candidates = np.array([[0], [5], [4], [3], [2], [1]], np.float32)
    # the best that is left: item 3 (both of the library are better), item 2 (only item 1 is)
    library = exclusions([[1, 2], [1, 4, 5, 99], []])
    queries = np.ones((3, 1), np.float32)
    parts = {"all": np.ones(3, bool)}
    questions = Questions.ask(NumpyScan(candidates), queries, library, parts, 1)
    # 2 of 2 and 1 of 3; the third quartile is three quarters of the way from 1/3 to 1
    assert reaching.share_before(candidates, questions, 1) == pytest.approx(5 / 6)


def test_items_by_value() -> None:
    one = Postings.of(np.array([0, 2, 1, 2, 0], np.int32), 3)
    assert [one.items(np.array([c], np.int32)).tolist() for c in (1, 2, 3)] == [[2], [1, 3], []]
    several = Postings.of(np.array([[0, 0], [1, 3], [3, 0]], np.int32), 3)
    assert several.items(np.array([1, 3], np.int32)).tolist() == [1, 2]
    assert several.items(np.zeros(0, np.int32)).tolist() == []


def test_a_feature_that_no_item_has(tmp_path) -> None:
    Postings.of(np.zeros((4, 2), np.int32), 2).write(tmp_path, "empty")
    assert Postings.open(tmp_path, "empty").items(np.array([2], np.int32)).tolist() == []


def test_conditions_on_candidates(build, model, tmp_path) -> None:
    build()
    where = Where(model.prepared, tmp_path / "index")
    assert where.features == ("maker", "year")
    ids = np.array(model.prepared.item_ids().to_pylist())
    place = ids - chain.FIRST_ITEM  # of item numbers 1..

    def picked(*conditions: object, **options: object) -> set[int]:
        found = where.pick(*conditions, **options)
        assert found.among is not None
        return set(found.among.allowed(chain.ITEMS).tolist())

    def numbers(wanted: np.ndarray) -> set[int]:
        return set((np.flatnonzero(wanted) + 1).tolist())

    assert picked({"maker": ["ann"]}) == numbers(place % 4 < 2), "ben and ann is ann's too"
    assert picked({"maker": "ben"}) == numbers(place % 4 == 1)
    assert picked({"maker": ["ben", "dan"]}) == numbers(place % 2 == 1)
    assert picked({"maker": ["ben", "dan"], "year": [1991]}) == numbers(
        (place % 2 == 1) & (place % 3 == 1)
    )
    assert picked({"year": "1990"}) == numbers(place % 3 == 0), "numbers may be given as text"
    some = ids[[3, 5, 80]].tolist()
    assert picked(allow=some) == {4, 6, 81}
    assert picked(allow=[str(id_) for id_ in some], deny=[some[0]]) == {6, 81}
    assert picked(deny=some) == set(range(1, chain.ITEMS + 1)) - {4, 6, 81}
    assert picked({"maker": "cleo"}, deny=ids[place % 3 == 0].tolist()) == numbers(
        (place % 4 == 2) & (place % 3 != 0)
    )
    assert picked(allow=[]) == set()

    found = where.pick({"maker": ["ann", "zoe"]}, deny=["x", some[0]])
    assert found.unknown == ("zoe", "x")
    assert where.pick().among is None
    nothing = where.pick({"maker": "zoe"}).among
    assert nothing is not None
    opened = open_index(tmp_path / "index", model.candidates)
    query = queries_like(0, 1, model.candidates.shape[1])
    assert opened.top_k(query, 3, among=nothing)[0].tolist() == [[0, 0, 0]]
    found = opened.top_k(query, 50, among=where.pick({"maker": "ben"}).among)[0][0]
    assert set(found.tolist()) - {0} == numbers(place % 4 == 1)

    with pytest.raises(RequestError, match="did you mean 'maker'"):
        where.pick({"makr": "ann"})
    with pytest.raises(RequestError, match="isn't categorical"):
        where.pick({"length": 3})


def test_export(model, tmp_path) -> None:
    out = export_candidates(model.prepared, model.stage, tmp_path / "out")
    table = pq.read_table(out / "candidates.parquet")
    assert table.column_names == ["item_id", "item_number", "embedding"]
    assert table["item_id"].to_pylist() == model.prepared.item_ids().to_pylist()
    assert table["item_number"].to_pylist() == list(range(1, chain.ITEMS + 1))
    rows = np.array(table["embedding"].to_pylist(), np.float32)
    np.testing.assert_array_equal(rows, model.candidates[1:])
    told = json.loads((out / "export.json").read_text())
    assert (told["items"], told["width"]) == rows.shape
    export_candidates(model.prepared, model.stage, out)  # an older one is replaced
    with pytest.raises(ArtifactError, match="holds no export"):
        export_candidates(model.prepared, model.stage, model.stage.path)


def test_the_commands(run, tmp_path, capsys, monkeypatch) -> None:
    # the run alone is enough: the log isn't looked at
    config = run / "config.toml"
    config.write_text(config.read_text().replace("log.parquet", "gone.parquet"))

    def antiphon(*arguments: object) -> str:
        monkeypatch.setattr("sys.argv", ["antiphon", *map(str, arguments)])
        capsys.readouterr()
        with contextlib.suppress(SystemExit):
            cli.main()
        return capsys.readouterr().out

    said = antiphon("index", run)
    for words in ("120 candidates", "exact, by faiss", "mood=1", "recall@100", "1.0000"):
        assert words in said
    assert json.loads(antiphon("index", run, "--json")) == json.loads(
        (run / "index" / "index.json").read_text()
    )
    assert "candidates.parquet" in antiphon("export", run, "--out", tmp_path / "out")
    told = json.loads(antiphon("export", run, "--out", tmp_path / "out", "--json"))
    assert set(told["files"]) == {"candidates.parquet", "export.json", "manifest.json"}

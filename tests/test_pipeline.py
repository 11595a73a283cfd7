"""The chain on a small log: what it writes, what it skips, what it does again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import chain
from antiphon import pipeline
from antiphon.artifacts import open_stage
from antiphon.config import Config
from antiphon.errors import ConfigError, EvaluationError, LogError
from antiphon.recommend import Recommender

STAGES = ("prepare", "train", "evaluate", "index")
"""Of a run whose config doesn't ask for early stopping."""


@pytest.fixture(scope="module", autouse=True)
def _few_baselines():
    with chain.few_baselines():
        yield


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    return chain.write(tmp_path_factory.mktemp("log"))


@pytest.fixture(scope="module")
def told() -> list[tuple[str, int, int, str]]:
    return []


@pytest.fixture(scope="module")
def first(config, told, tmp_path_factory) -> pipeline.Run:
    runs = tmp_path_factory.mktemp("runs")
    return pipeline.run(Config.load(config), runs, lambda *what: told.append(what))


def _summary(run: pipeline.Run) -> dict:
    return json.loads((run.path / "summary.json").read_text())


def test_the_summary_has_stages_loss_and_metrics(first) -> None:
    summary = _summary(first)
    assert summary == first.summary
    assert summary["name"] == "small"
    assert tuple(summary["stages"]) == STAGES
    for stage in summary["stages"].values():
        assert set(stage) == {"seconds", "peak_memory_bytes"}
        assert stage["seconds"] > 0
        assert 2**20 < stage["peak_memory_bytes"] < 2**40
    assert set(summary["loss"]) == {"first", "last", "chance"}
    assert summary["loss"]["last"] < summary["loss"]["chance"]
    assert {"antiphon", "most_popular"} <= set(summary["metrics"])
    for model in ("antiphon", "most_popular"):
        metrics = summary["metrics"][model]
        assert {"all", "mood=0", "mood=1", "mood=unknown"} <= set(metrics)
        for part in ("all", "mood=0", "mood=1"):
            assert set(metrics[part]) == {"recall_at_100", "ndcg_at_10"}
            assert all(0 <= value <= 1 for value in metrics[part].values())
    assert 0 <= summary["input_wait_share"] <= 1
    log = summary["log"]
    assert (log["users"], log["items"]) == (chain.USERS, chain.ITEMS)
    assert 0.7 * chain.ROWS < log["positives"] < 0.9 * chain.ROWS  # nine of ten, of nine days
    assert first.skipped == ()


def test_it_learns_what_was_planted(first) -> None:
    metrics = first.summary["metrics"]
    ours, theirs = (metrics[m]["all"]["ndcg_at_10"] for m in ("antiphon", "most_popular"))
    assert ours > 1.5 * theirs


def test_people_are_told_how_far_each_stage_is(first, told) -> None:
    assert list(dict.fromkeys(stage for stage, *_ in told)) == list(STAGES)
    for name in STAGES:
        _, done, total, words = [what for what in told if what[0] == name][-1]
        assert done == total
        assert words.startswith("done in ")
    assert any("loss" in words and "chance" in words for *_, words in told)


def test_the_run_folder_holds_the_resolved_config_and_complete_stages(first) -> None:
    assert Config.load(first.path / "config.toml") == first.config
    for name in ("prepared", "model", "evaluation", "index"):
        open_stage(first.path / name)
    assert not [path.name for path in first.path.iterdir() if path.name.startswith(".")]
    assert not [path for path in first.path.rglob("*") if path.suffix in (".pkl", ".pickle")]


def test_a_second_run_skips_everything(first, config) -> None:
    before = {path: path.stat().st_mtime_ns for path in first.path.rglob("*.npy")}
    again = pipeline.run(Config.load(config), first.path.parent)
    assert again.skipped == STAGES
    assert again.summary == first.summary
    assert before == {path: path.stat().st_mtime_ns for path in first.path.rglob("*.npy")}


def test_memory_and_threads_change_nothing_that_is_done(first, config) -> None:
    other = Config.load(config, ["prepare.threads=1", "prepare.memory_limit=600MiB"])
    assert pipeline.run(other, first.path.parent).skipped == STAGES


def test_another_evaluation_redoes_that_only(first, config) -> None:
    again = pipeline.run(Config.load(config, ["evaluate.resamples=10"]), first.path.parent)
    assert again.skipped == ("prepare", "train", "index")
    assert list(again.summary["stages"]) == list(STAGES)
    for name in again.skipped:
        assert again.summary["stages"][name] == first.summary["stages"][name]


def test_another_training_redoes_training_and_evaluation(first, config) -> None:
    runs = first.path.parent
    other = Config.load(config, ["train.epochs=0.5"])
    trained = pipeline.run(other, runs, until="train")
    assert trained.skipped == ("prepare",)
    # the old evaluation is of another model: no figure of it stands beside the new loss
    assert trained.summary["metrics"] == {}
    assert trained.summary["index"] is None
    assert list(_summary(trained)["stages"]) == ["prepare", "train"]
    again = pipeline.run(other, runs)
    assert again.skipped == ("prepare", "train")
    assert list(again.summary["stages"]) == list(STAGES)
    assert again.summary["metrics"]["antiphon"] != first.summary["metrics"]["antiphon"]
    assert again.summary["metrics"]["most_popular"] == first.summary["metrics"]["most_popular"]


def test_all_of_a_log_is_trained_on_and_answered_from(config, tmp_path) -> None:
    judged = pipeline.run(Config.load(config, ["train.epochs=1"]), tmp_path)
    assert (judged.path / "evaluation").exists()
    everything = Config.load(config, ["train.epochs=1", "split.test_days=0"])
    told: list[tuple[str, int, int, str]] = []
    done = pipeline.run(everything, tmp_path, lambda *what: told.append(what))
    assert ("evaluate", 1, 1, "nothing is held out to judge by") in told
    assert list(done.summary["stages"]) == ["prepare", "train", "index"]
    assert done.summary["metrics"] == {}
    assert done.summary["index"]["least_recall"] == 1.0, "measured on the newest queries"
    assert not (done.path / "evaluation").exists(), "it was of another model"
    assert len(Recommender.load(done.path).recommend(chain.FIRST_USER, k=5).items) == 5
    with pytest.raises(EvaluationError, match="nothing is held out"):
        pipeline.run(everything, tmp_path, until="evaluate")


def test_a_chain_that_broke_off_knows_what_was_done(config, tmp_path, monkeypatch) -> None:
    def breaks(*_: object, **__: object) -> None:
        raise LogError("the lights went out")

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "train", breaks)
        with pytest.raises(LogError, match="lights"):
            pipeline.run(Config.load(config), tmp_path)
    summary = json.loads((tmp_path / "small" / "summary.json").read_text())
    assert list(summary["stages"]) == ["prepare"]
    again = pipeline.run(Config.load(config), tmp_path, until="train")
    assert again.skipped == ("prepare",)
    assert list(again.summary["stages"]) == ["prepare", "train"]
    assert again.summary["stages"]["prepare"] == summary["stages"]["prepare"]


def test_another_log_redoes_everything(tmp_path) -> None:
    config = chain.write(tmp_path / "log")
    pipeline.run(Config.load(config), tmp_path, until="prepare")
    with (tmp_path / "log" / "log.parquet").open("rb+") as file:
        content = file.read()
    import pyarrow.parquet as pq

    table = pq.read_table(tmp_path / "log" / "log.parquet")
    pq.write_table(table.slice(0, len(table) - 500), tmp_path / "log" / "log.parquet")
    assert content != (tmp_path / "log" / "log.parquet").read_bytes()
    again = pipeline.run(Config.load(config), tmp_path, until="prepare")
    assert again.skipped == ()


def test_a_log_of_one_user_goes_all_the_way(tmp_path) -> None:
    config = chain.write(tmp_path)
    log = pq.read_table(tmp_path / "log.parquet")
    one = pa.array(np.full(len(log), 7))
    pq.write_table(log.set_column(0, "who", one), tmp_path / "log.parquet")
    run = pipeline.run(Config.load(config), tmp_path / "runs")
    assert run.summary["log"]["users"] == 1
    # what two hundred people played, told as one, has nothing to learn: the loss stays near chance
    assert abs(run.summary["loss"]["last"] - run.summary["loss"]["chance"]) < 0.5
    # in a library that is the whole corpus nothing is left to discover, so nothing to find it by
    assert run.summary["index"]["least_recall"] in (1.0, None)
    assert len(Recommender.load(run.path).recommend(7, {"mood": "1"}, k=5).items) == 5


def test_a_damaged_stage_is_made_anew(config, tmp_path) -> None:
    done = pipeline.run(Config.load(config), tmp_path, until="prepare")
    file = done.path / "prepared" / "events" / "item_number.npy"
    file.write_bytes(file.read_bytes()[:-4])
    again = pipeline.run(Config.load(config), tmp_path, until="prepare")
    assert again.skipped == ()
    open_stage(again.path / "prepared")


def test_a_csv_log_gives_what_its_parquet_gives(config, tmp_path) -> None:
    csv = chain.write(tmp_path / "log", csv=True)
    one = pipeline.run(Config.load(config), tmp_path / "a", until="prepare")
    other = pipeline.run(Config.load(csv), tmp_path / "b", until="prepare")
    assert one.summary["log"] == other.summary["log"]
    assert one.summary["log"]["rows"] == chain.ROWS
    for name in ("item_number", "timestamp_s", "context/mood"):
        files = [run.path / "prepared" / "events" / f"{name}.npy" for run in (one, other)]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_a_failed_run_leaves_complete_stages_as_they_were(config, tmp_path) -> None:
    pipeline.run(Config.load(config), tmp_path, until="prepare")
    with pytest.raises(ConfigError):  # 64 examples can't be shared by 3 of each query
        pipeline.run(Config.load(config, ["train.targets_per_query=3"]), tmp_path)
    open_stage(tmp_path / "small" / "prepared")
    assert not (tmp_path / "small" / "model").exists()

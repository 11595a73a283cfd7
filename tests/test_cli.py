"""The command line: what goes to stdout and stderr, exit codes, and every command once."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

import chain
from antiphon import cli, cli_recommend, show
from antiphon.config import Config
from antiphon.errors import ConfigError, RequestError
from antiphon.pipeline import Run

COMMANDS = (
    "demo", "run", "prepare", "train", "evaluate", "split", "compare", "index", "export",
    "recommend", "synth",
    "config", "download yambda",
)  # fmt: skip


class Said(NamedTuple):
    out: str
    err: str
    code: int


@pytest.fixture
def antiphon(capsys, monkeypatch) -> Callable[..., Said]:
    """The program, in this process."""

    def call(*arguments: object) -> Said:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["antiphon", *map(str, arguments)])
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        said = capsys.readouterr()
        return Said(said.out, said.err, code)

    return call


@pytest.fixture(scope="module", autouse=True)
def _few_baselines():
    with chain.few_baselines():
        yield


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    return chain.write(tmp_path_factory.mktemp("log"))


@pytest.fixture(scope="module")
def run(config, tmp_path_factory) -> Path:
    from antiphon import pipeline

    return pipeline.run(Config.load(config), tmp_path_factory.mktemp("runs")).path


def _refused(said: Said, code: int) -> str:
    assert said.code == code, said
    assert said.out == ""
    assert "Traceback" not in said.err
    assert re.search("^error: ", said.err, re.MULTILINE)
    return said.err


def test_run_prints_a_summary(antiphon, run, config) -> None:
    said = antiphon("run", config, "--runs", run.parent)
    assert said.code == 0
    for words in ("prepare", "train", "evaluate", "chance is", "most popular", "mood=1", "done be"):
        assert words in said.out
    assert "report.html" in re.sub(r"\s", "", said.out)
    assert "already done" in said.err
    assert "history=1000+" not in said.out.partition("all of it is in")[0]


def test_a_summary_tells_what_has_no_value(tmp_path) -> None:
    log = {
        "rows": 12_345,
        "positives": 1_000,
        "users": 10,
        "items": 40,
        "context": {"hour": {"missing_share": 0.25}, "tab": {"missing_share": 0.0}},
        "item_features": {"artist": {"missing_share": 0.5}, "tag": {"missing_share": 0.0}},
    }
    summary = {"log": log, "stages": {}, "loss": None, "metrics": {}}
    written = io.StringIO()
    done = Run(Config.load(chain.write(tmp_path)), tmp_path, summary, ())
    Console(width=120, file=written).print(show.summary_table(done))
    assert "12,345 rows · 1,000 positives · 10 users · 40 items" in written.getvalue()
    assert "unknown: hour of 25.0% of the events · artist of 50.0% of the items\n" in (
        written.getvalue()
    )


def test_run_json_is_the_summary_and_nothing_else(antiphon, run, config) -> None:
    said = antiphon("run", config, "--runs", run.parent, "--json")
    assert json.loads(said.out) == json.loads((run / "summary.json").read_text())


def test_evaluate_json_is_the_evaluation(antiphon, run) -> None:
    said = antiphon("evaluate", run, "--json")
    assert json.loads(said.out) == json.loads((run / "evaluation" / "evaluation.json").read_text())
    assert "Antiphon" in antiphon("evaluate", run).out


def test_recommend_prints_lists_side_by_side(antiphon, run) -> None:
    contexts = ["--context", "mood=0", "--context", "mood=1", "-k", 30]
    said = antiphon("recommend", run, "--user", chain.FIRST_USER, *contexts)
    assert said.code == 0
    assert "for user 1001" in said.out
    assert "mood=0 (calm)" in said.out
    assert "mood=1 (lively)" in said.out
    rows = re.findall(r"^ +(\d+) (.*)$", said.out, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 31))
    listed = [re.findall(r"(● )?(\d+)  Song \[(\d+)\]  -?\d+\.\d\d", row) for _, row in rows]
    assert all(len(pair) == 2 for pair in listed), said.out
    assert all(id_ == title for pair in listed for _, id_, title in pair)
    ids = [{pair[side][1] for pair in listed} for side in (0, 1)]
    shared = ids[0] & ids[1]
    marked = {id_ for pair in listed for mark, id_, _ in pair if mark}
    assert marked == shared
    assert f"in more than one list: {len(shared)} items" in said.out


def test_recommend_json_says_the_same(antiphon, run) -> None:
    contexts = ["--context", "mood=0", "--context", "mood=1", "-k", 5]
    said = antiphon("recommend", run, "--user", chain.FIRST_USER, *contexts, "--json")
    document = json.loads(said.out)
    assert document["user"] == str(chain.FIRST_USER)
    assert document["known_user"] is True
    assert [one["context"] for one in document["lists"]] == [{"mood": "0"}, {"mood": "1"}]
    ids = [[item["id"] for item in one["items"]] for one in document["lists"]]
    assert all(len(one) == 5 for one in ids)
    for one in document["lists"]:
        for item in one["items"]:
            assert item["title"] == f"Song [{item['id']}]"
            assert item["shared"] == all(item["id"] in some for some in ids)


def test_recommend_tells_what_it_did_not_know(antiphon, run) -> None:
    said = antiphon("recommend", run, "--user", "nobody", "--history", 510, "--history", "x[7]")
    assert said.code == 0
    assert "this user isn't in the log" in said.out
    assert "not in the corpus, and ignored: x[7]" in said.out
    assert "context unknown" in said.out
    assert "for somebody new" in antiphon("recommend", run).out


def test_recommend_tells_why_and_marks_what_was_had_before(antiphon, run) -> None:
    arguments = ["--user", chain.FIRST_USER, "--context", "mood=1", "-k", 30, "--why"]
    said = antiphon("recommend", run, *arguments)
    assert said.code == 0
    assert "↻ had before" in said.out
    assert re.search(r"context [+-]\d\.\d\d, repeat [+-]\d", said.out)
    (listed,) = json.loads(antiphon("recommend", run, *arguments, "--json").out)["lists"]
    for item in listed["items"]:
        assert set(item["why"]) == {"past", "repeat", "context"}
        assert (item["why"]["repeat"] != 0) == item["had_before"]


def test_recommend_keeps_to_conditions(antiphon, run, tmp_path) -> None:
    allowed = [chain.FIRST_ITEM + n for n in range(4)]
    options = [part for id_ in allowed for part in ("--allow", id_)]
    said = antiphon("recommend", run, *options, "--deny", allowed[0], "--json")
    (listed,) = json.loads(said.out)["lists"]
    assert sorted(item["id"] for item in listed["items"]) == allowed[1:]
    refused = _refused(antiphon("recommend", run, "--where", "maker=ann"), 2)
    assert "the log has no categorical item feature" in refused
    assert "FEATURE=N, as in artist=1" in _refused(antiphon("recommend", run, "--at-most", "x"), 2)
    assert "a whole number" in _refused(antiphon("recommend", run, "--at-most", "x=y"), 2)
    missing = antiphon("recommend", run, "--store", tmp_path / "none.sqlite")
    assert "no such store" in _refused(missing, 2)


@pytest.mark.parametrize("value", ["true", "1.0", "True", "01"])
def test_a_value_spelt_another_way_has_its_label(antiphon, run, value) -> None:
    said = antiphon("recommend", run, "--context", f"mood={value}", "-k", 1)
    assert said.code == 0
    assert f"mood={value} (lively)" in said.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-k", 0], "allowed:  a whole number from 1 to"),
        (["-k", 1_000_000], "received: 1000000"),
        (["-k", -1], "received: -1"),
        (["--context", "mood=9"], "allowed:  0 (calm), 1 (lively)"),
        (["--context", "moood=1"], "did you mean 'mood'?"),
        (["--context", "mood"], "allowed:  NAME=VALUE"),
    ],
)
def test_a_request_that_cannot_be_answered(antiphon, run, arguments, words) -> None:
    assert words in _refused(antiphon("recommend", run, *arguments), 2)


def test_config_prints_what_was_resolved(antiphon, config, tmp_path) -> None:
    said = antiphon("config", config, "--set", "train.epochs=2")
    printed = tmp_path / "printed.toml"
    printed.write_text(said.out)
    assert Config.load(printed) == Config.load(config, ["train.epochs=2"])
    document = json.loads(antiphon("config", config, "--json").out)
    assert document == Config.load(config).model_dump(mode="json")


@pytest.mark.parametrize(
    ("override", "words"),
    [("train.epoch=2", "did you mean 'epochs'?"), ("train", "allowed:  section.key=value")],
)
def test_an_override_that_is_wrong(antiphon, config, override, words) -> None:
    assert words in _refused(antiphon("run", config, "--set", override), 2)


def test_what_is_missing_is_named(antiphon, config, tmp_path) -> None:
    assert "no such config file" in _refused(antiphon("run", tmp_path / "no.toml"), 2)
    nothing = f"log.events={tmp_path / 'no.parquet'}"
    said = antiphon("run", config, "--runs", tmp_path, "--set", nothing)
    assert "no.parquet" in _refused(said, 2)
    for command in ("recommend", "evaluate"):
        assert str(tmp_path / "none") in _refused(antiphon(command, tmp_path / "none"), 2)


def test_a_run_without_a_model(antiphon, config, tmp_path) -> None:
    assert antiphon("prepare", config, "--runs", tmp_path).code == 0
    err = _refused(antiphon("recommend", tmp_path / "small"), 1)
    assert "no complete 'model' stage" in err
    assert "antiphon run CONFIG" in err
    assert "no evaluation to read" in _refused(
        antiphon("compare", tmp_path / "small", tmp_path / "small"), 1
    )


def test_a_damaged_model_is_refused_by_name(antiphon, config, tmp_path) -> None:
    assert antiphon("train", config, "--runs", tmp_path, "--set", "train.epochs=0.1").code == 0
    file = tmp_path / "small" / "model" / "candidates.npy"
    file.write_bytes(file.read_bytes()[:-1])
    err = _refused(antiphon("recommend", tmp_path / "small"), 1)
    assert "candidates.npy is truncated" in err


def test_usage_errors(antiphon) -> None:
    assert antiphon("run").code == 2
    assert antiphon("rum").code == 2
    assert antiphon("recommend", "x", "-k", "many").code == 2


def test_a_gate_that_fails_exits_with_3(antiphon, run, config) -> None:
    gate = ["--set", "gates.beats_baselines=true", "--set", "gates.learned=true"]
    arguments = ["--runs", run.parent, *gate, "--set", "train.epochs=0.05", "--set", "name=bad"]
    said = antiphon("run", config, *arguments)
    assert said.code == 3
    assert "gates failed" in said.err
    assert "Traceback" not in said.err
    assert "chance is" in said.out, "a failed run is shown all the same"
    assert antiphon("evaluate", run.parent / "bad").code == 3
    trained = antiphon("train", config, *arguments)
    assert trained.code == 0, "training isn't what the gates are about"
    assert "gates" not in trained.err
    assert json.loads(antiphon("evaluate", run.parent / "bad", "--json").out)["gates"]


def test_split_then_predictions_then_compare(antiphon, run, tmp_path) -> None:
    out = tmp_path / "split"
    said = antiphon("split", run, "--out", out, "--json")
    files = json.loads(said.out)["files"]
    assert set(files) == {path.name for path in out.iterdir()}
    assert "queries.parquet" in antiphon("split", run, "--out", out).out

    asked = pq.read_table(out / "queries.parquet").to_pylist()
    rows = [
        {"query_id": query["query_id"], "item_id": item, "rank": rank}
        for query in asked
        if query["window"] == "test"
        for rank, item in enumerate(dict.fromkeys(query["target_item_ids"]), 1)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "mine.parquet")
    said = antiphon("evaluate", run, "--predictions", tmp_path / "mine.parquet", "--json")
    document = json.loads(said.out)
    judged = document["models"]["predictions"]["all"]
    assert judged["mrr_at_10"]["value"] == 1, "the targets themselves are the best of lists"
    assert set(document["baselines"]) == set(chain.BASELINES)
    for metric in ("recall_at_10", "recall_at_100", "ndcg_at_10", "hit_rate_at_10"):
        assert judged[metric]["value"] == 1, metric
    assert document["predictions"]["short"] == document["predictions"]["lists"]
    out = antiphon("evaluate", run, "--predictions", tmp_path / "mine.parquet").out
    assert "lists have fewer than 100 items" in out

    pq.write_table(pa.table({"item_id": [501]}), tmp_path / "wrong.parquet")
    err = _refused(antiphon("evaluate", run, "--predictions", tmp_path / "wrong.parquet"), 1)
    assert "query_id" in err

    _refused(antiphon("split", run, "--out", run), 1)
    assert run.name in antiphon("compare", run, run).out
    assert json.loads(antiphon("compare", run, run, "--json").out)


def test_synth_writes_a_log(antiphon, tmp_path) -> None:
    size = ["--users", 100, "--events", "20_000", "--tracks", 500]
    said = antiphon("synth", *size, "--out", tmp_path / "log", "--json")
    assert said.code == 0
    assert json.loads(said.out)
    assert any((tmp_path / "log").rglob("*.parquet"))
    err = _refused(antiphon("synth", "--events", "many", "--out", tmp_path / "b"), 2)
    assert "whole number" in err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(antiphon, command) -> None:
    said = antiphon(*command.split(), "--help")
    assert said.code == 0
    assert f"Example: antiphon {command}" in said.out


def test_an_interruption_says_how_to_go_on(antiphon, config, tmp_path, monkeypatch) -> None:
    from antiphon import pipeline

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "run", interrupted)
    said = antiphon("run", config, "--runs", tmp_path)
    assert said.code == 130
    assert "Traceback" not in said.err


def test_the_program_itself_prints_json_on_stdout_only(run) -> None:
    """As a process: nothing that a library says may stand before the JSON."""
    command = [Path(sys.executable).parent / "antiphon", "recommend", run, "--json", "-k", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["lists"][0]["items"]) == 2
    assert done.stderr == ""


def test_contexts_are_read() -> None:
    assert cli_recommend.parse_context("") == {}
    assert cli_recommend.parse_context("a=1, b = x=y ") == {"a": "1", "b": "x=y"}
    with pytest.raises(ConfigError, match="can't be read"):
        cli_recommend.parse_context("a=1,b")


def test_errors_are_printed_as_they_are() -> None:
    written = io.StringIO()
    problem = RequestError("no [bold]x[/] here, " * 5 + "really", received="[red]")
    show.error(problem, Console(width=40, file=written))
    assert written.getvalue() == f"error: {problem}\n"

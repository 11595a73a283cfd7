"""The chain killed at any moment, and the chain on real logs."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import chain
from antiphon import pipeline
from antiphon.artifacts import open_stage
from antiphon.config import Config
from antiphon.prepared import Prepared
from antiphon.recommend import Recommender

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("prepared", "model", "evaluation")

# says when a stage begins, so that kills fall into stages and not into the imports before
PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import chain
from antiphon import pipeline
from antiphon.config import Config

def tell(stage, done, total, words):
    print(stage, words, flush=True)

with chain.few_baselines():
    pipeline.run(Config.load(Path(sys.argv[2])), Path(sys.argv[3]), tell)
"""


def _start(config: Path, runs: Path) -> subprocess.Popen[str]:
    arguments = [str(ROOT / "tests"), str(config), str(runs)]
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments], stdout=subprocess.PIPE, text=True
    )


def _kill_in(process: subprocess.Popen[str], stage: str, after_s: float) -> bool:
    """Kill it that long after a stage has begun; whether it was still running."""
    assert process.stdout
    for line in process.stdout:
        if line.startswith(stage):
            break
    time.sleep(after_s)
    running = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.stdout.close()
    process.wait()
    return running


def test_a_chain_killed_at_any_moment_leaves_whole_stages_or_none(tmp_path: Path) -> None:
    config = chain.write(tmp_path / "log")
    rng = random.Random(0)
    killed = 0
    for stage, longest_s in (("prepare", 0.3), ("train", 0.5), ("train", 4.0), ("evaluate", 3.0)):
        killed += _kill_in(_start(config, tmp_path), stage, rng.uniform(0, longest_s))
        for name in STAGES:
            folder = tmp_path / "small" / name
            if folder.exists():
                open_stage(folder)
    assert killed >= 2, "the kills came too late to mean anything"

    with chain.few_baselines():
        done = pipeline.run(Config.load(config), tmp_path)
    prepared = open_stage(done.path / "prepared")
    model = open_stage(done.path / "model", inputs={"prepared": prepared})
    open_stage(done.path / "evaluation", inputs={"prepared": prepared, "model": model})
    assert json.loads((done.path / "summary.json").read_text()) == done.summary
    assert done.summary["metrics"]["antiphon"]["all"]["ndcg_at_10"] > 0
    hidden = [path.name for path in done.path.iterdir() if path.name.startswith(".")]
    assert not [name for name in hidden if ".new-" in name or ".old-" in name]


def _real(name: str, *overrides: str) -> Config:
    return Config.load(ROOT / "configs" / f"{name}.toml", overrides)


def test_kuairand_is_prepared(data, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("ANTIPHON_DATA", str(data))
    done = pipeline.run(_real("kuairand"), tmp_path, until="prepare")
    prepared = Prepared.open(done.path / "prepared")
    log = done.summary["log"]
    assert log["positives"] == prepared.events.count > 10_000
    assert prepared.schema.context_names() == ("tab", "hour")
    # older rows have made-up times: their hour is unknown
    assert 0 < log["context"]["hour"]["missing_share"] < 1
    assert prepared.held_out.count > 1_000


def test_movielens_is_trained_and_recommends_films_by_title(data, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("ANTIPHON_DATA", str(data))
    config = _real("movielens", "train.epochs=1", "model.width=16", "model.history_length=10")
    done = pipeline.run(config, tmp_path, until="train")
    assert done.summary["loss"]["last"] < done.summary["loss"]["first"]
    recommender = Recommender.load(done.path)
    toy_story = recommender.recommend(None, history=[1], k=20)
    assert toy_story.unknown_history == ()
    assert len({item.id for item in toy_story.items}) == 20
    assert 1 not in {item.id for item in toy_story.items}, "nobody rates a film twice"
    films = (data / "movielens-small" / "movies.csv").read_text(encoding="utf-8")
    for item in toy_story.items:
        assert f"\n{item.id}," in films
        assert item.title
        assert item.title in films.replace('""', '"')

"""The chain killed at any moment, and the chain on real logs."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import chain
from antiphon import pipeline
from antiphon.artifacts import open_stage
from antiphon.config import Config
from antiphon.prepared import Prepared
from antiphon.recommend import Recommender

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("prepared", "model", "evaluation", "index")

# Imports once, then for each line that it reads runs the chain in a process of its own. That tells
# of its stages, so that kills fall into them and not into what comes before.
PROGRAM = """
import os
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import pytest

import chain
from antiphon import pipeline
from antiphon.config import Config

def tell(stage, done, total, words):
    print(stage, words, flush=True)

child = None
for line in sys.stdin:
    if child:
        os.waitpid(child, 0)
    child = os.fork()
    if not child:
        overrides = ["train.epochs=3", "train.checkpoint_seconds=0.03"]
        with chain.few_baselines():
            pipeline.run(Config.load(Path(sys.argv[2]), overrides), Path(line.strip()), tell)
        os._exit(0)
    print("started", child, flush=True)
    # it is waited for later: until then its number stays its own
    ended = os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    print("ended", "killed" if ended.si_code == os.CLD_KILLED else "by itself", flush=True)
"""


class Chains:
    """Runs of the chain, one at a time, each in a process that can be killed."""

    def __init__(self, config: Path, compiled: Path) -> None:
        keep = {
            "JAX_COMPILATION_CACHE_DIR": str(compiled),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(ROOT / "tests"), str(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **keep},
        )

    def run(self, runs: Path, kill_when: Callable[[str], bool] = lambda _: False) -> bool:
        """Run the chain; kill it as soon as `kill_when` says so of a line it tells.

        Returns:
            Whether it was killed.
        """
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{runs}\n")
        self._process.stdin.flush()
        child = int(self._process.stdout.readline().split()[1])
        asked = False
        for line in self._process.stdout:
            if line.startswith("ended"):
                return line == "ended killed\n"
            if not asked and kill_when(line):
                os.kill(child, signal.SIGKILL)
                asked = True
        raise AssertionError("the process that starts chains has ended")

    def close(self) -> None:
        self._process.communicate()


def _after(start: str, seconds: float) -> Callable[[str], bool]:
    """That long after a line."""

    def kill(line: str) -> bool:
        if line.startswith(start) and "already done" not in line:
            time.sleep(seconds)
            return True
        return False

    return kill


def _while_there(start: str, run: Path, pattern: str, seconds: float) -> Callable[[str], bool]:
    """That long after a file is there, once a line has come."""

    def kill(line: str) -> bool:
        if not line.startswith(start) or "already done" in line:
            return False
        end = time.monotonic() + 5
        while not list(run.glob(pattern)) and time.monotonic() < end:
            pass
        time.sleep(seconds)
        return True

    return kill


def _bytes_of(model: Path) -> dict[str, bytes]:
    files = [*model.glob("*.np[yz]"), *model.glob("tables/*.npy")]
    return {path.relative_to(model).as_posix(): path.read_bytes() for path in files}


TRIES = 3


@pytest.mark.slow
def test_killed_at_twenty_moments_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    config = chain.write(tmp_path / "log")
    once, run = tmp_path / "undisturbed" / "small", tmp_path / "small"
    chance = random.Random(0)
    writing = "checkpoints/.step-*.new-*/tables/*"
    plan = [
        *(("prepared", _after("prepare", chance.uniform(0, 0.25))) for _ in range(3)),
        *(("model", _after("train loss", chance.uniform(0, 0.3))) for _ in range(6)),
        *(
            ("model", _while_there("train loss", run, writing, chance.uniform(0, 0.01)))
            for _ in range(4)
        ),
        # what is written when training ends
        *(
            ("model", _while_there("train loss", run, ".model.new-*/tables/*", seconds))
            for seconds in (0.0, 0.02)
        ),
        *(("evaluation", _after("evaluate", chance.uniform(0, 0.8))) for _ in range(3)),
        *(("index", _after("index", chance.uniform(0, 0.2))) for _ in range(2)),
    ]
    assert len(plan) == 20
    chains = Chains(config, tmp_path / "compiled")
    resumed = 0
    try:
        assert not chains.run(once.parent)
        for stage, kill_when in plan:
            # a moment may be over before it is seen: then once more, with the stage to be redone
            for _ in range(TRIES):
                shutil.rmtree(run / stage, ignore_errors=True)
                resumed += len(list(run.glob("checkpoints/step-*"))) > 0
                if chains.run(tmp_path, kill_when):
                    break
            else:
                pytest.fail(f"{TRIES} kills in {stage} came too late")
            for name in STAGES:
                if (run / name).exists():
                    open_stage(run / name)
        assert not chains.run(tmp_path)
    finally:
        chains.close()
    assert resumed >= 2, "kills left no checkpoint to go on from"

    undisturbed = _bytes_of(once / "model")
    assert {"tables/item.npy", "tables/item.accumulator.npy", "dense.npz"} < set(undisturbed)
    assert _bytes_of(run / "model") == undisturbed
    prepared = open_stage(run / "prepared")
    assert prepared.hash == open_stage(once / "prepared").hash
    model = open_stage(run / "model", inputs={"prepared": prepared})
    open_stage(run / "evaluation", inputs={"prepared": prepared, "model": model})
    figures = [json.loads((r / "evaluation/evaluation.json").read_text()) for r in (run, once)]
    assert figures[0]["models"] == figures[1]["models"]
    left = sorted(path.name for path in run.iterdir())
    assert [name for name in left if not name.startswith(".summary")] == [
        "baselines", "config.toml", "evaluation", "index", "model", "prepared", "summary.json",
    ]  # fmt: skip


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

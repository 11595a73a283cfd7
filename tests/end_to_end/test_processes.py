"""Two real processes with real sockets train the model of one, or say that they can't."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import chain
from antiphon import pipeline
from antiphon.config import Config
from same_arrays import CLOSE, same_arrays

SETTINGS = ("train.epochs=0.5", "train.checkpoint_seconds=0")
SETS = [word for setting in SETTINGS for word in ("--set", setting)]
MAIN = "from antiphon.cli import main; main()"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """A folder with the config, and in `runs` the prepared log."""
    folder = tmp_path_factory.mktemp("together")
    pipeline.run(Config.load(chain.write(folder), SETTINGS), folder / "runs", until="prepare")
    return folder


@pytest.fixture(scope="module")
def one(prepared) -> Path:
    """The model that one process trains.

    (Not this one: its type checker draws from the random numbers that weights start with.)
    """
    shutil.copytree(prepared / "runs", prepared / "one")
    code, words = _main("train", prepared / "small.toml", "--runs", prepared / "one", *SETS)
    assert code == 0, words
    return prepared / "one/small/model"


@contextlib.contextmanager
def two(prepared: Path, runs: Path, *settings: str) -> Iterator[list[subprocess.Popen[str]]]:
    """Two processes that train together; process 1 is told of the others by its environment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    given = ["--coordinator", address, "--processes", "2", "--process", "0"]
    told = {
        "ANTIPHON_COORDINATOR": address,
        "ANTIPHON_PROCESSES": "2",
        "ANTIPHON_PROCESS": "1",
    }
    sets = [*SETS, *(word for setting in settings for word in ("--set", setting))]
    command = [sys.executable, "-c", MAIN, "train", prepared / "small.toml", "--runs", runs, *sets]
    started = [
        subprocess.Popen(
            [*command, *([] if number else given)],
            env={
                **os.environ,
                "JAX_COMPILATION_CACHE_DIR": str(prepared / "compiled"),
                "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
                **(told if number else {}),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in (0, 1)
    ]
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    words = process.communicate(timeout=300)[0]
    return process.returncode, words


def same(found: Path, expected: Path) -> None:
    """The same arrays and losses."""
    same_arrays(found, expected)
    losses = [
        json.loads((folder / "training.json").read_text())["loss"] for folder in (found, expected)
    ]
    np.testing.assert_allclose(*losses, **CLOSE)


def test_two_processes_with_tables_shared_by_rows_train_the_model_of_one(prepared, one) -> None:
    runs = prepared / "rows"
    shutil.copytree(prepared / "runs", runs)
    with two(prepared, runs, "train.sharding=rows") as processes:
        for process in processes:
            assert finish(process)[0] == 0
    same(runs / "small/model", one)
    assert not (runs / "small/checkpoints").exists()
    summary = json.loads((runs / "small/summary.json").read_text())
    assert summary["stages"]["train"]["seconds"] > 0


def test_one_that_is_killed_ends_the_other_which_goes_on_from_a_checkpoint(prepared, one) -> None:
    runs = prepared / "killed"
    shutil.copytree(prepared / "runs", runs)
    with two(prepared, runs, "train.checkpoint_seconds=0.01") as processes:
        until = time.monotonic() + 300
        while not list(runs.glob("small/checkpoints/step-*/manifest.json")):
            assert time.monotonic() < until
            assert processes[0].poll() is None, processes[0].communicate()[0]
            time.sleep(0.02)
        processes[1].send_signal(signal.SIGKILL)
        code, words = finish(processes[0])
    assert code == 76, words
    assert "another process of the training is gone" in words
    assert "training goes on from the last checkpoint" in " ".join(words.split())
    assert not (runs / "small/model").exists()
    # what two began one ends
    config = Config.load(prepared / "small.toml", SETTINGS)
    done = pipeline.run(config, runs, until="train")
    assert done.summary["notes"][0].startswith("went on from step ")
    same(runs / "small/model", one)


def _main(*words: object) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", MAIN, *map(str, words)], capture_output=True, text=True, timeout=300
    )
    return done.returncode, " ".join(done.stderr.split())


def test_what_does_not_go_together_is_refused(prepared, tmp_path) -> None:
    config = prepared / "small.toml"
    code, words = _main("train", config, "--runs", tmp_path, "--processes", 2, "--process", 0)
    assert code == 2
    assert "must be told of the others" in words
    at = ("--coordinator", "127.0.0.1:1", "--processes", 2, "--process", 2)
    code, words = _main("train", config, "--runs", tmp_path, *at)
    assert code == 2
    assert "0 to 1" in words
    code, words = _main("train", config, "--runs", tmp_path, "--processes", 2)
    assert code == 2
    assert "can't be found" in words


def test_a_log_that_is_not_prepared_is_refused(prepared, tmp_path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    alone = ("--coordinator", address, "--processes", 1, "--process", 0)
    code, words = _main("train", prepared / "small.toml", "--runs", tmp_path, *alone)
    assert code == 1
    assert "run `antiphon prepare CONFIG` first" in words


ABORTED = """
import os, sys
from antiphon.errors import PeerError
from antiphon.supervised import supervised
assert supervised(lambda: 7) == 7
assert supervised(lambda: 1 // 0) == 1
try:
    supervised(os.abort)
except PeerError as error:
    sys.exit(error.exit_code)
"""


def test_an_abort_by_jax_is_told_in_words() -> None:
    assert subprocess.run([sys.executable, "-c", ABORTED], timeout=60).returncode == 76


ORPHAN = """
import time
from antiphon.supervised import supervised
def work():
    print(__import__("os").getpid(), flush=True)
    time.sleep(60)
supervised(work)
"""


def test_a_child_ends_with_its_parent() -> None:
    parent = subprocess.Popen([sys.executable, "-c", ORPHAN], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert int(parent.stdout.readline()) != parent.pid
    parent.kill()
    parent.communicate(timeout=30)  # returns when nobody holds the pipe any more

"""A trained run, and a service that answers from it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import Client, serving

import chain
import searched_run
from antiphon import pipeline
from antiphon.config import Config


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run with titles and item features; not to be written to."""
    trained = searched_run.trained_model(tmp_path_factory).stage.path.parent
    folder = tmp_path_factory.mktemp("runs")
    shutil.copytree(trained, folder / trained.name)
    with chain.few_baselines(("random", "most_popular")):
        return pipeline.run(Config.load(trained / "config.toml"), folder).path


@pytest.fixture
def runs(run: Path, tmp_path: Path) -> Path:
    """A folder with two runs, `one` and `two`, of different versions."""
    folder = tmp_path / "runs"
    shutil.copytree(run, folder / "one")
    shutil.copytree(run, folder / "two")
    shutil.rmtree(folder / "two" / "index")  # the version tells whether there is one
    return folder


@pytest.fixture(scope="session")
def client(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A service for tests that leave it as it is."""
    store = str(tmp_path_factory.mktemp("store") / "live")
    with serving(run, store=store) as client:
        yield client

"""The package itself: what it offers, and that it costs nothing until it is used."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import antiphon
from antiphon import config, errors, pipeline, recommend

HEAVY = ("numpy", "pyarrow", "duckdb", "pydantic", "jax", "keras", "rich", "typer")


def test_all_is_what_it_offers() -> None:
    assert {name: getattr(antiphon, name) for name in antiphon.__all__} == {
        "Answer": recommend.Answer,
        "AntiphonError": errors.AntiphonError,
        "Config": config.Config,
        "Recommender": recommend.Recommender,
        "Run": pipeline.Run,
        "run": pipeline.run,
    }
    assert set(antiphon.__all__) <= set(dir(antiphon))
    with pytest.raises(AttributeError, match=r"'recommender'; it offers .* Recommender"):
        antiphon.recommender  # noqa: B018


def test_it_is_light_and_sets_the_backend_before_keras() -> None:
    """In a process of its own, as the tests have imported everything already."""
    program = f"""
import os, sys
import antiphon
assert os.environ["KERAS_BACKEND"] == "jax"
assert not [name for name in {HEAVY} if name in sys.modules]
antiphon.Config
assert not [name for name in ("jax", "keras", "duckdb") if name in sys.modules]
from antiphon import *
assert run.__module__ == "antiphon.pipeline"
import keras
assert keras.backend.backend() == "jax"
"""
    environment = {**os.environ, "KERAS_BACKEND": "torch"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr

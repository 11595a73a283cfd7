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


def test_the_widest_vector_registers_are_asked_for_and_flags_set_before_count() -> None:
    ask = "import os, antiphon; print(os.environ['XLA_FLAGS'])"
    flags = {
        given: subprocess.run(
            [sys.executable, "-c", ask],
            env={**os.environ, "XLA_FLAGS": given},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout.split()
        for given in ("", "--xla_force_host_platform_device_count=2")
    }
    for given, found in flags.items():
        assert found == ["--xla_cpu_prefer_vector_width=512", *given.split()]

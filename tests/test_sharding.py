"""Tables on several devices: what they learn, and what they move between devices."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import planted
import sharded
from antiphon.prepared import Prepared
from antiphon.sharding import shares_rows
from same_arrays import CLOSE, same_arrays

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Prepared:
    # tables of 30,001 and 121 rows, which neither 2 nor 4 devices share evenly
    return planted.moods(tmp_path_factory.mktemp("log") / "prepared", items=30_000)


@pytest.fixture(scope="module")
def one(prepared, tmp_path_factory) -> Path:
    """The model trained on one device."""
    folder = tmp_path_factory.mktemp("one") / "model"
    sharded.write(*sharded.run(prepared, 1, "auto"), prepared, folder)
    return folder


@pytest.fixture(scope="module")
def several(prepared, tmp_path_factory) -> Path:
    """The folder in which sharded.py wrote its models, and XLA its programs."""
    out = tmp_path_factory.mktemp("several")
    flags = (
        "--xla_force_host_platform_device_count=4",
        f"--xla_dump_to={out / 'programs'}",
        "--xla_dump_hlo_as_text",
        "--xla_dump_hlo_module_re=.*train_step.*",
    )
    subprocess.run(
        [sys.executable, HERE / "sharded.py", prepared.stage.path, out],
        check=True,
        env={
            **os.environ,
            "XLA_FLAGS": " ".join(flags),
            "JAX_COMPILATION_CACHE_DIR": str(out / "compiled"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        },
        timeout=500,
    )
    return out


def same(found: Path, expected: Path) -> None:
    """The same arrays and losses."""
    same_arrays(found, expected)
    losses = [json.loads((folder / "losses.json").read_text())[0] for folder in (found, expected)]
    assert len(losses[0]) == sharded.STEPS
    np.testing.assert_allclose(*losses, **CLOSE)


@pytest.mark.parametrize(("count", "way"), sharded.WAYS)
def test_the_model_is_that_of_one_device(one, several, count, way) -> None:
    same(several / f"{count}-{way}", one)
    assert np.load(one / "tables/item.npy").shape == (30_001, 16)
    assert np.load(one / "tables/user.accumulator.npy").shape == (121,)


def test_what_four_devices_began_two_can_end(one, several) -> None:
    same(several / "resumed", one)
    notes = json.loads((several / "resumed/losses.json").read_text())[1]
    assert notes == [f"went on from step 5 of {sharded.STEPS}"]


MOVES = re.compile(
    r"= (.*?) (?:all-gather|all-reduce|all-to-all|reduce-scatter|collective-permute"
    r"|collective-broadcast)(?:-start)?\("
)


def moved(program: str) -> list[int]:
    """How many numbers each transfer between devices brings."""
    shapes = [re.findall(r"\w\[([\d,]*)\]", found) for found in MOVES.findall(program)]
    return [max(math.prod(map(int, s.split(","))) if s else 1 for s in one) for one in shapes]


def test_no_transfer_is_larger_than_the_batch_needs(several) -> None:
    found = {
        path.read_text() for path in (several / "programs").glob("*cpu_after_optimizations.txt")
    }
    bad = {text for text in found if "train_step_that_moves_a_table" in text}
    steps = found - bad
    assert len(bad) == 1
    assert len(steps) >= len(sharded.WAYS)
    # 64 positives, 32 negatives, and at most 8 of the history and 32 of the library a query:
    # each item 16 wide and three trends and one; a table of 30,001 by 16 would be 20 times that
    most = (64 + 32 + 16 * (8 + 32)) * 20
    assert max(moved(bad.pop())) > 10 * most, "the check finds a table that moves"
    busy = [text for text in steps if moved(text)]
    assert len(busy) >= len(sharded.WAYS)
    for text in busy:
        assert max(moved(text)) <= most


@pytest.mark.parametrize(
    ("asked", "devices", "gigabytes", "by_rows"),
    [
        ("auto", 2, 8.1, False),
        ("auto", 2, 7.9, True),
        ("auto", 1, 7.9, False),
        ("data", 2, 1, False),
        ("rows", 2, 16, True),
        ("rows", 1, 16, False),
    ],
)
def test_auto_shares_tables_that_would_take_over_half_of_a_device(
    asked, devices, gigabytes, by_rows
) -> None:
    # 2**24 rows of 63 numbers and an accumulator, of 4 bytes each: 4 GiB
    rows = {"user": 2**23, "item": 2**23}
    assert shares_rows(asked, devices, gigabytes * 2.0**30, rows, 63) == by_rows

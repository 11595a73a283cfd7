"""Arrays in pieces."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from antiphon.npy import NpyWriter, read_blocks, read_rows

VALUES = np.arange(24, dtype=np.int32).reshape(8, 3)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "array.npy"
    with NpyWriter(path, VALUES.dtype, VALUES.shape) as writer:
        writer.write(VALUES[:5])
        writer.write(VALUES[5:])
    return path


def test_what_is_written_in_pieces_is_read_in_pieces(path: Path) -> None:
    np.testing.assert_array_equal(np.load(path), VALUES)
    np.testing.assert_array_equal(read_rows(path, 2, 6), VALUES[2:6])
    assert [len(block) for block in read_blocks(path, 3)] == [3, 3, 2]
    np.testing.assert_array_equal(np.concatenate(list(read_blocks(path, 3))), VALUES)


def test_several_threads_may_read(path: Path) -> None:
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            sums = pool.map(lambda row: int(read_rows(path, row, row + 1).sum()), [1, 2] * 2000)
            assert set(sums) == {3 + 4 + 5, 6 + 7 + 8}
    finally:
        sys.setswitchinterval(interval_s)


def test_a_piece_too_few_is_an_error(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="5 rows were written of 8"),
        NpyWriter(tmp_path / "array.npy", VALUES.dtype, VALUES.shape) as writer,
    ):
        writer.write(VALUES[:5])

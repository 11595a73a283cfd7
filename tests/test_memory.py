"""The peak memory of a stage is its own, not that of the stage before."""

from __future__ import annotations

import platform
import resource
from pathlib import Path

import numpy as np
import pytest

from antiphon.memory import (
    freed_memory_kept,
    give_back_freed_memory,
    peak_memory_bytes,
    reset_peak_memory,
)

SIZE = 128 * 2**20


def _resettable() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def test_a_large_array_raises_the_peak() -> None:
    reset_peak_memory()
    before = peak_memory_bytes()
    array = np.ones(SIZE // 8)
    assert peak_memory_bytes() - before > 0.5 * SIZE or not _resettable()
    assert array.nbytes == SIZE


@pytest.mark.skipif(not _resettable(), reason="this system can't reset the peak")
def test_the_peak_is_forgotten_on_reset() -> None:
    reset_peak_memory()
    array = np.ones(SIZE // 8)
    peak = peak_memory_bytes()
    del array
    assert peak_memory_bytes() == pytest.approx(peak, rel=0.05), "a peak outlives its array"
    reset_peak_memory()
    assert peak_memory_bytes() < peak - 0.5 * SIZE


def test_systems_without_proc_tell_the_peak_since_the_start(monkeypatch) -> None:
    def absent(*_: object, **__: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", absent)
    monkeypatch.setattr(Path, "write_text", absent)
    reset_peak_memory()
    assert 10 * 2**20 < peak_memory_bytes() < 2**45


def _pages_faulted_in() -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = b"x" * (64 * 2**20)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    assert len(block) == 64 * 2**20
    return after - before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's malloc can be told")
def test_freed_memory_is_at_hand_again_meanwhile() -> None:
    outside = _pages_faulted_in()
    with freed_memory_kept():
        _pages_faulted_in()
        assert _pages_faulted_in() < 0.1 * outside
    assert _pages_faulted_in() > 0.5 * outside, "given back to the system as before"


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's malloc can be told")
def test_what_is_kept_can_be_given_back_at_once() -> None:
    with freed_memory_kept():
        array = np.ones(SIZE // 8)
        full = _resident_bytes()
        del array
        assert _resident_bytes() > full - 0.5 * SIZE, "nothing was kept"
        give_back_freed_memory()
        assert _resident_bytes() < full - 0.5 * SIZE

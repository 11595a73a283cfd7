"""Progress: drawn on a terminal, told in lines where there is none."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from antiphon import terminal
from antiphon.terminal import stage_progress


def told(monkeypatch: pytest.MonkeyPatch, every_s: float, *, is_terminal: bool = False) -> str:
    """What is shown of a stage of four parts, after one whose end isn't known."""
    monkeypatch.setattr(terminal, "LINE_EVERY_S", every_s)
    shown = io.StringIO()
    console = Console(file=shown, width=120, force_terminal=is_terminal)
    with stage_progress(console) as tell:
        tell("prepare", 0, 0, "checking the log")
        for done in range(5):
            tell("train", done, 4, f"loss {9 - done}.000")
    return shown.getvalue()


def test_a_file_gets_a_line_from_time_to_time(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = told(monkeypatch, 0).splitlines()
    assert lines[0] == "prepare   0:00:00: checking the log"
    assert lines[1] == "train     0:00:00, 0%: loss 9.000"
    assert [line.split("%")[0].split()[-1] for line in lines[2:5]] == ["25", "50", "75"]
    assert all("left: loss" in line for line in lines[3:5])


def test_short_work_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = told(monkeypatch, 3600).splitlines()
    assert [line.split()[1] for line in lines] == ["prepare", "train"]
    assert "loss 5.000" in lines[1]


def test_a_terminal_is_drawn_on(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "0:00:00, 25%" not in told(monkeypatch, 0, is_terminal=True)

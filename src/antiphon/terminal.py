"""The terminal: results to stdout, progress and errors to stderr, out of their way."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

__all__ = ["console", "print_json", "progress_console", "stage_progress"]

# a file or a pipe has no width of its own: wide enough for the tables
WIDTH = None if sys.stdout.isatty() else 100
console = Console(width=WIDTH)
progress_console = Console(stderr=True)
LINE_EVERY_S = 30.0
"""So often a line is written where nothing can be drawn over: into a file, or a job's log."""


@contextmanager
def stage_progress(
    shown_on: Console = progress_console,
) -> Iterator[Callable[[str, int, int, str], None]]:
    """Yield a function to tell progress: a line a stage, with a bar where the end is known.

    Args:
        shown_on: a terminal, or else what gets a line from time to time.
    """
    columns = (
        SpinnerColumn(finished_text="[green]✓"),
        TextColumn("{task.fields[stage]:<9}"),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=shown_on) as progress:
        tasks: dict[str, TaskID] = {}
        told_at = time.monotonic()

        def tell(stage: str, done: int, total: int, words: str) -> None:
            nonlocal told_at
            if stage not in tasks:
                tasks[stage] = progress.add_task(words, stage=stage, total=None)
                told_at = time.monotonic()
            progress.update(tasks[stage], completed=done, total=total or None, description=words)
            if not shown_on.is_terminal and time.monotonic() - told_at >= LINE_EVERY_S:
                told_at = time.monotonic()
                (task,) = (t for t in progress.tasks if t.id == tasks[stage])
                shown_on.print(_line(task, stage), markup=False, highlight=False, soft_wrap=True)

        yield tell


def _line(task: Task, stage: str) -> str:
    """How far a stage has come, in a line."""
    parts = [f"{timedelta(seconds=int(task.elapsed or 0))}"]
    if task.total and not task.finished:
        parts.append(f"{task.percentage:.0f}%")
        if task.time_remaining is not None:
            parts.append(f"{timedelta(seconds=int(task.time_remaining))} left")
    return f"{stage:<9} {', '.join(parts)}: {task.description}"


def print_json(value: object) -> None:
    """Print JSON, for a program to read."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")

"""The terminal: results to stdout, progress and errors to stderr, out of their way."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

__all__ = ["console", "print_json", "progress_console", "stage_progress"]

# a file or a pipe has no width of its own: wide enough for the tables
WIDTH = None if sys.stdout.isatty() else 100
console = Console(width=WIDTH)
progress_console = Console(stderr=True)


@contextmanager
def stage_progress() -> Iterator[Callable[[str, int, int, str], None]]:
    """Yield a function to tell progress: a line a stage, with a bar where the end is known."""
    columns = (
        SpinnerColumn(finished_text="[green]✓"),
        TextColumn("{task.fields[stage]:<9}"),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=progress_console) as progress:
        tasks: dict[str, Any] = {}

        def tell(stage: str, done: int, total: int, words: str) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(words, stage=stage, total=None)
            progress.update(tasks[stage], completed=done, total=total or None, description=words)

        yield tell


def print_json(value: object) -> None:
    """Print JSON, for a program to read."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")

"""Arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["ConfigPath", "Json", "Overrides", "RunPath", "Runs"]

ConfigPath = Annotated[Path, typer.Argument(help="The TOML config.", metavar="CONFIG")]
RunPath = Annotated[Path, typer.Argument(help="The run's folder.", metavar="RUN")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override one line: section.key=value.", metavar="KEY=VALUE"),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Runs = Annotated[Path, typer.Option("--runs", help="The folder of run folders.")]

"""Commands that make candidates searchable: here, or elsewhere."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from antiphon import show
from antiphon.cli_options import Json, Overrides, RunPath
from antiphon.terminal import console, print_json, stage_progress

__all__ = ["export", "index"]


def index(
    run: RunPath,
    to: Annotated[
        str | None,
        typer.Option(
            help="Search in a database: postgresql://user@host/database or milvus://host:port. "
            "The same as --set index.to=URL."
        ),
    ] = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Build the index that answers are searched in, and measure what it misses.

    Reads the run alone. The exit code is 3 where it misses more than index.target allows.
    """
    from antiphon import pipeline
    from antiphon.show_index import index_part

    told = [*(overrides or ()), *([] if to is None else [f"index.to={to}"])]
    with stage_progress() as tell:
        done = pipeline.index(run, told, tell)
    folder = done.path / "index"
    document = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    if as_json:
        print_json(document)
    else:
        console.print(index_part(folder, document))


def export(
    run: RunPath,
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    as_json: Json = False,
) -> None:
    """Write candidate embeddings as Parquet with the log's ids, for any other search engine."""
    from antiphon.artifacts import open_stage
    from antiphon.export import export_candidates
    from antiphon.prepared import Prepared

    prepared = Prepared.open(run / "prepared")
    model = open_stage(run / "model", inputs={"prepared": prepared.stage})
    with stage_progress() as tell:
        folder = export_candidates(prepared, model, out, partial(tell, "export"))
    files = {file.name: file.stat().st_size for file in sorted(folder.iterdir())}
    if as_json:
        print_json({"out": str(folder), "files": files})
    else:
        console.print(show.files_table(folder, files))

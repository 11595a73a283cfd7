"""Commands that judge beyond a run's own evaluation: anybody's lists, splits, runs side by side."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from antiphon import show
from antiphon.cli_options import Json, RunPath
from antiphon.config import Config
from antiphon.terminal import console, print_json, stage_progress

__all__ = ["compare", "judge_predictions", "split"]


def judge_predictions(run: Path, predictions: Path, as_json: bool) -> None:
    """Judge somebody's lists beside a run's model and its baselines, and print the figures."""
    from antiphon.evaluation import judge_predictions, slice_labels
    from antiphon.report import evaluation_table
    from antiphon.retrieval import TrainedModel

    model = TrainedModel.load_run(run)
    with stage_progress() as tell:
        judged = judge_predictions(model, predictions, partial(tell, "evaluate"))
    if as_json:
        print_json(judged.to_json())
    else:
        console.print(
            evaluation_table(judged.to_json(), labels=slice_labels(model.prepared.schema))
        )


def split(
    run: RunPath,
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    as_json: Json = False,
) -> None:
    """Write train, validation and test as Parquet with the log's ids, for other people's models."""
    from antiphon.prepared import Prepared
    from antiphon.splits import write_split

    config = Config.load(run / "config.toml")
    prepared = Prepared.open(run / "prepared")
    with stage_progress() as tell:
        folder = write_split(prepared, config.evaluate, out, partial(tell, "split"))
    files = {file.name: file.stat().st_size for file in sorted(folder.iterdir())}
    if as_json:
        print_json({"out": str(folder), "files": files})
    else:
        console.print(show.files_table(folder, files))


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Two runs or more.", metavar="RUN...")],
    as_json: Json = False,
) -> None:
    """Set the evaluations of several runs side by side; the first is the reference."""
    from antiphon.outcome import read_evaluation
    from antiphon.report import compare_runs

    table, document = compare_runs([(str(run), read_evaluation(run)) for run in runs])
    if as_json:
        print_json(document)
    else:
        console.print(table)

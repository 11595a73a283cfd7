"""The command line: one function a stage, in the order of the flow."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from antiphon import cli_index, cli_judge, cli_logs, cli_processes, cli_recommend, cli_serve, show
from antiphon.cli_options import ConfigPath, Json, Overrides, RunPath, Runs
from antiphon.config import Config
from antiphon.errors import AntiphonError
from antiphon.terminal import console, print_json, progress_console, stage_progress

__all__ = ["app", "main"]

app = typer.Typer(
    name="antiphon",
    help="From an interaction log to context-aware retrieval with the log's own ids.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

DEMO_CONFIG = Path("configs/demo.toml")
DEMO_DATA = Path("data/demo")
DEMO_USER = "1001"


def main() -> None:
    """Run the command line; errors of the tree in errors.py end it with their exit code."""
    try:
        app()
    except AntiphonError as error:
        show.error(error, progress_console)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        progress_console.print("interrupted; complete stages are kept, run again to go on")
        sys.exit(130)


@app.command(epilog="Example: antiphon demo")
def demo(
    users: Annotated[int, typer.Option(help="Users of the synthetic log.")] = 2_000,
    events: Annotated[int, typer.Option(help="Rows of the synthetic log.")] = 1_000_000,
    overrides: Overrides = None,
    runs: Runs = Path("runs"),
    as_json: Json = False,
) -> None:
    """Make a synthetic log, take it through every stage, and show one user's two lists."""
    config = Config.load(DEMO_CONFIG, overrides or ())
    if not DEMO_DATA.exists():
        cli_logs.synthesize_with_progress(DEMO_DATA, users, events, None, 0)
    _run(config, runs, as_json)
    if not as_json:
        console.print()
        path = runs / config.name
        cli_recommend.recommend(path, DEMO_USER, ["is_organic=1", "is_organic=0"])
        by_make = " (or: make serve)" if path == Path("runs/demo") else ""
        console.print(f"\nBoth lists on a page: antiphon serve {path}{by_make}", highlight=False)


@app.command(epilog="Example: antiphon run configs/kuairand.toml --set train.epochs=2")
def run(
    config: ConfigPath,
    overrides: Overrides = None,
    runs: Runs = Path("runs"),
    as_json: Json = False,
) -> None:
    """Do every stage, skipping what is done already, and print a summary."""
    _run(Config.load(config, overrides or ()), runs, as_json)


@app.command(epilog="Example: antiphon prepare configs/kuairand.toml")
def prepare(
    config: ConfigPath,
    engine: Annotated[
        str | None, typer.Option(help="What runs the SQL: duckdb (here) or spark (a cluster).")
    ] = None,
    master: Annotated[
        str | None, typer.Option(help="Spark's master, such as spark://HOST:PORT.", metavar="URL")
    ] = None,
    overrides: Overrides = None,
    runs: Runs = Path("runs"),
    as_json: Json = False,
) -> None:
    """Turn the events of a log into arrays by user and time."""
    given = {"engine": engine, "master": master}
    lines = [f"prepare.{key}={json.dumps(word)}" for key, word in given.items() if word is not None]
    _run(Config.load(config, [*(overrides or ()), *lines]), runs, as_json, until="prepare")


@app.command(epilog="Example: antiphon train configs/kuairand.toml --set train.epochs=2")
def train(
    config: ConfigPath,
    before: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Run folder whose model to go on from, with the events of CONFIG's log.",
            metavar="RUN",
        ),
    ] = None,
    coordinator: cli_processes.Coordinator = None,
    processes: cli_processes.Processes = None,
    process: cli_processes.Process = None,
    overrides: Overrides = None,
    runs: Runs = Path("runs"),
    as_json: Json = False,
) -> None:
    """Train the two towers (after preparing, if that isn't done yet), alone or with others."""
    lines = [*(overrides or ())]
    if before is not None:
        lines.append(f"train.continue_from={json.dumps(str(before))}")
    loaded = Config.load(config, lines)
    if (coordinator, processes, process) != (None, None, None):
        cli_processes.train_as_one_of(loaded, runs, as_json, coordinator, processes, process)
    _run(loaded, runs, as_json, until="train")


@app.command(epilog="Example: antiphon evaluate runs/kuairand --predictions mine.parquet")
def evaluate(
    run: RunPath,
    predictions: Annotated[
        Path | None,
        typer.Option(help="Parquet of somebody's lists: query_id, item_id and rank or score."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Judge a run's model, or anybody's lists, beside the baselines.

    The exit code is 3 where a gate of the config fails.
    """
    if predictions is not None:
        cli_judge.judge_predictions(run, predictions, as_json)
        return
    _run(Config.load(run / "config.toml"), run.parent, as_json, "evaluate", only_evaluation=True)


app.command(epilog="Example: antiphon split runs/kuairand --out kuairand-split")(cli_judge.split)
app.command(epilog="Example: antiphon compare runs/demo runs/demo-2")(cli_judge.compare)
app.command(epilog="Example: antiphon index runs/kuairand --set index.kind=exact")(cli_index.index)
app.command(epilog="Example: antiphon export runs/kuairand --out kuairand-candidates")(
    cli_index.export
)


app.command(epilog="Example: antiphon recommend runs/demo --user 1001 --context is_organic=1 -k 5")(
    cli_recommend.recommend
)
app.command(epilog="Example: antiphon serve runs/demo --port 8000")(cli_serve.serve)
app.command(epilog="Example: antiphon deploy runs/demo-2 --to http://127.0.0.1:8000")(
    cli_serve.deploy
)
app.command(epilog="Example: antiphon key shop --scope read --scope events")(cli_serve.key)
app.command(epilog="Example: antiphon synth --users 10000 --events 50_000_000 --out data/big")(
    cli_logs.synth
)
app.add_typer(cli_logs.download_app, name="download")


@app.command("config", epilog="Example: antiphon config configs/demo.toml --set train.epochs=2")
def config_(config: ConfigPath, overrides: Overrides = None, as_json: Json = False) -> None:
    """Print the resolved config, every default spelled out."""
    resolved = Config.load(config, overrides or ())
    if as_json:
        print_json(resolved.model_dump(mode="json"))
    else:
        console.print(resolved.to_toml(), markup=False, highlight=False, soft_wrap=True, end="")


def _run(
    config: Config,
    runs: Path,
    as_json: bool,
    until: str = "index",
    only_evaluation: bool = False,
) -> None:
    from antiphon import pipeline
    from antiphon.outcome import read_evaluation, require_gates

    with stage_progress() as tell:
        done = pipeline.run(config, runs, tell, until)
    judged = until in ("evaluate", "index") and done.summary["metrics"]
    evaluation = read_evaluation(done.path) if judged else None
    if as_json:
        print_json(evaluation if only_evaluation else done.summary)
    else:
        if not only_evaluation:
            console.print(show.summary_table(done))
        if evaluation:
            console.print(show.evaluation_part(done, evaluation))
    if evaluation and evaluation["gates"]:
        require_gates(evaluation["gates"])

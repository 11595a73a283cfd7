"""The command `train`, in one of several processes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from antiphon import show
from antiphon.config import Config
from antiphon.errors import AntiphonError, ConfigError
from antiphon.supervised import supervised
from antiphon.terminal import console, print_json, progress_console, stage_progress

__all__ = ["Coordinator", "Process", "Processes", "train_as_one_of"]

Coordinator = Annotated[
    str | None,
    typer.Option(
        "--coordinator",
        help="Host and port at which process 0 can be reached by all.",
        metavar="HOST:PORT",
        envvar="ANTIPHON_COORDINATOR",
    ),
]
Processes = Annotated[
    int | None,
    typer.Option(
        "--processes",
        help="How many processes train together, on as many machines as you like.",
        min=1,
        envvar="ANTIPHON_PROCESSES",
    ),
]
Process = Annotated[
    int | None,
    typer.Option(
        "--process", help="Which of them this is, from 0.", min=0, envvar="ANTIPHON_PROCESS"
    ),
]


def train_as_one_of(
    config: Config,
    runs: Path,
    as_json: bool,
    coordinator: str | None,
    processes: int | None,
    process: int | None,
) -> None:
    """Train with others, and end with the exit code of it.

    Raises:
        ConfigError: the three don't go together.
        PeerError: JAX aborted the process, since another one is gone.
    """
    if processes is None or (coordinator is None) != (process is None):
        raise ConfigError(
            "one process of several must be told of the others",
            received=f"--coordinator {coordinator} --processes {processes} --process {process}",
            allowed="all three; or --processes alone, under a launcher that JAX knows",
        )
    if process is not None and process >= processes:
        raise ConfigError(
            "--process is too large", received=process, allowed=f"0 to {processes - 1}"
        )

    def work() -> int:
        try:
            _train(config, runs, as_json, coordinator, processes, process)
        except AntiphonError as error:
            show.error(error, progress_console)
            return error.exit_code
        return 0

    raise typer.Exit(supervised(work))


def _train(
    config: Config,
    runs: Path,
    as_json: bool,
    coordinator: str | None,
    processes: int,
    process: int | None,
) -> None:
    from antiphon import processes as all_processes
    from antiphon.together import train_together

    all_processes.join(coordinator, processes, process)
    if all_processes.leads():
        with stage_progress() as tell:
            done = train_together(config, runs, tell)
    else:
        done = train_together(config, runs)
    all_processes.leave()
    if done and as_json:
        print_json(done.summary)
    elif done:
        console.print(show.summary_table(done))

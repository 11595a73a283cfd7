"""Commands that bring a log: a synthetic one, or a public one from the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from antiphon import show
from antiphon.cli_options import Json
from antiphon.errors import ConfigError
from antiphon.terminal import console, print_json, progress_console, stage_progress

__all__ = ["download_app", "synth", "synthesize_with_progress"]


def synth(
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    users: Annotated[int, typer.Option(help="How many users.")] = 10_000,
    events: Annotated[str, typer.Option(help="How many rows; 50_000_000 works.")] = "50_000_000",
    tracks: Annotated[int | None, typer.Option(help="How many tracks.")] = None,
    seed: Annotated[int, typer.Option(help="Seed: the same one gives the same log.")] = 0,
    as_json: Json = False,
) -> None:
    """Write a log in the form of Yambda whose listeners' tastes are known."""
    try:
        count = int(events)
    except ValueError:
        raise ConfigError(
            "--events isn't a whole number", received=events, allowed="such as 50_000_000"
        ) from None
    summary = synthesize_with_progress(out, users, count, tracks, seed)
    if as_json:
        print_json(summary)


download_app = typer.Typer(no_args_is_help=True, help="Fetch a public log from the hub.")


@download_app.callback()
def download() -> None:
    """Fetch a public log from the hub."""


@download_app.command(epilog="Example: antiphon download yambda --size 50m")
def yambda(
    size: Annotated[str, typer.Option(help="50m, 500m or 5b.")] = "50m",
    part: Annotated[
        list[str] | None,
        typer.Option(help="One file, such as multi_event or embeddings; may be repeated."),
    ] = None,
    out: Annotated[Path, typer.Option(help="The folder to write.")] = Path("data/yambda"),
    as_json: Json = False,
) -> None:
    """Fetch Yambda: resumes what broke off, verifies every file."""
    from antiphon.download import download_yambda

    with show.download_progress(progress_console) as progress:
        fetched = download_yambda(out, size=size, parts=part, progress=progress)
    if as_json:
        print_json(show.download_json(fetched))
    else:
        console.print(show.download_table(fetched))


def synthesize_with_progress(
    out: Path, users: int, events: int, tracks: int | None, seed: int
) -> dict[str, Any]:
    """Write a synthetic log, telling how far it has come; what was measured of it."""
    from antiphon.synthetic import synthesize

    with stage_progress() as tell:
        summary = synthesize(
            out,
            users=users,
            events=events,
            tracks=tracks,
            seed=seed,
            progress=lambda done, total: tell(
                "synth", done, total, f"{done:,} of {total:,} events"
            ),
        )
    progress_console.print(f"wrote {out}")
    return summary.to_json()

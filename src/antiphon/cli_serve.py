"""Commands of the service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from antiphon.cli_options import RunPath
from antiphon.terminal import progress_console

__all__ = ["serve"]

ServiceConfig = Annotated[
    Path | None, typer.Option("--config", help="TOML with keys, limits and the rest.")
]


def serve(
    run: RunPath,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; by default this machine's own.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port; by default 8000, 0 for any.")] = None,
    config: ServiceConfig = None,
) -> None:
    """Answer over HTTP, with a page to try it on."""
    from antiphon.serve.logs import log_as_json
    from antiphon.serve.server import bind
    from antiphon.serve.server import serve as run_server
    from antiphon.serve.settings import read_settings

    settings = read_settings(config, host=host, port=port)
    listening = bind(settings)
    address = f"http://{settings.host}:{listening.getsockname()[1]}/"
    progress_console.print(f"serving {run} at {address}")
    log_as_json()
    run_server(run, settings, listening)

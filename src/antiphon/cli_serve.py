"""Commands of the service."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Annotated, Any

import typer

from antiphon.cli_options import Json, RunPath
from antiphon.errors import BackendError, ConfigError, RequestError
from antiphon.terminal import console, print_json, progress_console

__all__ = ["deploy", "key", "serve"]

KEY_VARIABLE = "ANTIPHON_KEY"


def serve(
    run: RunPath,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; by default this machine's own.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port; by default 8000, 0 for any.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; by default one.")] = None,
    store: Annotated[
        str | None,
        typer.Option(help="Where live events and items are kept: a file, or postgresql://..."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="TOML with keys, limits and the rest.")
    ] = None,
) -> None:
    """Answer over HTTP, with a page to try it on, until stopped."""
    _need_extra()
    from antiphon.serve.logs import log_as_json
    from antiphon.serve.server import bind
    from antiphon.serve.server import serve as run_server
    from antiphon.serve.settings import read_settings
    from antiphon.serve.workers import supervise

    settings = read_settings(config, host=host, port=port, workers=workers, store=store)
    several = settings.workers > 1
    bound = bind(settings, shared=several)
    settings = settings.model_copy(update={"port": bound.getsockname()[1]})
    shown = f"[{settings.host}]" if ":" in settings.host else settings.host
    progress_console.print(f"{run} is served at http://{shown}:{settings.port}/", highlight=False)
    if several:
        raise typer.Exit(supervise(run, settings))
    log_as_json()
    run_server(run, settings, bound)


def deploy(
    run: Annotated[str, typer.Argument(help="The run's name or folder.", metavar="RUN")],
    to: Annotated[str, typer.Option(help="The service.")] = "http://127.0.0.1:8000",
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Go back to the run before; RUN is where to.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Let a running service answer from another run, without a request lost.

    The run must be in the service's folder of runs. A key comes from ANTIPHON_KEY.
    """
    name = Path(run).resolve().name
    if rollback:
        answer = _call(f"{to.rstrip('/')}/v1/admin/rollback", {})
    else:
        answer = _call(f"{to.rstrip('/')}/v1/admin/deploy", {"run": name})
    if as_json:
        print_json(answer)
    else:
        now, before = answer["run"], answer["previous"]
        console.print(f"{to} answers from {now['name']} ({now['version']})", highlight=False)
        if before:
            console.print(f"before: {before['name']} ({before['version']})", highlight=False)


def key(
    name: Annotated[str, typer.Argument(help="Who will have it.")],
    scopes: Annotated[
        list[str] | None, typer.Option("--scope", help="read, events or admin; may be repeated.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a key, and the lines of the service's config that let it in."""
    _need_extra()
    from pydantic import ValidationError

    from antiphon.serve.keys import digest, new_key
    from antiphon.serve.settings import Key

    made = new_key()
    try:
        entry = Key.model_validate(
            {"name": name, "sha256": digest(made), "scopes": tuple(scopes or ["read"])}
        )
    except ValidationError:
        raise ConfigError(
            "a key can't be made like this",
            received=f"{name!r}, {', '.join(scopes or ())}",
            allowed="a name, and scopes out of read, events, admin",
        ) from None
    if as_json:
        print_json({"key": made, **entry.model_dump()})
        return
    lines = [
        "[[keys]]",
        f"name = {json.dumps(entry.name)}",
        f'sha256 = "{entry.sha256}"',
        f"scopes = {json.dumps(entry.scopes)}",
    ]
    progress_console.print("the key, shown this once:")
    console.print(made, highlight=False, soft_wrap=True)
    progress_console.print("for the service's config:")
    console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


def _call(url: str, body: dict[str, str]) -> Any:
    """POST to a service.

    Raises:
        RequestError: it refuses.
        BackendError: it can't be reached.
    """
    if not url.startswith(("http://", "https://")):
        raise ConfigError("that isn't a service", received=url, allowed="http://host:port")
    headers = {"Content-Type": "application/json"}
    if given := os.environ.get(KEY_VARIABLE):
        headers["Authorization"] = f"Bearer {given}"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=600) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            told = json.load(error)["error"]
        raise RequestError(
            told["what"], received=told["received"], allowed=told["allowed"], hint=told["hint"]
        ) from None
    except (OSError, ValueError, KeyError) as error:
        raise BackendError(f"the service can't be reached: {error}", received=url) from None


def _need_extra() -> None:
    """Raises ConfigError where the extra isn't installed."""
    try:
        import fastapi  # noqa: F401
        import httptools  # noqa: F401
        import prometheus_client  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"the service needs {error.name}", hint="install antiphon[serve]"
        ) from None

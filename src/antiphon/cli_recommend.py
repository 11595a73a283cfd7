"""The command that shows lists."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from antiphon.cli_options import Json, RunPath
from antiphon.errors import ConfigError, RequestError
from antiphon.terminal import console, print_json

__all__ = ["parse_context", "recommend"]


def recommend(
    run: RunPath,
    user: Annotated[str | None, typer.Option(help="The user's id in the log.")] = None,
    context: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=VALUE, or several joined by commas. Give it more than once to see the "
            "lists of several contexts side by side.",
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="How many items.")] = 10,
    history: Annotated[
        list[str] | None,
        typer.Option(help="Id of an item the user had, most recent last; may be repeated."),
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(
            help="all items; discover: only those the user hasn't had; repeat: only those they "
            "have. By default as the run was evaluated.",
        ),
    ] = None,
    exclude_heard: Annotated[
        bool | None,
        typer.Option(
            "--exclude-heard/--include-heard",
            help="The same as --mode discover, or all.",
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            help="FEATURE=VALUE of items that may be listed; of a feature given twice, any of "
            "the values."
        ),
    ] = None,
    allow: Annotated[
        list[str] | None, typer.Option(help="Id of the only items that may be listed.")
    ] = None,
    deny: Annotated[
        list[str] | None, typer.Option(help="Id of an item that may not be listed.")
    ] = None,
    at_most: Annotated[
        list[str] | None,
        typer.Option(help="FEATURE=N: no more than so many items of one value, as in artist=1."),
    ] = None,
    why: Annotated[bool, typer.Option("--why", help="Tell why each item is listed.")] = False,
    store: Annotated[
        str | None,
        typer.Option(help="A service's store of live plays: a file, or postgresql://..."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what a user would get, under one context or several."""
    from antiphon.recommend import Recommender
    from antiphon.request import Request
    from antiphon.show_answers import answers_json, answers_table

    asked = [parse_context(text) for text in context or [""]]
    conditions: dict[str, list[int | str]] = {}
    for name, value in _pairs(where, "a condition", "FEATURE=VALUE, as in artist=17"):
        conditions.setdefault(name, []).append(value)
    limits = dict(_pairs(at_most, "a limit", "FEATURE=N, as in artist=1"))
    if store is not None and "://" not in store and not Path(store).is_file():
        raise ConfigError("there is no such store of live plays", received=store)
    recommender = Recommender.load(run, store)
    answers = recommender.answer(
        [
            Request(
                user,
                one,
                history or (),
                k,
                mode,
                exclude_heard,
                where=conditions,
                allow=allow or None,
                deny=deny or (),
                at_most={name: _number(name, text) for name, text in limits.items()},
                why=why,
            )
            for one in asked
        ]
    )
    good = []
    for answer in answers:
        if isinstance(answer, RequestError):
            raise answer
        good.append(answer)
    if as_json:
        print_json(answers_json(user, asked, good))
    else:
        console.print(answers_table(user, asked, good, recommender.schema))


def parse_context(text: str) -> dict[str, str]:
    """Read `name=value,name=value`.

    Raises:
        ConfigError: a part has no `=`.
    """
    parts = list(filter(None, text.split(",")))
    return dict(_pairs(parts, "a context", "NAME=VALUE, as in is_organic=1"))


def _pairs(texts: Sequence[str] | None, what: str, allowed: str) -> list[tuple[str, str]]:
    """Read `name=value` of each."""
    pairs = []
    for text in texts or ():
        name, separator, value = text.partition("=")
        if not separator:
            raise ConfigError(f"{what} can't be read", received=text, allowed=allowed)
        pairs.append((name.strip(), value.strip()))
    return pairs


def _number(name: str, text: str) -> int:
    if not text.isdecimal():
        raise ConfigError(
            f"at most how many items of one {name}?", received=text, allowed="a whole number"
        )
    return int(text)

"""A few users' lists under two contexts, side by side, with what both have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from antiphon.report import words
from antiphon.report.reading import Reading
from antiphon.report.words import Labels

__all__ = ["Example", "examples"]


@dataclass(frozen=True)
class ExampleItem:
    """An item of a list.

    Attributes:
        title: or its id.
        shared: whether the other list has it too.
        played: whether it was then played.
        marks: what is to be said of it, in words.
    """

    title: str
    shared: bool
    played: bool
    marks: Sequence[str]


@dataclass(frozen=True)
class ExampleList:
    """A list under a context, and in words how much of what was played it has."""

    name: str
    found: str
    entries: Sequence[ExampleItem]


@dataclass(frozen=True)
class Example:
    """A user's lists, and how alike they are."""

    user: str
    note: str
    lists: Sequence[ExampleList]


def examples(
    reading: Reading, labels: Labels | None, titles: Mapping[str, str] | None
) -> list[Example]:
    """The examples of an evaluation; none where no user asked twice."""
    given: Sequence[Mapping[str, Any]] = reading.json.get("examples") or ()
    return [
        Example(
            str(one["user"]),
            f"rank-biased overlap {words.figure(one.get('rank_biased_overlap'), 2)}",
            _lists(one["lists"], labels, titles),
        )
        for one in given
    ]


def _lists(
    given: Sequence[Mapping[str, Any]], labels: Labels | None, titles: Mapping[str, str] | None
) -> list[ExampleList]:
    ids = [[str(item["item"]) for item in one["items"]] for one in given]
    found = []
    for n, one in enumerate(given):
        other = [identity for m, items in enumerate(ids) if m != n for identity in items]
        hits = sum(bool(item.get("played")) for item in one["items"])
        found.append(
            ExampleList(
                _context(one["context"], labels),
                f"{words.count(hits)} of {words.count(one.get('targets'))} then played",
                [_item(item, other, titles) for item in one["items"]],
            )
        )
    return found


def _item(
    item: Mapping[str, Any], other: Sequence[str], titles: Mapping[str, str] | None
) -> ExampleItem:
    identity = str(item["item"])
    shared, played = identity in other, bool(item.get("played"))
    marks = ["then played"] if played else []
    if shared:
        marks.append(f"no. {other.index(identity) + 1} of the other list")
    marks.append("had before" if item.get("heard") else "new to the user")
    title = item.get("title") or (titles or {}).get(identity) or identity
    return ExampleItem(str(title), shared, played, marks)


def _context(context: Mapping[str, Any], labels: Labels | None) -> str:
    named = [
        words.part(f"{name}={_value(value)}", labels)
        for name, value in context.items()
        if not isinstance(value, list)  # a vector says nothing to a reader
    ]
    return ", ".join(named) or "no context"


def _value(value: object) -> str:
    match value:
        case None:
            return "unknown"
        case float():
            return f"{value:.4g}"
        case _:
            return str(value)

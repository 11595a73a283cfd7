"""Lists for a user under several contexts, side by side on the terminal, and their JSON twin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from antiphon.encode import find_spelling
from antiphon.schema import FittedCategorical, Schema

if TYPE_CHECKING:  # heavy, and already there where there are answers
    from antiphon.answers import Answer, Why

__all__ = ["answers_json", "answers_table"]

SHOWN_PAST = 3
WHY = (
    "context: the score less that with no context known; repeat: what having had it adds; "
    "for: recent items, and what the score owes to them"
)


def answers_table(
    user: str | None,
    contexts: Sequence[Mapping[str, str]],
    answers: Sequence[Answer],
    schema: Schema,
) -> RenderableType:
    """Lists side by side; what stands in several of them is marked."""
    shared = _shared(answers)
    who = f"user {user}" if user is not None else "somebody new"
    table = Table(box=box.SIMPLE_HEAD, title=f"for {escape(who)}", title_justify="left")
    table.add_column("", justify="right", style="dim")
    for context in contexts:
        table.add_column(escape(_context_words(context, schema)))
    for row in range(max(len(answer.items) for answer in answers)):
        cells = [_item_text(answer, row, shared) for answer in answers]
        table.add_row(str(row + 1), *cells)
    notes: list[RenderableType] = [table]
    if any(item.had_before for answer in answers for item in answer.items):
        notes.append(Text.assemble(("↻ ", "magenta"), "had before"))
    if any(item.why for answer in answers for item in answer.items):
        notes.append(Text(WHY, style="dim"))
    if len(answers) > 1:
        notes.append(Text.assemble(("● ", "cyan"), f"in more than one list: {len(shared)} items"))
    if not answers[0].known_user:
        notes.append(
            Text("this user isn't in the log: answered from the context and the history given")
        )
    if unknown := answers[0].unknown_history + answers[0].unknown_items:
        words = ", ".join(map(str, unknown))
        notes.append(Text(f"not in the corpus, and ignored: {words}", style="yellow"))
    return Group(*notes)


def _item_text(answer: Answer, row: int, shared: set[int | str]) -> Text:
    if row >= len(answer.items):
        return Text("")
    item = answer.items[row]
    mark = ("● ", "cyan") if item.id in shared else ("  ", "")
    name = f"{item.id}" if item.title is None else f"{item.id}  {item.title}"
    again = ("  ↻", "magenta") if item.had_before else ""
    parts: list[str | tuple[str, str]] = [mark, name, (f"  {item.score:.2f}", "dim"), again]
    if item.why is not None:
        parts += [(f"\n    {line}", "dim") for line in _reasons(item.why)]
    return Text.assemble(*parts)


def _reasons(why: Why) -> list[str]:
    """A line or two on why an item is listed."""
    lines = [f"context {why.context:+.2f}" + (f", repeat {why.repeat:+.2f}" if why.repeat else "")]
    helped = [past for past in why.past if past.effect > 0][:SHOWN_PAST]
    if helped:
        words = [f"{past.title or past.id} {past.effect:+.2f}" for past in helped]
        lines.append("for " + ", ".join(words))
    return lines


def _shared(answers: Sequence[Answer]) -> set[int | str]:
    """Ids that stand in more than one list."""
    counted: dict[int | str, int] = {}
    for answer in answers:
        for item in answer.items:
            counted[item.id] = counted.get(item.id, 0) + 1
    return {id_ for id_, count in counted.items() if count > 1}


def _context_words(context: Mapping[str, str], schema: Schema) -> str:
    if not context:
        return "context unknown"
    words = []
    for name, value in context.items():
        feature = next(f for f in schema.context if f.name == name)
        label = ""
        if isinstance(feature, FittedCategorical) and feature.labels and feature.values:
            code = find_spelling(value, {v: c for c, v in enumerate(feature.values, 1)})
            label = f" ({feature.labels[code - 1]})"
        words.append(f"{name}={value}{label}")
    return ", ".join(words)


def answers_json(
    user: str | None, contexts: Sequence[Mapping[str, str]], answers: Sequence[Answer]
) -> dict[str, Any]:
    """The same for programs."""
    shared = _shared(answers)
    return {
        "user": user,
        "known_user": answers[0].known_user,
        "unknown_history": list(answers[0].unknown_history),
        "unknown_items": list(answers[0].unknown_items),
        "lists": [
            {
                "context": dict(context),
                "items": [
                    {
                        "id": item.id,
                        "score": item.score,
                        "shared": item.id in shared,
                        "had_before": item.had_before,
                        **({} if item.title is None else {"title": item.title}),
                        **({} if item.why is None else {"why": asdict(item.why)}),
                    }
                    for item in answer.items
                ],
            }
            for context, answer in zip(contexts, answers, strict=True)
        ],
    }

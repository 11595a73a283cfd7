"""What a person reads on the terminal, and its JSON twin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

from antiphon.encode import find_spelling
from antiphon.errors import AntiphonError
from antiphon.schema import FittedCategorical, Schema

if TYPE_CHECKING:  # the heavy modules are imported only by the commands that need them
    from antiphon.download import Download
    from antiphon.pipeline import Run
    from antiphon.recommend import Answer

__all__ = [
    "answers_json",
    "answers_table",
    "download_json",
    "download_progress",
    "download_table",
    "error",
    "evaluation_part",
    "files_table",
    "summary_table",
]


def error(problem: AntiphonError, console: Console) -> None:
    """Print an error: what was wrong in red, the rest plain."""
    first, *rest = str(problem).splitlines()
    console.print(f"[bold red]error:[/] {escape(first)}", highlight=False, soft_wrap=True)
    for line in rest:
        console.print(escape(line), highlight=False, soft_wrap=True)


def summary_table(run: Run) -> RenderableType:
    """The stages, the loss against chance and the metrics of a run."""
    summary = run.summary
    parts: list[RenderableType] = [_log_line(summary["log"]), _stages(summary, run.skipped)]
    if loss := summary["loss"]:
        parts.append(
            Text.assemble(
                "loss ",
                (f"{loss['first']:.3f}", "bold"),
                " at first, ",
                (f"{loss['last']:.3f}", "bold green"),
                " at last; chance is ",
                (f"{loss['chance']:.3f}", "bold"),
            )
        )
    if summary["metrics"]:
        parts.append(_metrics(summary["metrics"]))
    parts.append(Text(f"all of it is in {run.path}", style="dim"))
    return Group(*parts)


def evaluation_part(run: Run, evaluation: Mapping[str, Any]) -> RenderableType:
    """The evaluation's tables and where its report is."""
    from antiphon.evaluation import slice_labels
    from antiphon.prepared import read_schema
    from antiphon.report import evaluation_table

    labels = slice_labels(read_schema(run.path / "prepared"))
    report = run.path / "evaluation" / "report.html"
    return Group(
        evaluation_table(evaluation, labels=labels), Text(f"the report: {report}", style="bold")
    )


def files_table(folder: Path, files: Mapping[str, int]) -> Table:
    """Files and their sizes."""
    table = Table(box=box.SIMPLE_HEAD, title=str(folder), title_justify="left")
    table.add_column("file")
    table.add_column("bytes", justify="right")
    for name, size in files.items():
        table.add_row(name, f"{size:,}")
    return table


def _log_line(log: Mapping[str, Any]) -> Text:
    words = [f"{log[key]:,} {key}" for key in ("rows", "positives", "users", "items") if key in log]
    return Text(" · ".join(words), style="bold")


def _stages(summary: Mapping[str, Any], skipped: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("stage")
    table.add_column("seconds", justify="right")
    table.add_column("peak memory", justify="right")
    table.add_column("")
    for name, stage in summary["stages"].items():
        table.add_row(
            name,
            f"{stage['seconds']:.1f}",
            f"{stage['peak_memory_bytes'] / 2**30:.2f} GiB",
            "done before" if name in skipped else "",
        )
    return table


def _metrics(metrics: Mapping[str, Mapping[str, Mapping[str, float | None]]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title="held-out last part of time", title_justify="left")
    table.add_column("queries")
    models = [name for name in ("antiphon", "most_popular") if name in metrics]
    for metric in ("recall@100", "ndcg@10"):
        for model in models:
            table.add_column(f"{metric}\n{model.replace('_', ' ')}", justify="right")
    wanted = [
        part
        for part, values in metrics["antiphon"].items()
        if part == "all" or (_is_context(part) and values["recall_at_100"] is not None)
    ]
    for part in wanted:
        cells = []
        for key in ("recall_at_100", "ndcg_at_10"):
            values = [metrics[model][part][key] for model in models]
            best = max((v for v in values if v is not None), default=None)
            cells += [
                Text("none", "dim")
                if value is None
                else Text(f"{value:.4f}", "bold green" if value == best else "")
                for value in values
            ]
        table.add_row(part, *cells)
    return table


def _is_context(part: str) -> bool:
    """Whether a slice is a value of a context feature; users by history length are not."""
    return "=" in part and not part.startswith("history=")


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
    if len(answers) > 1:
        notes.append(Text.assemble(("● ", "cyan"), f"in more than one list: {len(shared)} items"))
    if not answers[0].known_user:
        notes.append(
            Text("this user isn't in the log: answered from the context and the history given")
        )
    if unknown := answers[0].unknown_history:
        words = ", ".join(map(str, unknown))
        notes.append(Text(f"not in the corpus, and ignored: {words}", style="yellow"))
    return Group(*notes)


def _item_text(answer: Answer, row: int, shared: set[int | str]) -> Text:
    if row >= len(answer.items):
        return Text("")
    item = answer.items[row]
    mark = ("● ", "cyan") if item.id in shared else ("  ", "")
    name = f"{item.id}" if item.title is None else f"{item.id}  {item.title}"
    return Text.assemble(mark, name, (f"  {item.score:.2f}", "dim"))


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
        "lists": [
            {
                "context": dict(context),
                "items": [
                    {
                        "id": item.id,
                        "score": item.score,
                        "shared": item.id in shared,
                        **({} if item.title is None else {"title": item.title}),
                    }
                    for item in answer.items
                ],
            }
            for context, answer in zip(contexts, answers, strict=True)
        ],
    }


def download_progress(console: Console) -> Progress:
    """A bar a file."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
    )


def download_table(fetched: Download) -> Table:
    """What was fetched, and what was there already."""
    table = Table(box=box.SIMPLE_HEAD, title=f"commit {fetched.commit}", title_justify="left")
    for column in ("file", "bytes", "state", "sha256"):
        table.add_column(column, justify="right" if column == "bytes" else "left")
    for file in fetched.files:
        table.add_row(str(file.path), f"{file.size_bytes:,}", file.state, file.sha256[:16])
    return table


def download_json(fetched: Download) -> dict[str, Any]:
    """The same for programs."""
    return {
        "commit": fetched.commit,
        "files": [
            {
                "path": str(file.path),
                "bytes": file.size_bytes,
                "sha256": file.sha256,
                "state": file.state,
            }
            for file in fetched.files
        ],
    }

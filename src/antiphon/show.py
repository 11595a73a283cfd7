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

from antiphon.errors import AntiphonError

if TYPE_CHECKING:  # the heavy modules are imported only by the commands that need them
    from antiphon.download import Download
    from antiphon.pipeline import Run

__all__ = [
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
    parts: list[RenderableType] = [_log_line(summary["log"])]
    if missing := _missing_line(summary["log"]):
        parts.append(missing)
    parts.append(_stages(summary, run.skipped))
    if loss := summary["loss"]:
        parts.append(
            Text.assemble(
                "loss ",
                (f"{loss['first']:.3f}", "bold"),
                " at first, ",
                (f"{loss['last']:.3f}", "bold green"),
                " at last; chance is ",
                (f"{loss['chance']:.3f}", "bold"),
                f"; {summary['input_wait_share']:.1%} of its time training waited for input",
            )
        )
    parts += [Text(note, style="yellow") for note in summary.get("notes", ())]
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


def _missing_line(log: Mapping[str, Any]) -> Text | None:
    """What has no value of a feature, if anything: it gets the feature's unknown slot."""
    words = [
        f"{name} of {share['missing_share']:.1%} of the {what}"
        for key, what in (("context", "events"), ("item_features", "items"))
        for name, share in log.get(key, {}).items()
        if share["missing_share"] > 0
    ]
    return Text("unknown: " + " · ".join(words), style="dim") if words else None


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

"""Parts of docs/performance.md that are tables alone: the whole chain, the service, a limit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["full_scale", "memory_limit", "service", "table"]

Json = Mapping[str, Any]
GIB = 2**30


def full_scale(found: Json, heading: str = "The whole chain") -> tuple[str, dict[str, str]]:
    """Time, memory and disk of every stage, and what they would be at the size of Yambda-5B."""
    size, projected = found["size"], found["projection"]
    epochs, judged_users = found.get("epochs", 1), found.get("users_judged", size["users"])
    trained = "one epoch" if epochs == 1 else f"{epochs:g} of an epoch"
    some = "" if judged_users == size["users"] else f"; {judged_users:,} users judged"
    lines = [
        f"\n## {heading}\n",
        f"A synthetic log of {size['events']:,} events in the form of Yambda: "
        f"{size['positives']:,} positives of training, {size['users']:,} users, "
        f"{size['items']:,} tracks played; {trained}{some}; all content features. "
        "*Memory*: without what is mapped from files, and with it. "
        "*Yambda-5B*: 4.79 billion events, 1M users, 9.39M tracks; multiplied up from what was "
        "measured, not run.\n",
    ]
    rows = []
    for one in found["stages"]:
        at_full = projected.get(one["stage"])
        rows.append(
            [
                one["stage"],
                _time(one["seconds"]),
                f"{one['memory_bytes'] / GIB:.2f} / {one['resident_bytes'] / GIB:.2f}",
                f"{one['disk_bytes'] / GIB:.2f}",
                _time(3600 * at_full["hours"]) if at_full else "",
                " × ".join(at_full["grows_with"]) if at_full else "",
            ]
        )
    head = ["stage", "time", "memory, GiB", "disk, GiB", "Yambda-5B, about", "grows with"]
    lines += table(head, rows)
    named = {one["stage"]: one for one in found["stages"]}
    train, judged = named["train"], named["evaluate"]
    figures = "; ".join(
        f"{name.replace('_', ' ')} {one['ndcg_at_10']:.4f} and {one['recall_at_100']:.4f}"
        for name, one in judged["models"].items()
    )
    lines.append(
        "\nThe prepared log of Yambda-5B would take "
        f"{projected['prepare']['disk_bytes'] / GIB:,.0f} GiB of disk. Training's loss "
        f"fell from {train['loss']['first']:.2f} to "
        f"{train['loss']['last']:.2f}; it waited for input {train['input_wait_share']:.1%} of its "
        f"time. ndcg@10 and recall@100 over {judged['queries']['queries']:,} queries: {figures}."
    )
    return "\n".join(lines), {}


def memory_limit(found: Json) -> tuple[str, dict[str, str]]:
    """Step time and memory of all content, small, large, and large within a limit."""
    rows = []
    for name, one in found["cases"].items():
        size, _, limited = name.partition("_")
        words = f"{found['sizes'][size]['items']:,}"
        if "missing" in one:
            rows.append([words, one["missing"], "", "", "", ""])
            continue
        rows.append(
            [
                words,
                f"{one['limit_bytes'] / GIB:g} GiB" if limited else "none",
                f"{1000 * one['step_seconds']:.1f}",
                f"{found['steps_over_138k'][name]:.2f}",
                f"{one['anonymous_memory_bytes'] / GIB:.2f} / "
                f"{one.get('most_used_bytes', one['peak_memory_bytes']) / GIB:.2f}",
                f"{one['input_wait_share']:.1%}",
            ]
        )
    lines = [
        "\n## Within a limit of memory\n",
        "All defaults and all content of the items, audio vectors mapped from a file. *Limit*: of "
        "a control group, which counts what is mapped, too, and ends what goes beyond. *Memory*: "
        "without what is mapped, and the most with it.\n",
    ]
    head = ["items", "limit", "ms a step", "over the first", "memory, GiB", "waited for input"]
    return "\n".join(lines + table(head, rows)), {}


def service(found: Json) -> tuple[str, dict[str, str]]:
    """What a service answers, waits and refuses, by catalogue, engine and worker processes."""
    rows = []
    for run in found["runs"]:
        for one in run["services"]:
            closed, quarter, over = one["closed_loop"], one["open_loop"][0], one["overload"]
            refused = over.get("refused_p99_ms")
            rows.append(
                [
                    f"{run['items']:,}, {run['engine']}, {one['workers']}",
                    f"{run['index_recall_at_10']:.3f}",
                    f"{one['ready_s']:.1f}",
                    f"{one['resident_mib'] / 1024:.2f}",
                    f"{closed['answers_per_s']:,.0f}",
                    f"{one['ratios']['bare_together_over_service']:.2f}",
                    f"{quarter['rate_per_s']}/s: {quarter['p50_ms']:.1f}, {quarter['p99_ms']:.1f}",
                    f"{one['ratios']['goodput_at_overload']:.2f}",
                    "none" if refused is None else f"{refused:.0f}",
                ]
            )
    lines = [
        "\n## The service\n",
        f"`antiphon serve` on {found['connections']} connections, asked by a process on the same "
        "two cores. *Answers/s*: every connection asks again as soon as it is answered. *Bare*: "
        "the answers a second of the `Recommender` alone, 16 at once, over those. *Waits*: p50 "
        "and p99 of requests that come in at random, at a quarter of that. *Goodput*: answers at "
        "four times it, over it; *refused*: p99 of how long all else took to be refused.\n",
    ]
    head = [
        "items, engine, workers",
        "index recall@10",
        "ready, s",
        "memory, GiB",
        "answers/s",
        "bare",
        "waits, ms",
        "goodput",
        "refused, ms",
    ]
    lines += table(head, rows)
    for run in found["runs"]:
        alone = run["bare_one_by_one"]
        lines.append(
            f"\n{run['items']:,} items, {run['engine']}: the bare `Recommender` takes "
            f"{alone['p50_ms']:.1f} ms one by one (p50; p99 {alone['p99_ms']:.1f}); a minimal "
            "endpoint that multiplies one random query with the embeddings answers "
            f"{run['minimal_endpoint']['answers_per_s']:.0f} a second."
        )
        for one in run["services"]:
            if swaps := one.get("reloads"):
                lines.append(
                    f"{swaps['reloads']} runs swapped under load, {swaps['seconds_each']:.1f} s "
                    f"each: {swaps['answers']:,} answers, {swaps['failed']} failed, "
                    f"{swaps['mixed']} mixed."
                )
    return "\n".join(lines), {}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Markdown; the first column is words, the others figures."""
    lines = [list(head), ["---"] + ["---:"] * (len(head) - 1), *map(list, rows)]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds >= 36_000 else f"{seconds / 3600:.1f} h"

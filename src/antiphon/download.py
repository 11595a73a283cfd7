"""Yambda from the Hugging Face hub: which files, whether they fit, and what came of it.

Files keep the repository's own layout below the folder asked for: `flat/50m/likes.parquet` of the
hub is `OUT/flat/50m/likes.parquet` here. Transfer and verification are `hub`'s.

Source: the dataset yandex/yambda and its paper, arXiv 2505.22238.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.filesize import decimal
from rich.progress import Progress

from antiphon import errors, hub

__all__ = [
    "DEFAULT_PARTS",
    "PARTS",
    "SIZES",
    "Download",
    "DownloadedFile",
    "download_yambda",
    "yambda_paths",
]

_REPOSITORY = "yandex/yambda"
_EVENT_PARTS = ("multi_event", "listens", "likes", "dislikes", "unlikes", "undislikes")
_ITEM_PARTS = ("embeddings", "artist_item_mapping", "album_item_mapping")
SIZES = ("50m", "500m", "5b")
PARTS = _EVENT_PARTS + _ITEM_PARTS
# Without the audio embeddings: one file for the tracks of all sizes, two vectors of 128 doubles for
# each of 7.7 million tracks (16 GB before compression), so it comes only when asked for.
DEFAULT_PARTS = ("multi_event", "artist_item_mapping", "album_item_mapping")


@dataclass(frozen=True)
class DownloadedFile:
    """One file, whole and verified.

    `state` says whether it was already here, is new, or took the place of one with other bytes;
    `resumed_from_bytes` is what an interrupted transfer had left and was not sent again.
    """

    path: Path
    size_bytes: int
    sha256: str
    state: Literal["present", "downloaded", "replaced"]
    resumed_from_bytes: int = 0


@dataclass(frozen=True)
class Download:
    """What `download_yambda` left on disk; `commit` is the hub's, one for all files."""

    commit: str
    files: tuple[DownloadedFile, ...]


def yambda_paths(size: str, parts: Sequence[str] | None = None) -> tuple[str, ...]:
    """Paths in the hub's repository of the parts, each once, in the order given.

    Raises:
        ConfigError: an unknown size or part, or no part at all.
    """
    _check("size", size, SIZES)
    chosen = tuple(dict.fromkeys(DEFAULT_PARTS if parts is None else parts))
    if not chosen:
        raise errors.ConfigError("no part of Yambda was asked for", allowed=", ".join(PARTS))
    for part in chosen:
        _check("part", part, PARTS)
    return tuple(
        f"flat/{size}/{part}.parquet" if part in _EVENT_PARTS else f"{part}.parquet"
        for part in chosen
    )


def download_yambda(
    out: Path,
    *,
    size: str = "50m",
    parts: Sequence[str] | None = None,
    revision: str = "main",
    endpoint: str | None = None,
    progress: Progress | None = None,
) -> Download:
    """Bring parts of Yambda into `out`, continuing what an earlier call left unfinished.

    A file already there is read and compared with the hub's hash: kept where equal, else replaced.

    Args:
        out: folder that receives the repository's layout; made where missing.
        size: "50m", "500m" or "5b".
        parts: names out of `PARTS`; by default `DEFAULT_PARTS`, without the audio embeddings.
        revision: branch, tag or commit; all files come from the one commit it stands for.
        endpoint: a hub other than `HF_ENDPOINT` or huggingface.co. `HF_TOKEN` is honoured.
        progress: gets one bar a file, and on its console the sizes before the first byte.

    Raises:
        ConfigError: an unknown size or part.
        DownloadError: the extra `hub` is missing, the hub can't be reached or refuses, the disk is
            too small, or a file arrived damaged (it is deleted). Whole files stay, and so does an
            unfinished one, as `NAME.HASH.partial`.
    """
    paths = yambda_paths(size, parts)
    progress = progress or Progress(console=Console(quiet=True), disable=True)
    remotes: list[hub.RemoteFile] = []
    for path in paths:
        # Once the commit is known, all others are of it: a push in between must not mix versions.
        at = remotes[0].commit if remotes else revision
        remotes.append(hub.ask(_REPOSITORY, path, revision=at, endpoint=endpoint))

    tasks = [progress.add_task(r.path, total=r.size_bytes, start=False) for r in remotes]
    present = [
        hub.is_whole(out / remote.path, remote, progress, task)
        for remote, task in zip(remotes, tasks, strict=True)
    ]
    missing = [r for r, here in zip(remotes, present, strict=True) if not here]
    _check_room(out, size, remotes, missing, progress)

    files = []
    for remote, task, here in zip(remotes, tasks, present, strict=True):
        target = out / remote.path
        state: Literal["present", "downloaded", "replaced"] = "present"
        resumed_from_bytes = 0
        if not here:
            state = "replaced" if target.exists() else "downloaded"
            resumed_from_bytes = hub.fetch(remote, target, progress, task)
        files.append(
            DownloadedFile(target, remote.size_bytes, remote.sha256, state, resumed_from_bytes)
        )
    return Download(remotes[0].commit, tuple(files))


def _check_room(
    out: Path,
    size: str,
    remotes: Sequence[hub.RemoteFile],
    missing: Sequence[hub.RemoteFile],
    progress: Progress,
) -> None:
    """Say what is about to come, and refuse it where the disk can't hold it."""
    partials = [hub.partial_path(out / remote.path, remote) for remote in missing]
    needed_bytes = sum(remote.size_bytes for remote in missing)
    needed_bytes -= sum(partial.stat().st_size for partial in partials if partial.is_file())
    existing = next(p for p in (out.absolute(), *out.absolute().parents) if p.exists())
    free_bytes = shutil.disk_usage(existing).free
    progress.console.print(
        f"Yambda {size} at commit {remotes[0].commit[:12]}: {len(remotes)} files, "
        f"{decimal(sum(remote.size_bytes for remote in remotes))}; "
        f"{len(remotes) - len(missing)} already here and whole; "
        f"{decimal(needed_bytes)} to fetch, {decimal(free_bytes)} free",
        highlight=False,
    )
    if needed_bytes > free_bytes:
        raise errors.DownloadError(
            f"the disk of {out} is too small",
            received=f"{decimal(free_bytes)} free",
            allowed=f"{decimal(needed_bytes)} at least, for "
            + ", ".join(f"{remote.path} ({decimal(remote.size_bytes)})" for remote in missing),
            hint="name another folder, a smaller size or single parts",
        )


def _check(kind: str, received: str, allowed: tuple[str, ...]) -> None:
    if received not in allowed:
        raise errors.ConfigError(
            f"Yambda has no {kind} of this name",
            received=received,
            allowed=", ".join(allowed),
            hint=errors.did_you_mean(received, allowed),
        )

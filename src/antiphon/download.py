"""Yambda from the Hugging Face hub: resumable, checksummed, atomic.

Files keep the repository's own layout below the folder asked for, so that `flat/50m/likes.parquet`
of the hub is `OUT/flat/50m/likes.parquet` here.

Metadata, names, tokens, redirects and retries are the hub client's. Two things are ours, since
huggingface_hub 2.4 does neither: `hf_hub_download` (and Xet) start an interrupted file again from
zero and delete what had arrived, so a file is fetched by the client's `http_get` into
`NAME.HASH.partial`, which the next call continues by a `Range` request; and the client compares
only lengths, so the SHA-256 of every file, also of one already here, is compared with the one that
the hub states. Only a file that passed gets its final name, by a rename.

Source: the dataset's page (yandex/yambda) and arXiv 2505.22238.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.filesize import decimal
from rich.progress import Progress, TaskID

from antiphon import errors

__all__ = [
    "DEFAULT_PARTS",
    "PARTS",
    "SIZES",
    "Download",
    "DownloadedFile",
    "download_yambda",
    "yambda_paths",
]

REPOSITORY = "yandex/yambda"
SIZES = ("50m", "500m", "5b")
EVENT_PARTS = ("multi_event", "listens", "likes", "dislikes", "unlikes", "undislikes")
ITEM_PARTS = ("embeddings", "artist_item_mapping", "album_item_mapping")
PARTS = EVENT_PARTS + ITEM_PARTS
# Not the audio embeddings: they cover all sizes' tracks at once, and two lists of 128 doubles for
# each of 7.7 million tracks are several times the rest even of the 500m log.
DEFAULT_PARTS = ("multi_event", "artist_item_mapping", "album_item_mapping")

# The hub's content network answers a single request with at most 50 GB, so a file is asked for in
# windows (its documented way for larger ones).
_WINDOW_BYTES = 8 * 2**30
_HASH_CHUNK_BYTES = 2**22


@dataclass(frozen=True)
class DownloadedFile:
    """One file, whole and verified.

    `state` says whether it was already here, is new, or took the place of one with other bytes;
    `resumed_from_bytes` is the length that an interrupted transfer had left.
    """

    path: Path
    size_bytes: int
    sha256: str
    state: Literal["present", "downloaded", "replaced"]
    resumed_from_bytes: int = 0


@dataclass(frozen=True)
class Download:
    """What `download_yambda` left on disk; `revision` is the hub's commit of all files."""

    revision: str
    files: tuple[DownloadedFile, ...]


@dataclass(frozen=True)
class _Remote:
    """A file as the hub states it."""

    path: str
    url: str
    revision: str
    size_bytes: int
    sha256: str


def yambda_paths(size: str, parts: Sequence[str] | None = None) -> tuple[str, ...]:
    """Paths in the hub's repository of the parts, each once, in the order given.

    Raises:
        ConfigError: an unknown size or part, or no part at all.
    """
    _one_of("size", size, SIZES)
    chosen = tuple(dict.fromkeys(DEFAULT_PARTS if parts is None else parts))
    if not chosen:
        raise errors.ConfigError("no part of Yambda was asked for", allowed=", ".join(PARTS))
    for part in chosen:
        _one_of("part", part, PARTS)
    return tuple(
        f"flat/{size}/{part}.parquet" if part in EVENT_PARTS else f"{part}.parquet"
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

    Args:
        out: folder that receives the repository's layout; made where missing.
        size: "50m", "500m" or "5b".
        parts: names out of `PARTS`; by default `DEFAULT_PARTS`, which leaves the large audio
            embeddings out.
        revision: branch, tag or commit; all files come from the one commit it stands for.
        endpoint: a hub other than `HF_ENDPOINT` or huggingface.co. `HF_TOKEN` is honoured.
        progress: shows a bar a file, and on its console the size before the first byte.

    Raises:
        ConfigError: an unknown size or part.
        DownloadError: the extra is missing, the hub can't be reached or refuses, the disk is too
            small, or a file arrived damaged (it is deleted). Whole parts stay; so does an
            unfinished one, as `NAME.HASH.partial`.
    """
    paths = yambda_paths(size, parts)
    progress = progress or Progress(console=Console(quiet=True), disable=True)
    headers = _headers()
    remotes: list[_Remote] = []
    for path in paths:
        # After the first answer the commit is known; a push in between must not mix versions.
        commit = remotes[0].revision if remotes else revision
        remotes.append(_ask(path, commit, endpoint, headers))

    tasks = {r.path: progress.add_task(r.path, total=r.size_bytes, start=False) for r in remotes}
    done: dict[str, DownloadedFile] = {}
    for remote in remotes:
        target = out / remote.path
        with _explained(remote.path):
            if _is_whole(target, remote, progress, tasks[remote.path]):
                done[remote.path] = DownloadedFile(
                    target, remote.size_bytes, remote.sha256, "present"
                )
    missing = [remote for remote in remotes if remote.path not in done]
    to_fetch_bytes = sum(r.size_bytes - _length(_partial(out, r)) for r in missing)
    free_bytes = _free_bytes(out)
    progress.console.print(
        f"Yambda {size} at {remotes[0].revision[:12]}: {len(remotes)} files, "
        f"{decimal(sum(r.size_bytes for r in remotes))}; {len(done)} already here and whole; "
        f"{decimal(to_fetch_bytes)} to fetch, {decimal(free_bytes)} free",
        highlight=False,
    )
    if to_fetch_bytes > free_bytes:
        raise errors.DownloadError(
            f"the disk of {out} is too small for what is missing",
            received=f"{decimal(free_bytes)} free",
            allowed=f"at least {decimal(to_fetch_bytes)}: "
            + ", ".join(f"{r.path} {decimal(r.size_bytes)}" for r in missing),
            hint="name another folder, a smaller size or single parts",
        )
    for remote in missing:
        done[remote.path] = _fetch(remote, out, headers, progress, tasks[remote.path])
    return Download(remotes[0].revision, tuple(done[path] for path in paths))


def _one_of(kind: str, received: str, allowed: tuple[str, ...]) -> None:
    if received not in allowed:
        raise errors.ConfigError(
            f"Yambda has no {kind} of this name",
            received=received,
            allowed=", ".join(allowed),
            hint=errors.did_you_mean(received, allowed),
        )


def _headers() -> dict[str, str]:
    """Headers of every request: who asks, and the token where there is one."""
    try:
        from huggingface_hub.utils import build_hf_headers
    except ImportError as error:
        raise errors.DownloadError(
            "downloading needs huggingface_hub, which isn't installed",
            hint="pip install 'antiphon[hub]'",
        ) from error
    headers: dict[str, str] = build_hf_headers(library_name="antiphon")
    # A compressed answer has no usable length and makes servers ignore Range.
    return headers | {"Accept-Encoding": "identity"}


def _ask(path: str, revision: str, endpoint: str | None, headers: Mapping[str, str]) -> _Remote:
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    endpoint = (endpoint or os.environ.get("HF_ENDPOINT") or "").rstrip("/") or None

    def url(at: str) -> str:
        return str(
            hf_hub_url(REPOSITORY, path, repo_type="dataset", revision=at, endpoint=endpoint)
        )

    with _explained(path):
        stated = get_hf_file_metadata(url(revision), headers=dict(headers), endpoint=endpoint)
    sha256 = stated.etag or ""
    if stated.commit_hash is None or stated.size is None or len(sha256) != 64:
        raise errors.DownloadError(
            f"the server states no commit, size or SHA-256 of {path}, so it could not be verified",
            received=f"commit {stated.commit_hash}, {stated.size} bytes, etag {stated.etag}",
            hint="check that HF_ENDPOINT or the endpoint names a Hugging Face hub",
        )
    # The hub's own address, not the signed one it redirects to: that expires within the transfer.
    return _Remote(path, url(stated.commit_hash), stated.commit_hash, stated.size, sha256)


def _fetch(
    remote: _Remote, out: Path, headers: Mapping[str, str], progress: Progress, task: TaskID
) -> DownloadedFile:
    """Transfer, verify and name one file."""
    from filelock import FileLock, Timeout

    target, partial = out / remote.path, _partial(out, remote)
    with _explained(remote.path):
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{target}.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise errors.DownloadError(
                f"another download is writing {target}", hint="wait until it has ended"
            ) from error
        try:
            for other in target.parent.glob(f"{target.name}.*.partial"):
                if other != partial or other.stat().st_size > remote.size_bytes:
                    other.unlink()  # of another version of the file
            resumed_from_bytes = _length(partial)
            _transfer(remote, partial, headers, progress, task)
            if not _is_whole(partial, remote, progress, task):
                raise _damaged(remote, partial, "its SHA-256 isn't the one that the hub states")
            state: Literal["downloaded", "replaced"] = (
                "replaced" if target.exists() else "downloaded"
            )
            partial.replace(target)
        finally:
            lock.release()
            Path(lock.lock_file).unlink(missing_ok=True)
    return DownloadedFile(target, remote.size_bytes, remote.sha256, state, resumed_from_bytes)


def _transfer(
    remote: _Remote, partial: Path, headers: Mapping[str, str], progress: Progress, task: TaskID
) -> None:
    """Append to `partial` until it has the stated length."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.file_download import http_get

    progress.start_task(task)
    bar = _bar_class(progress, task)
    with partial.open("ab") as file:
        while (begin := file.tell()) < remote.size_bytes:
            end = min(remote.size_bytes, (begin // _WINDOW_BYTES + 1) * _WINDOW_BYTES)
            window = {"Range": f"bytes=0-{end - 1}"} if end < remote.size_bytes else {}
            try:
                http_get(
                    remote.url,
                    file,
                    resume_size=begin,
                    headers={**headers, **window},
                    expected_size=end,
                    tqdm_class=bar,
                )
            except httpx2.NetworkError:
                # http_get continues after a closed connection, but not after a reset one.
                if file.tell() == begin:
                    raise
            except HfHubHTTPError as error:
                if error.response.status_code == 416:
                    raise _damaged(
                        remote, partial, "it ends earlier than the hub states"
                    ) from error
                raise
            except OSError as error:
                if error.errno is None:  # http_get's check of the length
                    raise _damaged(remote, partial, "its length isn't the stated one") from error
                raise
        file.flush()
        os.fsync(file.fileno())


def _damaged(remote: _Remote, partial: Path, why: str) -> errors.DownloadError:
    """Delete what arrived, so that the next call starts this file anew, and say so."""
    received_bytes = _length(partial)
    partial.unlink(missing_ok=True)
    return errors.DownloadError(
        f"{remote.path} arrived damaged: {why}; what arrived was deleted",
        received=f"{received_bytes} bytes",
        allowed=f"{remote.size_bytes} bytes with SHA-256 {remote.sha256}",
        hint="run the same command again; if it stays so, a proxy or mirror changes the file",
    )


def _is_whole(path: Path, remote: _Remote, progress: Progress, task: TaskID) -> bool:
    """Whether the file has the stated bytes, by reading all of it."""
    if not path.is_file() or path.stat().st_size != remote.size_bytes:
        return False
    progress.reset(task, description=f"{remote.path} (verifying)")
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_HASH_CHUNK_BYTES):
            digest.update(chunk)
            progress.advance(task, len(chunk))
    progress.update(task, description=remote.path)
    return digest.hexdigest() == remote.sha256


def _partial(out: Path, remote: _Remote) -> Path:
    # The hash in the name keeps the beginning of one version from the end of another.
    return (out / remote.path).with_name(f"{Path(remote.path).name}.{remote.sha256[:16]}.partial")


def _length(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _free_bytes(folder: Path) -> int:
    existing = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    return shutil.disk_usage(existing).free


def _bar_class(progress: Progress, task: TaskID) -> type[Any]:
    """What `http_get` takes for a tqdm class, drawing into a rich bar."""

    class Bar:
        def __init__(self, *, initial: int = 0, **_: object) -> None:
            progress.update(task, completed=initial)

        def update(self, n: int = 1) -> None:
            progress.advance(task, n)

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    return Bar


@contextmanager
def _explained(path: str) -> Iterator[None]:
    """Turn the client's and the system's errors into ours."""
    import httpx2
    from huggingface_hub import errors as hub

    try:
        yield
    except hub.HfHubHTTPError as error:
        status = error.response.status_code
        if isinstance(error, hub.RevisionNotFoundError):
            hint = f"{REPOSITORY} has no such revision; leave it out for the newest"
        elif isinstance(error, hub.RemoteEntryNotFoundError) or status == 404:
            hint = f"{REPOSITORY} has no such file at this revision; try another revision"
        elif status in (401, 403):
            hint = "set HF_TOKEN to a token that may read it (and accept the terms on its page)"
        else:
            hint = "the hub has trouble; run the same command later, it continues where it stopped"
        raise errors.DownloadError(
            f"the hub refused {path}",
            received=f"HTTP {status} from {error.response.request.url.copy_with(query=None)}",
            hint=hint,
        ) from error
    except (httpx2.HTTPError, httpx2.InvalidURL, hub.OfflineModeIsEnabled) as error:
        raise errors.DownloadError(
            f"the hub can't be reached for {path}",
            received=f"{type(error).__name__}: {error}",
            hint="check the network, HF_ENDPOINT, HF_HUB_OFFLINE and proxies, then run the same "
            "command again: it continues where it stopped",
        ) from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise errors.DownloadError(
            f"the disk is full: {path} is unfinished" if full else f"{path} can't be written",
            received=str(error),
            hint="make room, then run the same command again: it continues where it stopped"
            if full
            else "name a folder that you may write to",
        ) from error

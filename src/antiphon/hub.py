"""One file of a Hugging Face hub, whole and verified or not at all.

Names, metadata, tokens, redirects and retries are the hub client's. Two things are ours, since
huggingface_hub 2.4 does neither: its `hf_hub_download` (as Xet) starts an interrupted file again
from zero and deletes what had arrived, so a file is fetched by its `http_get` into
`NAME.HASH.partial`, which the next call continues by a `Range` request; and it compares only
lengths, so the SHA-256 of what arrived is compared here with the one that the hub states. Only a
file that passed gets its final name, by a rename.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.progress import Progress, TaskID

from antiphon import errors

__all__ = ["RemoteFile", "ask", "fetch", "is_whole", "partial_path"]

# The hub's content network answers one request with at most 50 GB: a file is asked for in windows.
_WINDOW_BYTES = 8 * 2**30


@dataclass(frozen=True)
class RemoteFile:
    """A file as the hub states it; `path` is the one inside the repository."""

    path: str
    url: str
    commit: str
    size_bytes: int
    sha256: str


def ask(repository: str, path: str, *, revision: str, endpoint: str | None = None) -> RemoteFile:
    """What the hub states of a file of the data set `repository` (owner/name).

    `revision` is a branch, tag or commit; `endpoint` a hub other than `HF_ENDPOINT`'s.

    Raises:
        DownloadError: the extra is missing, the hub can't be reached, refuses, or states no hash.
    """
    headers = _headers()
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    endpoint = (endpoint or os.environ.get("HF_ENDPOINT") or "").rstrip("/") or None
    url = partial(hf_hub_url, repository, path, repo_type="dataset", endpoint=endpoint)
    with _explained(path):
        stated = get_hf_file_metadata(url(revision=revision), headers=headers, endpoint=endpoint)
    sha256 = stated.etag or ""
    if not stated.commit_hash or stated.size is None or not re.fullmatch("[0-9a-f]{64}", sha256):
        raise errors.DownloadError(
            f"the server states no commit, size or SHA-256 of {path}, so it can't be verified",
            received=f"commit {stated.commit_hash}, size {stated.size}, etag {stated.etag}",
            hint="check that HF_ENDPOINT or the endpoint names a Hugging Face hub",
        )
    # The hub's own address: the signed one that it redirects to expires within a long transfer.
    pinned = url(revision=stated.commit_hash)
    return RemoteFile(path, pinned, stated.commit_hash, stated.size, sha256)


def partial_path(target: Path, remote: RemoteFile) -> Path:
    """Where an unfinished transfer waits; its name binds it to one version of the file."""
    return target.with_name(f"{target.name}.{remote.sha256[:16]}.partial")


def is_whole(path: Path, remote: RemoteFile, progress: Progress, task: TaskID) -> bool:
    """Whether the file has the stated bytes, by reading all of it."""
    with _explained(remote.path):
        if not path.is_file() or path.stat().st_size != remote.size_bytes:
            return False
        progress.reset(task, description=f"{remote.path} (verifying)")
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(2**22):
                digest.update(chunk)
                progress.advance(task, len(chunk))
        progress.update(task, description=remote.path)
        return digest.hexdigest() == remote.sha256


def fetch(remote: RemoteFile, target: Path, progress: Progress, task: TaskID) -> int:
    """Transfer, verify, then name one file; a file already at `target` is replaced at the end.

    Returns the bytes that an interrupted transfer had left and that were not sent again.

    Raises:
        DownloadError: the transfer broke (what arrived is kept and continued by the next call),
            the file arrived damaged (what arrived is deleted), or it can't be written.
    """
    unfinished = partial_path(target, remote)
    with _explained(remote.path), _alone(target):
        for other in target.parent.glob(f"{target.name}.*.partial"):
            if other != unfinished or other.stat().st_size > remote.size_bytes:
                other.unlink()  # of another version of the file
        resumed_from_bytes = unfinished.stat().st_size if unfinished.is_file() else 0
        try:
            _transfer(remote, unfinished, progress, task)
            if not is_whole(unfinished, remote, progress, task):
                raise _DamagedError("its SHA-256 isn't the stated one")
        except _DamagedError as error:
            unfinished.unlink(missing_ok=True)
            raise errors.DownloadError(
                f"{remote.path} arrived damaged and was deleted: {error}",
                allowed=f"{remote.size_bytes} bytes with SHA-256 {remote.sha256}",
                hint="run the same command again to fetch it anew; if it arrives damaged again, "
                "a proxy or mirror changes it",
            ) from error
        unfinished.replace(target)
    return resumed_from_bytes


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Keep a second process from appending to the same file."""
    from filelock import FileLock, Timeout

    target.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{target}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise errors.DownloadError(
            f"another download is writing {target}", hint="wait until it has ended"
        ) from error
    try:
        yield
    finally:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)


class _DamagedError(Exception):
    """What arrived is no beginning of the file that the hub states."""


def _transfer(remote: RemoteFile, unfinished: Path, progress: Progress, task: TaskID) -> None:
    """Append to `unfinished` until it has the stated length."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.file_download import http_get

    headers, bar = _headers(), _bar_class(progress, task)
    progress.start_task(task)
    with unfinished.open("ab") as file:
        while (begin := file.tell()) < remote.size_bytes:
            end = min(remote.size_bytes, (begin // _WINDOW_BYTES + 1) * _WINDOW_BYTES)
            window = {"Range": f"bytes=0-{end - 1}"} if end < remote.size_bytes else {}
            try:
                http_get(
                    remote.url,
                    file,
                    resume_size=begin,
                    headers=headers | window,
                    expected_size=end,
                    tqdm_class=bar,
                )
            except httpx2.NetworkError:
                # http_get itself goes on after a connection closed early, but not after a reset.
                if file.tell() == begin:
                    raise
            except HfHubHTTPError as error:
                if error.response.status_code != 416:
                    raise
                raise _DamagedError("the server's file ends earlier than stated") from error
            except OSError as error:
                if error.errno is not None:  # None is http_get's own check
                    raise
                raise _DamagedError("its length isn't the stated one") from error
        file.flush()
        os.fsync(file.fileno())


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


def _headers() -> dict[str, str]:
    """Headers of every request: who asks, and the token where there is one."""
    try:
        from huggingface_hub.utils import build_hf_headers
    except ImportError as error:
        raise errors.DownloadError(
            "downloading needs huggingface_hub, which isn't installed",
            hint="pip install 'antiphon[hub]'",
        ) from error
    # A compressed answer has no usable length and makes servers ignore Range.
    return {**build_hf_headers(library_name="antiphon"), "Accept-Encoding": "identity"}


@contextmanager
def _explained(path: str) -> Iterator[None]:
    """Turn the client's and the system's errors into ours."""
    import httpx2
    from huggingface_hub import errors as client

    again = "run the same command again: it continues where it stopped"
    try:
        yield
    except client.HfHubHTTPError as error:
        status = error.response.status_code
        hint = f"the hub has trouble; later, {again}"
        if status == 404:
            kind = "revision" if isinstance(error, client.RevisionNotFoundError) else "file"
            hint = f"the data set has no such {kind}; leave the revision out for the newest"
        elif status in (401, 403):
            hint = "set HF_TOKEN to a token that may read it, and accept the terms on its page"
        raise errors.DownloadError(
            f"the hub refused {path}",
            received=f"HTTP {status} from {error.response.request.url.copy_with(query=None)}",
            hint=hint,
        ) from error
    except (httpx2.HTTPError, httpx2.InvalidURL, client.OfflineModeIsEnabled) as error:
        raise errors.DownloadError(
            f"the hub can't be reached for {path}",
            received=f"{type(error).__name__}: {error}",
            hint=f"check the network, proxies, HF_ENDPOINT and HF_HUB_OFFLINE, then {again}",
        ) from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise errors.DownloadError(
            f"the disk is full: {path} is unfinished" if full else f"{path} can't be written",
            received=str(error),
            hint=f"make room, then {again}" if full else "name a folder that you may write to",
        ) from error

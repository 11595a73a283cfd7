"""The run folder: stage folders that are absent or complete, with manifests and hashes.

    runs/NAME/
      config.toml       the resolved config
      prepared/         one folder a stage; each holds a manifest.json
      model/
      evaluation/
      index/
      checkpoints/      of training that isn't done yet
      summary.json

A stage writes into a hidden sibling folder, which takes its name by one rename when all is on disk.
Its manifest holds the format version, the hash and size of every file, a fingerprint of what the
stage was computed from, and the hashes of the manifests of the stages it was computed from, so that
parts of different runs can't be mixed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from antiphon.errors import ArtifactError

__all__ = [
    "FORMAT_VERSION",
    "Stage",
    "fingerprint",
    "hash_file",
    "is_complete",
    "open_stage",
    "sweep",
    "write_json",
    "write_stage",
    "write_text",
]

FORMAT_VERSION = 1
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Stage:
    """A complete stage folder."""

    path: Path
    manifest: Mapping[str, Any]

    @property
    def hash(self) -> str:
        """The hash of the manifest, and through it of everything in the folder."""
        return fingerprint(self.manifest)


def fingerprint(value: object) -> str:
    """SHA-256 of a JSON-like value, independent of the order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, value: object) -> None:
    """Write JSON so that the file is either the old one or the whole new one."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file so that it is either the old one or the whole new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    _make_parent(path)
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _disk_error(path, error) from error


@contextlib.contextmanager
def write_stage(
    path: Path, *, made_from: object, inputs: Mapping[str, Stage] | None = None
) -> Iterator[Path]:
    """Yield an empty folder that becomes `path` when the block ends without an error.

    Args:
        path: the stage's folder; its name is the stage's name. An older one is replaced.
        made_from: whatever determines the result (config sections, hashes of files).
        inputs: the stages that this one was computed from, by name.

    Raises:
        ArtifactError: the disk is full or can't be written; nothing is left behind.
    """
    _make_parent(path)
    sweep(path)
    temporary = path.with_name(f".{path.name}.new-{os.getpid()}")
    try:
        temporary.mkdir()
        yield temporary
        names = sorted(p.relative_to(temporary).as_posix() for p in _files(temporary))
        manifest = {
            "format_version": FORMAT_VERSION,
            "stage": path.name,
            "made_from": fingerprint(made_from),
            "inputs": {name: stage.hash for name, stage in (inputs or {}).items()},
            "files": {
                name: {
                    "bytes": (temporary / name).stat().st_size,
                    "sha256": hash_file(temporary / name),
                }
                for name in names
            },
        }
        write_json(temporary / MANIFEST, manifest)
        _sync(temporary)
        if path.exists():
            path.rename(path.with_name(f".{path.name}.old-{os.getpid()}"))
        temporary.rename(path)
        _sync_folder(path.parent)
        sweep(path)
    except OSError as error:
        raise _disk_error(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def is_complete(path: Path, *, made_from: object, inputs: Mapping[str, Stage]) -> bool:
    """Whether `path` already holds this stage, made from the same things.

    A damaged or foreign folder counts as not complete: the stage is then made anew.
    """
    try:
        stage = open_stage(path, inputs=inputs)
    except ArtifactError:
        return False
    return bool(stage.manifest["made_from"] == fingerprint(made_from))


def open_stage(path: Path, *, inputs: Mapping[str, Stage] | None = None) -> Stage:
    """Open a stage folder and check every file in it.

    Args:
        path: the stage's folder.
        inputs: stages it must have been computed from, by name.

    Raises:
        ArtifactError: the folder is missing or incomplete, of another version, or a file in it is
            missing, truncated or swapped; the file is named.
    """
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(
            f"the run has no complete {path.name!r} stage",
            received=path,
            hint="run `antiphon run CONFIG`",
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path / MANIFEST} is damaged: {error}", hint=_REDO) from None
    version = manifest.get("format_version")
    if version != FORMAT_VERSION:
        raise ArtifactError(
            f"{path / MANIFEST} is of another format version",
            received=version,
            allowed=FORMAT_VERSION,
            hint="run it again with this version of antiphon, or use the version that wrote it",
        )
    if manifest.get("stage") != path.name:
        raise ArtifactError(
            f"{path} holds another stage", received=manifest.get("stage"), allowed=path.name
        )
    for name, stage in (inputs or {}).items():
        if manifest["inputs"].get(name) != stage.hash:
            raise ArtifactError(
                f"{path} was not computed from {stage.path}",
                received=f"{name} {manifest['inputs'].get(name)}",
                allowed=f"{name} {stage.hash}",
                hint="parts of different runs can't be mixed: run `antiphon run CONFIG` again",
            )
    files = manifest["files"].items()
    with ThreadPoolExecutor() as pool:  # hashing needs no interpreter
        list(pool.map(lambda one: _check_file(path / one[0], one[1]), files))
    return Stage(path, manifest)


_REDO = "remove the stage's folder and run `antiphon run CONFIG` again"


def _check_file(path: Path, expected: Mapping[str, Any]) -> None:
    if not path.is_file():
        raise ArtifactError(f"{path} is missing", hint=_REDO)
    size = path.stat().st_size
    if size != expected["bytes"]:
        raise ArtifactError(
            f"{path} is truncated or swapped",
            received=f"{size} bytes",
            allowed=f"{expected['bytes']} bytes",
            hint=_REDO,
        )
    found = hash_file(path)
    if found != expected["sha256"]:
        raise ArtifactError(
            f"{path} is damaged or swapped",
            received=f"sha256 {found}",
            allowed=f"sha256 {expected['sha256']}",
            hint=_REDO,
        )


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _sync(folder: Path) -> None:
    for path in _files(folder):
        with path.open("rb") as file:
            os.fsync(file.fileno())
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep(path: Path) -> None:
    """Remove what killed processes left beside `path`; keep what living ones are writing.

    Args:
        path: of a stage; its name may be a pattern.
    """
    for kind in ("new", "old"):
        for leftover in path.parent.glob(f".{path.name}.{kind}-*"):
            owner = int(leftover.name.rsplit("-", 1)[1])
            if owner == os.getpid() or not Path(f"/proc/{owner}").exists():
                shutil.rmtree(leftover, ignore_errors=True)


def _make_parent(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _disk_error(path, error) from error


def _disk_error(path: Path, error: OSError) -> ArtifactError:
    return ArtifactError(
        f"{path} can't be written: {error.strerror or error}",
        received=error.filename,
        hint="free some space or choose another folder; nothing half-written was left behind",
    )

"""The files a config names: found, recognised and identified."""

from __future__ import annotations

import functools
import glob
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from antiphon.artifacts import hash_file
from antiphon.config import expand
from antiphon.errors import ConfigError, LogError

__all__ = ["Files", "find_files", "hash_files"]

FileKind = Literal["parquet", "csv"]

_PARQUET = b"PAR1"
_CSV_ENDINGS = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".csv.zst", ".tsv.zst")


@dataclass(frozen=True)
class Files:
    """Files of one kind, in the order of the config and then of their names."""

    paths: tuple[Path, ...]
    kind: FileKind


def find_files(patterns: Sequence[str], key: str) -> Files:
    """The files that paths or globs stand for, relative to the working directory.

    Args:
        patterns: paths or globs, `${NAME}` filled in from the environment.
        key: where the config names them.

    Raises:
        ConfigError: nothing matches, the path is a URL, or the kinds are mixed or unknown.
        LogError: a file is empty, truncated or not what its name says.
    """
    paths: dict[Path, None] = {}
    for pattern in patterns:
        expanded = expand(pattern)
        if "://" in expanded:
            raise ConfigError(
                f"{key} must be a local file",
                received=pattern,
                hint="fetch it first; `antiphon download --help` tells how for Yambda",
            )
        found = sorted(Path(name) for name in glob.glob(expanded, recursive=True))  # noqa: PTH207
        found = [path for path in found if path.is_file()]
        if not found:
            raise ConfigError(
                f"{key}: no file matches",
                received=pattern if pattern == expanded else f"{pattern} = {expanded}",
                hint=f"paths are relative to the working directory, {Path.cwd()}",
            )
        paths.update(dict.fromkeys(found))
    kinds = {path: _kind(path, key) for path in paths}
    if len(set(kinds.values())) > 1:
        raise ConfigError(
            f"{key} mixes Parquet and CSV",
            received=", ".join(str(path) for path in paths),
            allowed="files of one kind",
        )
    return Files(tuple(paths), next(iter(kinds.values())))


def hash_files(paths: Sequence[Path]) -> list[str]:
    """SHA-256 of each file, several at a time; not read again while size and time stay."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(_hash, paths))


def _hash(path: Path) -> str:
    status = path.stat()
    return _hash_once(path.resolve(), status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=4096)
def _hash_once(path: Path, _size: int, _modified_ns: int) -> str:
    return hash_file(path)


def _kind(path: Path, key: str) -> FileKind:
    size = path.stat().st_size
    if size == 0:
        raise LogError(f"{key}: the file is empty", received=path)
    with path.open("rb") as file:
        start = file.read(4)
        file.seek(max(0, size - 4))
        end = file.read(4)
    if start == _PARQUET and size >= 12:
        if end != _PARQUET:
            raise LogError(
                f"{key}: the Parquet file is truncated",
                received=f"{path}, {size} bytes",
                hint="copy or download it again",
            )
        return "parquet"
    name = path.name.lower()
    if name.endswith(_CSV_ENDINGS):
        return "csv"
    if name.endswith((".parquet", ".pq")):
        raise LogError(
            f"{key}: not a Parquet file", received=path, hint="is it a CSV? then call it .csv"
        )
    raise ConfigError(
        f"{key}: neither Parquet nor CSV",
        received=path,
        allowed="Parquet, or " + ", ".join(_CSV_ENDINGS),
    )

"""What tuning found, kept by what it was found from."""

from __future__ import annotations

import contextlib
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from antiphon.artifacts import fingerprint, hash_file, write_json
from antiphon.errors import ArtifactError

__all__ = ["Store", "code_version"]


def code_version() -> str:
    """Changes whenever a baseline's code does."""
    folder = Path(__file__).parent
    return fingerprint({path.name: hash_file(path) for path in sorted(folder.glob("*.py"))})


class Store:
    """A folder of JSON files and arrays, named by baseline and content.

    What can't be read counts as not there.
    """

    def __init__(self, folder: Path | None, made_from: object) -> None:
        """Keep in `folder` (None: nowhere) what depends on `made_from`."""
        self.folder, self._made_from = folder, made_from

    def read(self, name: str, depends_on: object) -> Any | None:
        """What `write` was given."""
        path = self._path(name, depends_on, "json")
        if path is None:
            return None
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def write(self, name: str, depends_on: object, value: object) -> None:
        """Keep a JSON value.

        Raises:
            ArtifactError: the disk is full or can't be written.
        """
        if path := self._path(name, depends_on, "json"):
            write_json(path, value)

    def read_arrays(self, name: str, depends_on: object) -> dict[str, np.ndarray] | None:
        """What `write_arrays` was given."""
        path = self._path(name, depends_on, "npz")
        if path is None:
            return None
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return {key: arrays[key] for key in arrays.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            return None

    def write_arrays(self, name: str, depends_on: object, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep arrays, by name.

        Raises:
            ArtifactError: the disk is full or can't be written.
        """
        path = self._path(name, depends_on, "npz")
        if path is None:
            return
        temporary = path.with_name(f".{path.stem}.{os.getpid()}.npz")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(temporary, **arrays)  # type: ignore[arg-type]
            temporary.replace(path)
        except OSError as error:
            raise ArtifactError(
                f"{path} can't be written: {error.strerror or error}",
                received=error.filename,
                hint="free some space; what was found before is kept",
            ) from error
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()

    def _path(self, name: str, depends_on: object, suffix: str) -> Path | None:
        if self.folder is None:
            return None
        return self.folder / f"{name}-{fingerprint([self._made_from, depends_on])[:16]}.{suffix}"

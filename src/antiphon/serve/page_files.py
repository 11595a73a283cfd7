"""The page: a fixed table of files, read once; no request names a path."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

__all__ = ["PageFile", "page_files"]

TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "png": "image/png",
    "svg": "image/svg+xml",
}


@dataclass(frozen=True)
class PageFile:
    """A file and its media type."""

    content: bytes
    media_type: str


def page_files() -> dict[str, PageFile]:
    """The files of page/ by name."""
    return {
        entry.name: PageFile(entry.read_bytes(), TYPES[suffix])
        for entry in files("antiphon.serve").joinpath("page").iterdir()
        if entry.is_file() and (suffix := entry.name.rpartition(".")[2]) in TYPES
    }

"""Orders that all worker processes of a service follow, in one order: a file that only grows.

The supervisor makes the folder; it lives as long as the service. A worker that starts late, or
again, follows all orders from the first on and so comes to serve what the others do.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

__all__ = ["Order", "Orders"]


@dataclass(frozen=True)
class Order:
    """What to do; `path` is of the run to deploy."""

    do: Literal["deploy", "rollback"]
    path: str = ""


class Orders:
    """The orders of a service, as one of its workers sees them."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "orders"
        self._file.touch()
        self._folder = folder
        self._mine = folder / f"{os.getpid()}.followed"
        self.followed(0)

    def give(self, order: Order) -> int:
        """Add an order; returns its place, from 0 on."""
        with self._file.open("r+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            place = len(file.readlines())
            file.write(json.dumps(asdict(order)) + "\n")
        return place

    def since(self, place: int) -> list[Order]:
        """The orders from a place on."""
        with self._file.open(encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            return [Order(**json.loads(line)) for line in file.readlines()[place:]]

    def followed(self, count: int) -> None:
        """Tell the others how many this worker has followed."""
        temporary = self._mine.with_suffix(".new")
        temporary.write_text(str(count), encoding="utf-8")
        temporary.replace(self._mine)

    def least_followed(self) -> int:
        """How many orders all living workers have followed."""
        living = [p for p in self._folder.glob("*.followed") if Path(f"/proc/{p.stem}").exists()]
        return min((int(path.read_text(encoding="utf-8")) for path in living), default=0)

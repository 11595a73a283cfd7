"""The generating parameters, kept beside a log for its oracle: arrays and JSON, no pickle."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from antiphon.errors import ArtifactError
from antiphon.synthetic.laws import Laws
from antiphon.synthetic.people import People
from antiphon.synthetic.world import World

__all__ = ["TRUTH", "Truth"]

TRUTH = "truth"


@dataclass(frozen=True)
class Truth:
    """Everything a log was drawn from."""

    laws: Laws
    world: World
    people: People

    def save(self, folder: Path) -> None:
        """Write `laws.json` and one `.npy` an array into a new folder."""
        folder.mkdir(parents=True)
        self.laws.save(folder / "laws.json")
        for part in (self.world, self.people):
            for field in dataclasses.fields(part):
                path = folder / f"{field.name}.npy"
                np.save(path, getattr(part, field.name), allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> Truth:
        """Read what `save` wrote.

        Raises:
            ArtifactError: a part is missing or damaged.
        """

        def arrays(part: type[World] | type[People]) -> dict[str, Any]:
            names = [field.name for field in dataclasses.fields(part)]
            return {n: np.load(folder / f"{n}.npy", allow_pickle=False) for n in names}

        try:
            return cls(
                laws=Laws.load(folder / "laws.json"),
                world=World(**arrays(World)),
                people=People(**arrays(People)),
            )
        except (OSError, ValueError, TypeError) as error:
            raise ArtifactError(
                "the truth of this synthetic log can't be read",
                received=error,
                allowed=f"a folder {TRUTH}/ as written with the log",
                hint="generate the log anew, with the seed in its synthetic.json",
            ) from error

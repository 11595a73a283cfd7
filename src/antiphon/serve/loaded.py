"""A run in memory, ready to answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from antiphon.answers import Answer, Item
from antiphon.artifacts import fingerprint, open_stage
from antiphon.errors import GateError, RequestError
from antiphon.live import LiveStore
from antiphon.moments import Clock
from antiphon.outcome import read_evaluation, require_gates
from antiphon.recommend import Recommender
from antiphon.request import Request
from antiphon.retrieval import TrainedModel
from antiphon.serve.drift import Drift, reference_scores
from antiphon.serve.lookups import Lookups

__all__ = ["Alike", "LoadedRun", "identity"]

MANIFESTS = ("prepared", "model", "evaluation", "index")


@dataclass(frozen=True)
class Alike:
    """A wish for the items most like one."""

    item_id: int | str
    k: int


@dataclass(frozen=True)
class LoadedRun:
    """A run whose gates passed and whose parts fit together.

    Attributes:
        name: of the run's folder.
        version: changes with every byte of what answers.
        engine: what candidates are searched with.
        identity: of the folder when it was loaded; see `identity`.
        report: the evaluation's page, if the run was evaluated.
        evaluation: evaluation.json, if the run was evaluated.
        drift: of its scores since it was loaded.
    """

    name: str
    version: str
    engine: str
    identity: str
    recommender: Recommender
    lookups: Lookups
    report: bytes | None
    evaluation: dict[str, Any] | None
    drift: Drift
    since: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    @classmethod
    def load(cls, path: Path, live: LiveStore | None, clock: Clock | None = None) -> LoadedRun:
        """Check and open a run.

        Args:
            path: its folder.
            live: what came since it was trained.
            clock: see `Recommender`.

        Raises:
            GateError: a gate of its config failed, or wasn't checked.
            ArtifactError: a part is missing, damaged, of another version or of another run.
            BackendError: its index is in a database that can't be reached.
        """
        path = path.resolve()
        seen = identity(path)
        recommender = Recommender.load(path, live, clock)
        model = recommender.model
        evaluation, report = _evaluation(path, model)
        parts = [model.prepared.stage.hash, model.stage.hash, _hash(path / "index")]
        return cls(
            path.name,
            fingerprint(parts)[:16],
            _engine(path / "index" / "index.json"),
            seen,
            recommender,
            Lookups(recommender),
            report,
            evaluation,
            Drift(reference_scores(model)),
        )

    @property
    def run(self) -> dict[str, str]:
        """What each answer says of where it comes from."""
        return {"name": self.name, "version": self.version}

    def answer(self, asked: Sequence[Request | Alike]) -> list[Answer | list[Item] | Exception]:
        """Answer requests in order, side by side; an error stands for what is refused."""
        requests = [one for one in asked if isinstance(one, Request)]
        answers = iter(self.recommender.answer(requests) if requests else ())
        return [next(answers) if isinstance(one, Request) else self._alike(one) for one in asked]

    def _alike(self, asked: Alike) -> list[Item] | Exception:
        try:
            return self.recommender.similar(asked.item_id, asked.k)
        except RequestError as error:
            return error

    def warm_up(self, together: int) -> None:
        """Compile what answers need, so that nobody waits for it.

        Args:
            together: how many requests may be answered in one go.
        """
        self.recommender.warm_up(together)
        users = [None, *self.lookups.users(2)]
        self.recommender.answer([Request(user) for user in users])


def identity(path: Path) -> str:
    """Which files a run's path leads to now; cheap enough to ask every second."""
    path = path.resolve()
    stats = []
    for name in MANIFESTS:
        try:
            found = (path / name / "manifest.json").stat()
        except OSError:
            continue
        stats.append((name, found.st_ino, found.st_mtime_ns, found.st_size))
    return fingerprint([str(path), stats])


def _evaluation(path: Path, model: TrainedModel) -> tuple[dict[str, Any] | None, bytes | None]:
    """The evaluation of this very model and its page; a gate that wasn't checked has failed."""
    folder = path / "evaluation"
    if not folder.is_dir():
        gates = model.config.gates
        asked = [
            name for name in ("learned", "beats_baselines", "context_helps") if getattr(gates, name)
        ]
        if asked or gates.max_regression_vs is not None:
            raise GateError(
                "the run wasn't evaluated, so its gates weren't checked",
                received=path,
                allowed="every gate of the config's [gates] passes",
                hint="run `antiphon evaluate RUN` first",
            )
        return None, None
    open_stage(folder, inputs={"prepared": model.prepared.stage, "model": model.stage})
    evaluation = read_evaluation(path)
    require_gates(evaluation.get("gates") or {})
    return evaluation, (folder / "report.html").read_bytes()


def _hash(folder: Path) -> str | None:
    try:
        return fingerprint(json.loads((folder / "manifest.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def _engine(path: Path) -> str:
    if not path.exists():
        return "numpy"
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return str(document["engine"])

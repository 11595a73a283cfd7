"""What an evaluation came to: read back, and refused where a gate failed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from antiphon.errors import EvaluationError, GateError

__all__ = ["FORMAT_VERSION", "read_evaluation", "require_gates"]

FORMAT_VERSION = 1
"""Of evaluation.json."""

Json = dict[str, Any]


def require_gates(gates: Mapping[str, Json]) -> None:
    """Refuse an evaluation of which a gate failed.

    Raises:
        GateError: names the gates and what was found.
    """
    failed = {name: gate for name, gate in gates.items() if not gate["passed"]}
    if failed:
        raise GateError(
            f"{len(failed)} of {len(gates)} gates failed: {', '.join(failed)}",
            received="; ".join(gate["sentence"] for gate in failed.values()),
            allowed="every gate of the config's [gates] passes",
            hint="don't ship this run; the evaluation's report shows where it loses",
        )


def read_evaluation(run: Path) -> Json:
    """The evaluation.json of a run folder, or the file itself.

    Raises:
        EvaluationError: there is none, or it is of another version.
    """
    path = run / "evaluation" / "evaluation.json" if run.is_dir() else run
    try:
        document: Json = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise EvaluationError(
            f"there is no evaluation to read: {error}",
            received=path,
            hint="run `antiphon evaluate RUN` on that run first",
        ) from None
    if document.get("format_version") != FORMAT_VERSION:
        raise EvaluationError(
            f"{path} is of another format version",
            received=document.get("format_version"),
            allowed=FORMAT_VERSION,
        )
    return document

"""Every error a user can meet, as one tree.

    AntiphonError
    ├── ConfigError          the TOML or a --set is wrong
    ├── LogError             the interaction log or a feature table is wrong
    ├── ArtifactError        a part of a run is missing, damaged, swapped or of another version
    ├── TrainingError        training can't go on
    │   ├── NotLearningError the loss hasn't left chance
    │   ├── NonFiniteError   the loss is NaN or infinite
    │   ├── StoppedError     training was asked to stop, and can go on (exit code 75)
    │   └── PeerError        another process of the training is gone (exit code 76)
    ├── EvaluationError      an evaluation can't be done as asked
    │   └── GateError        a gate of the config failed (exit code 3)
    ├── RecallError          an index misses its target (exit code 3)
    ├── BackendError         a database or cluster can't be reached, or refuses
    ├── RequestError         a recommendation request is wrong
    └── DownloadError        a file of the hub could not be had whole

Each says what was wrong, what was received, what is allowed and what to do next.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "AntiphonError",
    "ArtifactError",
    "BackendError",
    "ConfigError",
    "DownloadError",
    "EvaluationError",
    "GateError",
    "LogError",
    "NonFiniteError",
    "NotLearningError",
    "PeerError",
    "RecallError",
    "RequestError",
    "StoppedError",
    "TrainingError",
    "did_you_mean",
]


class AntiphonError(Exception):
    """Base of all errors raised on purpose.

    Args:
        what: what was wrong, as one sentence.
        received: the offending value, shown as it came.
        allowed: what would have been accepted.
        hint: what to do next.
    """

    exit_code = 1

    def __init__(
        self,
        what: str,
        *,
        received: object = None,
        allowed: object = None,
        hint: str | None = None,
    ) -> None:
        self.what = what
        self.received = received
        self.allowed = allowed
        self.hint = hint
        lines = [what]
        if received is not None:
            lines.append(f"  received: {received}")
        if allowed is not None:
            lines.append(f"  allowed:  {allowed}")
        if hint is not None:
            lines.append(f"  next:     {hint}")
        super().__init__("\n".join(lines))


class ConfigError(AntiphonError):
    """The configuration is wrong."""

    exit_code = 2


class LogError(AntiphonError):
    """The interaction log, or a feature table beside it, is wrong."""


class ArtifactError(AntiphonError):
    """A part of a run is missing, damaged, swapped or of another version."""


class TrainingError(AntiphonError):
    """Training can't go on."""


class NotLearningError(TrainingError):
    """The loss has not left chance after the configured number of steps."""


class NonFiniteError(TrainingError):
    """The loss became NaN or infinite."""


class StoppedError(TrainingError):
    """Training was asked to stop, wrote a checkpoint and can go on from there."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h: not an error, try again later


class PeerError(TrainingError):
    """Another process of the training is gone, and so is what it was to compute."""

    exit_code = 76  # EX_PROTOCOL of sysexits.h: the other side didn't do its part

    @classmethod
    def of(cls, received: str) -> PeerError:
        """What is to be done is the same however it was noticed."""
        return cls(
            "another process of the training is gone",
            received=received,
            hint="its own last words say why. Run the same command again in all processes: "
            "training goes on from the last checkpoint, if there is one yet",
        )


class EvaluationError(AntiphonError):
    """An evaluation can't be done as asked."""


class GateError(EvaluationError):
    """A gate of the config failed."""

    exit_code = 3


class RecallError(AntiphonError):
    """An index finds less of what exact search finds than the config asks for."""

    exit_code = 3


class BackendError(AntiphonError):
    """A database or cluster can't be reached, refuses, or holds something else."""


class RequestError(AntiphonError):
    """A recommendation request is wrong."""

    exit_code = 2


class DownloadError(AntiphonError):
    """A file of the hub could not be had whole."""


def did_you_mean(received: str, allowed: Iterable[str]) -> str | None:
    """The nearest allowed word as a question, or None where nothing is near."""
    near = difflib.get_close_matches(received, list(allowed), n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else None

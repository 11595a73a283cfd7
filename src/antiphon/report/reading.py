"""evaluation.json, read: every figure by name, None where there is nothing.

docs/evaluation.md describes the JSON. What is shown to people is made from this and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from antiphon.errors import EvaluationError
from antiphon.evaluate import NOT_BASELINES
from antiphon.outcome import FORMAT_VERSION

__all__ = ["FEW_USERS", "MAIN_METRICS", "Difference", "Figure", "Loss", "Reading", "SliceGroup"]

MAIN_METRICS = ("ndcg_at_10", "recall_at_100")
FIRST_AFTER_CONTEXTS = "new_users"
FEW_USERS = 30
"""Resampling fewer users than this says little: a single one has an interval of no width."""
TARGET_SLICES = ("repeat", "discovery", "head", "middle", "tail", "cold_items")

Outcome = Literal["better", "worse", "level", "few", "open", "empty"]


@dataclass(frozen=True)
class Figure:
    """A figure and its 95% interval; None where it doesn't exist."""

    value: float | None = None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, cell: Mapping[str, Any] | None) -> Figure:
        """From `{value, low, high}`."""
        cell = cell or {}
        return cls(*(_float(cell.get(name)) for name in ("value", "low", "high")))


@dataclass(frozen=True)
class Difference:
    """One figure less another, of which more is better, with its paired 95% interval."""

    baseline: str | None = None
    users: int | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None

    @classmethod
    def of(cls, cell: Mapping[str, Any] | None, users: int | None = None) -> Difference:
        """From the cells of `comparisons` and of the context's lifts, over so many users."""
        cell = cell or {}
        names = ("difference", "low", "high", "ratio", "ratio_low", "ratio_high")
        return cls(cell.get("baseline"), users, *(_float(cell.get(name)) for name in names))

    @property
    def outcome(self) -> Outcome:
        """Better or worse where the interval is clear of zero, level where it holds zero.

        Few where there are too few users to trust an interval, open where none was computed,
        empty where there is nothing to compare.
        """
        if self.difference is None:
            return "empty"
        if self.low is None or self.high is None:
            return "open"
        if self.users is not None and self.users < FEW_USERS:
            return "few"
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "level"


@dataclass(frozen=True)
class Loss:
    """The losses of a training run beside chance, in nats, at some of its steps."""

    step: tuple[int, ...]
    loss: tuple[float, ...]
    chance: tuple[float, ...]


@dataclass(frozen=True)
class SliceGroup:
    """Slices that are looked at together: the values of a feature, lengths of history, ..."""

    name: str
    kind: Literal["all", "context", "history", "targets"]
    slices: tuple[str, ...]


class Reading:
    """The parts of a parsed evaluation.json.

    Raises:
        EvaluationError: it is of another version, or one of the parts that every evaluation has
            isn't there.
    """

    def __init__(self, evaluation: Mapping[str, Any]) -> None:
        version = evaluation.get("format_version")
        if version != FORMAT_VERSION:
            raise EvaluationError(
                "this evaluation.json has another version",
                received=f"format_version {version}",
                allowed=f"format_version {FORMAT_VERSION}",
                hint="evaluate the run again with this version of Antiphon",
            )
        for part in ("protocol", "slices", "models", "comparisons", "curves", "hashes"):
            if not isinstance(evaluation.get(part), Mapping):
                raise EvaluationError(
                    f"this evaluation.json lacks the part {part!r}",
                    received=", ".join(evaluation),
                    hint="it was cut short or edited: evaluate the run again",
                )
        if not evaluation["models"]:
            raise EvaluationError("this evaluation.json holds no model")
        self.json = evaluation
        self.protocol: Mapping[str, Any] = evaluation["protocol"]
        self.slices: Mapping[str, Mapping[str, Any]] = evaluation["slices"]
        self.hashes: Mapping[str, str] = evaluation["hashes"]

    @cached_property
    def subject(self) -> str | None:
        """The model under judgement: the one that the others are compared with."""
        models, compared = self.json["models"], self.json["comparisons"]
        if not compared:
            return "antiphon" if "antiphon" in models else None
        own = [name for name in models if name not in compared and name not in NOT_BASELINES]
        return own[0] if own else None

    @cached_property
    def baselines(self) -> tuple[str, ...]:
        """What the subject is compared with."""
        models = self.json["models"]
        return tuple(n for n in models if n != self.subject and n not in NOT_BASELINES)

    def models(self, metric: str, part: str = "all") -> list[str]:
        """All models, best first by a metric; those without a figure last."""

        def key(name: str) -> tuple[bool, float]:
            value = self.figure(name, part, metric).value
            return value is None, -(value or 0.0)

        return sorted(self.json["models"], key=key)

    def figure(self, model: str, part: str, metric: str) -> Figure:
        """One figure of a model; empty where slice or metric aren't there."""
        return Figure.of(self.json["models"].get(model, {}).get(part, {}).get(metric))

    def metrics(self) -> tuple[str, ...]:
        """The metrics that any model has, in the order of the JSON."""
        names: dict[str, None] = {}
        for model in self.json["models"].values():
            names.update(dict.fromkeys(model.get("all", {})))
        return tuple(names)

    def against(self, baseline: str, part: str, metric: str) -> Difference:
        """Subject less baseline; the baseline "best_baseline" is the best of slice and metric."""
        compared = self.json["comparisons"].get(baseline, {})
        return Difference.of(compared.get(part, {}).get(metric), self.users(part))

    def best_baseline(self, metric: str, part: str = "all") -> str | None:
        """The name of the best baseline of a slice and metric."""
        if self.is_empty(part):
            return None
        name = self.against("best_baseline", part, metric).baseline
        if name is None and self.subject is None:
            name = next((n for n in self.models(metric, part) if n in self.baselines), None)
        return name

    def users(self, part: str) -> int | None:
        """The users of a slice."""
        return self.slices.get(part, {}).get("users")

    def is_empty(self, part: str) -> bool:
        """Whether a slice has no query."""
        return not self.slices.get(part, {}).get("queries")

    def groups(self) -> list[SliceGroup]:
        """The slices by what they go by, in the order of the JSON."""
        names = list(self.slices)
        last = names.index(FIRST_AFTER_CONTEXTS) if FIRST_AFTER_CONTEXTS in names else len(names)
        by_feature: dict[str, list[str]] = {}
        for name in names[1:last]:
            by_feature.setdefault(feature_of(name), []).append(name)
        groups = [SliceGroup("all", "all", tuple(names[:1]))]
        groups += [SliceGroup(name, "context", tuple(own)) for name, own in by_feature.items()]
        rest = names[last:]
        history = tuple(name for name in rest if name not in TARGET_SLICES)
        targets = tuple(name for name in rest if name in TARGET_SLICES)
        if history:
            groups.append(SliceGroup("history", "history", history))
        if targets:
            groups.append(SliceGroup("targets", "targets", targets))
        return groups

    def differing(self, outcome: Outcome, metric: str) -> list[tuple[str, Difference]]:
        """The slices but "all" in which the subject fares so against the best baseline."""
        pairs = [
            (part, self.against("best_baseline", part, metric))
            for part in self.slices
            if part != "all"
        ]
        return [pair for pair in pairs if pair[1].outcome == outcome]

    @cached_property
    def loss(self) -> Loss | None:
        """The losses of training; None where none came with the evaluation."""
        part = self.json.get("loss") or {}
        columns = [part.get(name) for name in ("step", "loss", "chance")]
        if not all(columns):
            return None
        return Loss(*(tuple(column) for column in columns if column))

    def lift(self, way: str, part: str, metric: str) -> Difference:
        """The subject under the true context less itself under another: unknown, shuffled, ..."""
        lifts = self.json.get("context_lift") or {}
        return Difference.of(lifts.get(way, {}).get(part, {}).get(metric), self.users(part))

    def under(self, way: str, part: str, metric: str) -> Figure:
        """The subject's figure under a context: on, unknown, shuffled, flipped."""
        ways = self.json.get("context") or {}
        return Figure.of(ways.get(way, {}).get(part, {}).get(metric))

    def part(self, name: str) -> Any:
        """An optional part of the JSON; None where it wasn't measured."""
        return self.json.get(name)


def _float(value: Any) -> float | None:
    return None if value is None else float(value)


def feature_of(part: str) -> str:
    """The context feature that a slice such as `hour=6-12` or `age<20.5` goes by."""
    ends = [at for at in map(part.find, "=<>") if at > 0]
    return part[: min(ends)] if ends else part

"""Judging rankers side by side: figures by slice, paired differences, evaluation.json.

docs/evaluation.md describes the JSON, field by field.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int32

from antiphon.bootstrap import difference, ratio
from antiphon.errors import EvaluationError
from antiphon.figures import ACCURACY, CURVE_KS, KS, number
from antiphon.judge import GivenLists, Judge, Judged, Progress
from antiphon.outcome import FORMAT_VERSION
from antiphon.prepared import Prepared
from antiphon.queries import Ranker
from antiphon.schema import FittedCategorical
from antiphon.sections import EvaluateSection
from antiphon.windows import Window, held_out_window

__all__ = [
    "NOT_BASELINES",
    "Evaluation",
    "artist_feature",
    "compare",
    "evaluate_rankers",
    "paired",
]

NOT_BASELINES = ("oracle",)

Json = dict[str, Any]


@dataclass(frozen=True)
class Evaluation:
    """evaluation.json, part by part; parts that weren't measured are None.

    `judge` and `judged` stay in memory: who asked, and every ranker's lists.
    """

    protocol: Json
    slices: Json
    models: Json
    comparisons: Json
    curves: Json
    hashes: Json
    baselines: Json | None = None
    predictions: Json | None = None
    context: Json | None = None
    context_lift: Json | None = None
    lists: Json | None = None
    cold: Json | None = None
    examples: list[Json] | None = None
    loss: Json | None = None
    published: Json | None = None
    gates: Json | None = None
    judge: Judge = field(kw_only=True, compare=False, repr=False)
    judged: Mapping[str, Judged] = field(kw_only=True, compare=False, repr=False)

    def to_json(self) -> Json:
        """Everything but the lists themselves, ready for `artifacts.write_json`."""
        names = [part.name for part in fields(self) if part.compare]
        return {"format_version": FORMAT_VERSION, **{name: getattr(self, name) for name in names}}

    def value(self, model: str, part: str, metric: str) -> float | None:
        """One figure; None where the slice is empty."""
        figure: float | None = self.models[model][part][metric]["value"]
        return figure

    def with_parts(self, **parts: Any) -> Evaluation:
        """The same with more parts filled in."""
        return replace(self, **parts)


def evaluate_rankers(
    prepared: Prepared,
    rankers: Mapping[str, Ranker | GivenLists],
    section: EvaluateSection,
    *,
    window: Window | None = None,
    subject: str = "antiphon",
    seed: int = 0,
    progress: Progress | None = None,
    hashes: Mapping[str, str] | None = None,
) -> Evaluation:
    """Judge rankers on one window under one protocol.

    Args:
        prepared: the log.
        rankers: by the name they have in the tables; lists made elsewhere will do.
        section: protocol, exclusions, resamples.
        window: the test window by default; `validation_window(prepared, section)` for tuning, with
            rankers fitted on its `known` events only.
        subject: the ranker that the others are compared with; where it isn't there, nothing is.
        seed: of the resamples.
        progress: told the ranker's name and how far it has come.
        hashes: of the parts of the run that the rankers came from, to be kept in the JSON.

    Raises:
        EvaluationError: the window has no targets, or a ranker's lists can't be scored.
    """
    window = window or held_out_window(prepared, section)
    judge = Judge(
        window, section, creator=creator_codes(prepared, section), seed=seed, progress=progress
    )
    judged = {name: judge.judge(name, ranker) for name, ranker in rankers.items()}
    return Evaluation(
        protocol=_protocol(window, section, judge, seed),
        slices=judge.sizes(),
        models={name: judge.table(one) for name, one in judged.items()},
        comparisons=_comparisons(judge, judged, subject),
        curves={name: _curve(one) for name, one in judged.items()},
        hashes={
            "log": prepared.stage.manifest["made_from"],
            "prepared": prepared.stage.hash,
            **(hashes or {}),
        },
        judge=judge,
        judged=judged,
    )


def compare(judge: Judge, ours: Judged, theirs: Judged) -> dict[str, dict[str, Json]]:
    """`{slice: {metric: {difference, low, high, ratio, ratio_low, ratio_high}}}`.

    Ours minus theirs and ours over theirs, with paired intervals; the metrics of `ACCURACY` only,
    of which more is better.
    """
    columns = [ours.names.index(name) for name in ACCURACY]
    values, others = ours.values[:, columns], theirs.values[:, columns]
    above, below = ours.resampled[:, :, columns], theirs.resampled[:, :, columns]
    return {
        part.name: paired(ACCURACY, values[s], others[s], above[:, s], below[:, s])
        for s, part in enumerate(judge.slices)
    }


def paired(
    names: Sequence[str],
    values: Float64[np.ndarray, " metrics"],
    others: Float64[np.ndarray, " metrics"],
    draws: Float32[np.ndarray, "resamples metrics"],
    their_draws: Float32[np.ndarray, "resamples metrics"],
) -> dict[str, Json]:
    """`{metric: {difference, low, high, ratio, ratio_low, ratio_high}}` of values and others."""
    apart, times = difference(draws, their_draws), ratio(draws, their_draws)
    with np.errstate(invalid="ignore", divide="ignore"):
        gaps, quotients = values - others, values / others
    return {
        name: {
            "difference": number(gaps[m]),
            "low": number(apart.low[m]),
            "high": number(apart.high[m]),
            "ratio": number(quotients[m]),
            "ratio_low": number(times.low[m]),
            "ratio_high": number(times.high[m]),
        }
        for m, name in enumerate(names)
    }


def artist_feature(prepared: Prepared, section: EvaluateSection) -> str | None:
    """The item feature that says whose an item is.

    The one that `repetition` goes by; where there is none, the first categorical one.

    Raises:
        EvaluationError: as `creator_codes` does.
    """
    categorical = [f.name for f in prepared.schema.item if isinstance(f, FittedCategorical)]
    return _repetition_feature(categorical, section) or next(iter(categorical), None)


def creator_codes(
    prepared: Prepared, section: EvaluateSection
) -> Int32[np.ndarray, " items"] | None:
    """The codes that `repetition` goes by: the first value of the configured item feature.

    Raises:
        EvaluationError: the config names a feature that isn't there or isn't categorical.
    """
    categorical = [f.name for f in prepared.schema.item if isinstance(f, FittedCategorical)]
    name = _repetition_feature(categorical, section)
    if name is None:
        return None
    codes = np.asarray(prepared.item_feature(name))
    return np.ascontiguousarray(codes.reshape(len(codes), -1)[:, 0], np.int32)


def _repetition_feature(categorical: Sequence[str], section: EvaluateSection) -> str | None:
    name = section.repetition_feature or "artist"
    if name in categorical:
        return name
    if section.repetition_feature is None:
        return None
    raise EvaluationError(
        "evaluate.repetition_feature is no categorical item feature of the log",
        received=name,
        allowed=", ".join(categorical) or "none: the log has no such feature",
    )


def _comparisons(judge: Judge, judged: Mapping[str, Judged], subject: str) -> Json:
    """Against each baseline, and against the best one of each slice and metric."""
    if subject not in judged:
        return {}
    baselines = [name for name in judged if name not in (subject, *NOT_BASELINES)]
    against: Json = {name: compare(judge, judged[subject], judged[name]) for name in baselines}
    if not baselines:
        return against
    columns = [judged[subject].names.index(name) for name in ACCURACY]
    # the best by the figure itself; an empty slice has none, and the first stands in
    figures = np.stack([judged[name].values[:, columns] for name in baselines])
    best = np.nan_to_num(figures, nan=-1.0).argmax(0)
    against["best_baseline"] = {
        part.name: {
            metric: {"baseline": (who := baselines[best[s, m]]), **against[who][part.name][metric]}
            for m, metric in enumerate(ACCURACY)
        }
        for s, part in enumerate(judge.slices)
    }
    return against


def _curve(judged: Judged) -> Json:
    values, bounds = judged.curve
    return {
        "metric": "recall",
        "k": list(CURVE_KS),
        "value": [number(v) for v in values],
        "low": [number(v) for v in bounds.low],
        "high": [number(v) for v in bounds.high],
    }


def _protocol(window: Window, section: EvaluateSection, judge: Judge, seed: int) -> Json:
    schema = window.schema
    known = window.known
    test = window.name == "test"
    return {
        "name": section.protocol,
        "window": window.name,
        "known_before_s": schema.train_end_s if test else schema.validation_start_s - schema.gap_s,
        "start_s": schema.held_out_start_s if test else schema.validation_start_s,
        "end_s": schema.held_out_end_s if test else schema.train_end_s,
        "query_by": list(schema.context_names() if section.query_by is None else section.query_by),
        "exclude_heard": section.exclude_heard,
        "max_users": section.max_users,
        "ks": list(KS),
        "corpus": window.item_count,
        "known_events": known.count,
        "queries": len(window.queries),
        "users": judge.users.count,
        "targets": len(window.targets.item_number),
        "interval": "95%, bootstrap over users",
        "resamples": section.resamples,
        "seed": seed,
    }

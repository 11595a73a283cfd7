"""Gates: what must hold for an evaluation to pass, each with its figures and a sentence.

A gate that can't be checked, because what it looks at wasn't measured, has failed: silence must not
ship a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from antiphon.errors import EvaluationError, did_you_mean
from antiphon.evaluate import Evaluation
from antiphon.figures import ACCURACY
from antiphon.outcome import read_evaluation
from antiphon.sections import GatesSection

__all__ = ["check_gates"]

Json = dict[str, Any]

SAME_QUESTIONS = (
    "name",
    "window",
    "start_s",
    "end_s",
    "query_by",
    "exclude_heard",
    "queries",
    "users",
    "targets",
)


def check_gates(evaluation: Evaluation, section: GatesSection) -> Json:
    """`{gate: {passed, sentence, figures}}` for every gate that the config asks for.

    Raises:
        EvaluationError: the config names a metric or slice that doesn't exist, or the run of
            `max_regression_vs` can't be read or was asked other questions.
    """
    _check_names("gates.metrics", section.metrics, ACCURACY)
    _check_names("gates.slices", section.slices, tuple(evaluation.slices))
    gates: Json = {}
    if section.learned:
        gates["learned"] = _learned(evaluation)
    if section.beats_baselines:
        best = evaluation.comparisons.get("best_baseline")
        gates["beats_baselines"] = _better({"the best baseline": best}, section)
    if section.context_helps:
        lifts = evaluation.context_lift or {}
        others = {f"context {which}": lifts.get(which) for which in ("unknown", "shuffled")}
        gates["context_helps"] = _better(others, section)
    if section.max_regression_vs is not None:
        gates["max_regression_vs"] = _no_regression(evaluation, section, section.max_regression_vs)
    return gates


def _learned(evaluation: Evaluation) -> Json:
    """The loss is below chance, and lists are better than random ones."""
    figures: list[Json] = []
    sentences = []
    if evaluation.loss is not None:
        last, chance = evaluation.loss["loss"][-1], evaluation.loss["chance"][-1]
        figures.append({"what": "loss", "value": last, "limit": chance, "passed": last < chance})
        sentences.append(f"the loss ended at {last:.4g} where chance is {chance:.4g}")
    random = evaluation.comparisons.get("random")
    if random is not None:
        apart = random["all"]["recall_at_100"]
        figures.append({"what": "recall_at_100 over random", "limit": 0.0, **_judge(apart)})
        sentences.append(f"recall_at_100 is {_apart(apart)} better than that of random lists")
    if not figures:
        return _gate(False, "neither the loss nor random lists were there to compare with", [])
    return _gate(all(f["passed"] for f in figures), " and ".join(sentences), figures)


def _better(others: Mapping[str, Json | None], section: GatesSection) -> Json:
    """Every difference's interval is above zero."""
    figures: list[Json] = []
    for other, table in others.items():
        if not table:
            return _gate(False, f"{other} was not measured", [])
        for part in section.slices:
            for metric in section.metrics:
                apart = table[part][metric]
                what = f"{metric} of {part} over {apart.get('baseline', other)}"
                figures.append({"what": what, "limit": 0.0, **_judge(apart)})
    return _all_of(figures)


def _no_regression(evaluation: Evaluation, section: GatesSection, run: str) -> Json:
    """No figure is below that of another run by more than the share allowed."""
    other = read_evaluation(Path(run))
    for key in SAME_QUESTIONS:
        ours, theirs = evaluation.protocol[key], other["protocol"].get(key)
        if ours != theirs:
            raise EvaluationError(
                f"{run} was asked other questions: its {key} differs",
                received=theirs,
                allowed=ours,
                hint="evaluate both runs on the same log, split and protocol",
            )
    models, figures = other["models"], []
    for part in section.slices:
        for metric in section.metrics:
            mine = evaluation.value("antiphon", part, metric)
            theirs = models.get("antiphon", {}).get(part, {}).get(metric, {}).get("value")
            there = mine is not None and theirs is not None
            limit = theirs * (1 - section.max_regression) if there else None
            figures.append(
                {
                    "what": f"{metric} of {part} against {run}",
                    "value": mine,
                    "limit": limit,
                    "passed": mine is not None and limit is not None and mine >= limit,
                }
            )
    return _all_of(figures)


def _all_of(figures: list[Json]) -> Json:
    failed = [figure for figure in figures if not figure["passed"]]
    worst = failed or figures
    sentence = "; ".join(_sentence(figure) for figure in worst[:3])
    if len(worst) > 3:
        sentence += f"; and {len(worst) - 3} more"
    return _gate(not failed, sentence, figures)


def _sentence(figure: Json) -> str:
    if figure["value"] is None:
        return f"{figure['what']}: nothing to measure"
    if "low" in figure:
        return f"{figure['what']}: {_apart({**figure, 'difference': figure['value']})}"
    limit = "nothing" if figure["limit"] is None else f"{figure['limit']:.4g}"
    return f"{figure['what']}: {figure['value']:.4g}, at least {limit} wanted"


def _judge(apart: Json) -> Json:
    low = apart["low"]
    return {
        "value": apart["difference"],
        "low": low,
        "high": apart["high"],
        "passed": low is not None and low > 0,
    }


def _apart(apart: Json) -> str:
    if apart["difference"] is None:
        return "nothing"
    if apart["low"] is None:
        return f"{apart['difference']:+.4g} (no interval)"
    return f"{apart['difference']:+.4g} ({apart['low']:+.4g} to {apart['high']:+.4g})"


def _gate(passed: bool, sentence: str, figures: list[Json]) -> Json:
    return {"passed": passed, "sentence": sentence, "figures": figures}


def _check_names(key: str, names: tuple[str, ...], allowed: tuple[str, ...]) -> None:
    for name in names:
        if name not in allowed:
            raise EvaluationError(
                f"{key} names something that isn't in the evaluation",
                received=name,
                allowed=", ".join(allowed),
                hint=did_you_mean(name, allowed),
            )

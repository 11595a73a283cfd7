"""What an evaluation says, in words: did it learn, is it better, does context help, where it loses.

A claim is made only where its interval is clear of zero.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from antiphon.report import words
from antiphon.report.reading import MAIN_METRICS, Difference, Reading
from antiphon.report.words import Labels

__all__ = ["Finding", "findings"]

NAMED_SLICES = 4

Mark = Literal["good", "bad", "open"]


@dataclass(frozen=True)
class Finding:
    """One sentence of the verdict.

    Attributes:
        mark: good, bad, or open where nothing can be claimed.
        headline: the claim.
        amount: the figure that carries it; empty where there is none.
        unit: what the figure is.
        text: the claim's reasons, with figures and intervals.
    """

    mark: Mark
    headline: str
    amount: str
    unit: str
    text: str


def findings(reading: Reading, labels: Labels | None = None) -> list[Finding]:
    """The verdict, in the order in which one would ask."""
    return list(_findings(reading, labels))


def _findings(reading: Reading, labels: Labels | None) -> Iterator[Finding]:
    if reading.subject is None:
        yield Finding("open", "Only baselines were judged", "", "", "There is no model among them.")
        return
    yield _learned(reading)
    yield _beats(reading)
    yield _context(reading)
    if (loses := _loses(reading, labels)) is not None:
        yield loses


def _learned(reading: Reading) -> Finding:
    loss = reading.loss
    if loss is None:
        return Finding(
            "open", "How it learned isn't known", "", "", "No losses of training came with it."
        )
    gain = loss.chance[-1] - loss.loss[-1]
    odds = math.exp(min(abs(gain), 50))
    text = (
        f"After {words.count(loss.step[-1])} steps the loss is {loss.loss[-1]:.2f} nats, where "
        f"guessing costs {loss.chance[-1]:.2f}: "
    )
    if gain > 0:
        text += f"what was played is {words.times(odds)} as likely as chance has it."
    else:
        text += "no better than guessing."
    random, headline, mark = reading.against("random", "all", MAIN_METRICS[0]), "It learned", "good"
    if gain <= 0 or random.outcome == "worse":
        headline, mark = "It did not learn", "bad"
    elif random.outcome == "level":
        headline, mark = "Its lists are no better than random ones", "bad"
    if random.ratio is not None and random.outcome == "better":
        text += f" Its lists score {words.times(random.ratio)} what random ones do"
        text += f" on {words.metric(MAIN_METRICS[0])}."
    amount = words.signed(-gain, 2)
    return Finding("good" if mark == "good" else "bad", headline, amount, "nats to chance", text)


def _beats(reading: Reading) -> Finding:
    found = {m: reading.against("best_baseline", "all", m) for m in MAIN_METRICS}
    found = {metric: one for metric, one in found.items() if one.baseline is not None}
    if not found:
        return Finding(
            "open", "There is no baseline to beat", "", "", "It was judged alone: no claim is made."
        )
    name = words.model(reading.subject or "")
    text = " ".join(_both(reading, metric, name, one) + "." for metric, one in found.items())
    # the metric that decides the claim
    ranks = {"worse": 0, "better": 1}
    told = min(found, key=lambda metric: ranks.get(found[metric].outcome, 2))
    mark, claim = _claim(found)
    return Finding(mark, claim, words.times(found[told].ratio), words.metric(told), text)


def _claim(found: Mapping[str, Difference]) -> tuple[Mark, str]:
    """What may be said of all metrics together; each has its own best baseline."""
    best = " and ".join(dict.fromkeys(words.model(one.baseline or "") for one in found.values()))
    ways = {way: [m for m in found if found[m].outcome == way] for way in ("better", "worse")}
    won, lost = (" and ".join(map(words.metric, ways[way])) for way in ("better", "worse"))
    if won and lost:
        return "open", f"It beats the best baseline on {won} and loses to it on {lost}"
    if won:
        if len(ways["better"]) == len(found):
            return "good", f"It beats the best baseline, {best}"
        return "open", f"It beats the best baseline on {won} only"
    if lost:
        if len(ways["worse"]) == len(found):
            return "bad", f"It loses to the best baseline, {best}"
        return "bad", f"It loses to the best baseline on {lost}"
    match next(iter(found.values())).outcome:
        case "few":
            return "open", f"Too few users to tell it from the best baseline, {best}"
        case "open":
            return "open", f"Against the best baseline, {best}, no interval was computed"
        case "empty":
            return "open", "There was nothing to compare"
    return "open", f"It can’t be told from the best baseline, {best}"


def _both(reading: Reading, metric: str, name: str, against: Difference) -> str:
    """`ndcg@10 is 0.0490 for Antiphon and 0.0400 for ItemKNN: +0.0090 (95%: ...)`."""
    baseline = against.baseline or ""
    ours = reading.figure(reading.subject or "", "all", metric).value
    theirs = reading.figure(baseline, "all", metric).value
    return (
        f"{words.metric(metric)} is {words.figure(ours)} for {name} and {words.figure(theirs)} for "
        f"{words.model(baseline)}: {words.signed(against.difference)}{_within(against)}"
    )


def _within(against: Difference) -> str:
    bounds = words.interval(against)
    return f" (95%: {bounds})" if bounds else ""


def _context(reading: Reading) -> Finding:
    metric = MAIN_METRICS[0]
    unknown, shuffled = (reading.lift(way, "all", metric) for way in ("unknown", "shuffled"))
    if unknown.outcome == "empty":
        return Finding(
            "open",
            "Whether context helps wasn’t measured",
            "",
            "",
            "The log states no context, or the model was not asked without it.",
        )
    text = (
        f"Asked without the context, {words.metric(metric)} changes by "
        f"{words.signed(_minus(unknown.difference))}{_within(_reversed(unknown))}"
    )
    if shuffled.outcome != "empty":
        text += (
            f"; with somebody else’s context by {words.signed(_minus(shuffled.difference))}"
            f"{_within(_reversed(shuffled))}"
        )
    amount = _percent(unknown.ratio)
    outcomes = {unknown.outcome, shuffled.outcome} - {"empty"}
    if outcomes == {"better"}:
        return Finding("good", "Context helps", amount, "by the context", text + ".")
    if "worse" in outcomes:
        return Finding("bad", "Context hurts", amount, "by the context", text + ".")
    return Finding("open", "Context makes no sure difference", amount, "by the context", text + ".")


def _loses(reading: Reading, labels: Labels | None) -> Finding | None:
    metric = MAIN_METRICS[0]
    if reading.best_baseline(metric) is None:
        return None
    worse = sorted(reading.differing("worse", metric), key=lambda pair: pair[1].ratio or 0)
    better, level = (reading.differing(way, metric) for way in ("better", "level"))
    amount = f"{len(worse)} of {len(worse) + len(level) + len(better)}"
    rest = f"It is surely better in {words.plural(len(better), 'slice')}"
    rest += f"; in {words.count(len(level))} the two can’t be told apart." if level else "."
    if not worse:
        if not better:
            headline = "No slice is surely won or lost"
            return Finding("open", headline, amount, "slices lost", rest)
        return Finding("good", "It loses nowhere", amount, "slices lost", rest)
    named = [
        f"{words.part(part, labels)} ({words.signed(one.difference)} to "
        f"{words.model(one.baseline or '')})"
        for part, one in worse[:NAMED_SLICES]
    ]
    more = f", and {len(worse) - NAMED_SLICES} more" if len(worse) > NAMED_SLICES else ""
    text = f"The best baseline is surely better here: {', '.join(named)}{more}. {rest}"
    headline = f"It loses in {words.plural(len(worse), 'slice')}"
    return Finding("bad", headline, amount, "slices lost", text)


def _minus(value: float | None) -> float | None:
    return None if value is None else -value


def _reversed(found: Difference) -> Difference:
    return Difference(None, None, _minus(found.difference), _minus(found.high), _minus(found.low))


def _percent(ratio: float | None) -> str:
    return "" if ratio is None else f"{100 * (ratio - 1):+.1f}%".replace("-", "−")

"""What is claimed, and what is not."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon.errors import EvaluationError
from antiphon.report import words
from antiphon.report.reading import FEW_USERS, Difference, Figure, Reading
from antiphon.report.verdict import Finding, findings
from report_sample import sample


def small(**parts: Any) -> dict[str, Any]:
    """An evaluation of a model and one baseline, on one slice beside the whole."""
    cell = {"value": 0.05, "low": 0.04, "high": 0.06}
    other = {"value": 0.04, "low": 0.03, "high": 0.05}
    figures = {name: {"ndcg_at_10": cell, "recall_at_100": cell} for name in ("all", "new_users")}
    others = {name: {"ndcg_at_10": other, "recall_at_100": other} for name in ("all", "new_users")}
    slices = {
        name: {"queries": 3, "users": 200, "targets": 4, "description": name} for name in figures
    }
    return {
        "format_version": 1,
        "protocol": {"name": "standard", "window": "test", "corpus": 9},
        "slices": slices,
        "models": {"antiphon": figures, "ials": others},
        "comparisons": {"ials": against(0.01), "best_baseline": against(0.01, baseline="ials")},
        "curves": {},
        "hashes": {"prepared": "00"},
        **parts,
    }


def against(
    difference: float, low: float | None = 0.005, high: float | None = 0.015, **more: Any
) -> dict[str, Any]:
    """The same difference everywhere."""
    cell = {"difference": difference, "low": low, "high": high, "ratio": 1 + difference, **more}
    return {part: {"ndcg_at_10": cell, "recall_at_100": cell} for part in ("all", "new_users")}


def verdict(**parts: Any) -> list[Finding]:
    return findings(Reading(small(**parts)))


def compared(difference: float, low: float | None, high: float | None) -> dict[str, Any]:
    best = against(difference, low, high, baseline="ials")
    return {"comparisons": {"ials": against(difference, low, high), "best_baseline": best}}


@pytest.mark.parametrize(
    ("difference", "low", "high", "mark", "claim"),
    [
        (0.01, 0.005, 0.015, "good", "It beats the best baseline, iALS"),
        (-0.01, -0.02, -0.001, "bad", "It loses to the best baseline, iALS"),
        (0.01, -0.001, 0.02, "open", "It can’t be told from the best baseline, iALS"),
        (0.01, 0.0, 0.02, "open", "It can’t be told from the best baseline, iALS"),
        (0.01, None, None, "open", "Against the best baseline, iALS, no interval was computed"),
    ],
)
def test_a_claim_needs_an_interval_clear_of_zero(
    difference: float, low: float | None, high: float | None, mark: str, claim: str
) -> None:
    found = verdict(**compared(difference, low, high))[1]
    assert (found.mark, found.headline) == (mark, claim)


@pytest.mark.parametrize(
    ("ndcg", "recall", "mark", "claim"),
    [
        (0.01, 0.0, "open", "It beats the best baseline on ndcg@10 only"),
        (0.0, -0.01, "bad", "It loses to the best baseline on recall@100"),
        (
            0.01,
            -0.01,
            "open",
            "It beats the best baseline on ndcg@10 and loses to it on recall@100",
        ),
    ],
)
def test_a_claim_names_the_metrics_it_holds_for(
    ndcg: float, recall: float, mark: str, claim: str
) -> None:
    comparisons = compared(ndcg, ndcg - 0.005, ndcg + 0.005)["comparisons"]
    other = compared(recall, recall - 0.005, recall + 0.005)["comparisons"]["best_baseline"]["all"]
    comparisons["best_baseline"]["all"]["recall_at_100"] = other["recall_at_100"]
    found = verdict(comparisons=comparisons)[1]
    assert (found.mark, found.headline) == (mark, claim)


def test_a_few_users_carry_no_claim() -> None:
    slices = small()["slices"]
    for part in slices.values():
        part["users"] = FEW_USERS - 1
    found = verdict(slices=slices)
    assert found[1].headline == "Too few users to tell it from the best baseline, iALS"
    # one user has an interval of no width, which is always clear of zero
    assert Difference.of({"difference": 0.3, "low": 0.3, "high": 0.3}, users=1).outcome == "few"


def test_the_figures_stand_in_the_sentence() -> None:
    found = verdict()[1]
    assert found.text.startswith(
        "ndcg@10 is 0.0500 for Antiphon and 0.0400 for iALS: +0.0100 (95%: +0.0050 to +0.0150)."
    )
    assert found.amount == "1.01×"


@pytest.mark.parametrize(
    ("last", "mark", "amount"),
    [(7.0, "good", "−2.00"), (9.0, "bad", "0.00"), (9.5, "bad", "+0.50")],
)
def test_a_loss_at_chance_has_not_learned(last: float, mark: str, amount: str) -> None:
    loss = {"step": [1, 2], "loss": [9.0, last], "chance": [9.0, 9.0]}
    found = verdict(loss=loss)[0]
    assert found.mark == mark
    assert found.amount == amount


def test_two_nats_are_e_squared_times_as_likely() -> None:
    loss = {"step": [1, 2], "loss": [9.0, 7.0], "chance": [9.0, 9.0]}
    assert "7.39× as likely" in verdict(loss=loss)[0].text  # e ** 2 = 7.389


def test_lists_like_random_ones_have_not_learned_whatever_the_loss_says() -> None:
    loss = {"step": [1, 2], "loss": [9.0, 7.0], "chance": [9.0, 9.0]}
    comparisons = {**compared(0.01, 0.005, 0.015)["comparisons"], "random": against(0.0, -0.1, 0.1)}
    found = verdict(loss=loss, comparisons=comparisons)[0]
    assert (found.mark, found.headline) == ("bad", "Its lists are no better than random ones")


@pytest.mark.parametrize(
    ("unknown", "shuffled", "mark", "claim"),
    [
        ((0.01, 0.005, 0.015), (0.02, 0.01, 0.03), "good", "Context helps"),
        ((0.01, 0.005, 0.015), (0.0, -0.01, 0.01), "open", "Context makes no sure difference"),
        ((-0.01, -0.015, -0.005), (0.02, 0.01, 0.03), "bad", "Context hurts"),
    ],
)
def test_context_must_beat_both_none_and_anothers(
    unknown: tuple[float, float, float],
    shuffled: tuple[float, float, float],
    mark: str,
    claim: str,
) -> None:
    lift = {"unknown": against(*unknown), "shuffled": against(*shuffled)}
    found = verdict(context_lift=lift)[2]
    assert (found.mark, found.headline) == (mark, claim)


def test_where_it_loses_is_named() -> None:
    comparisons = compared(0.01, 0.005, 0.015)["comparisons"]
    lost = {"difference": -0.02, "low": -0.03, "high": -0.01, "ratio": 0.6, "baseline": "ials"}
    comparisons["best_baseline"]["new_users"]["ndcg_at_10"] = lost
    found = verdict(comparisons=comparisons)[3]
    assert (found.mark, found.headline, found.amount) == ("bad", "It loses in 1 slice", "1 of 1")
    assert "New users (−0.0200 to iALS)" in found.text


def test_a_draw_is_no_win() -> None:
    found = verdict(**compared(0.01, -0.01, 0.02))[3]
    assert (found.mark, found.headline) == ("open", "No slice is surely won or lost")
    won = verdict()[3]
    assert (won.mark, won.headline) == ("good", "It loses nowhere")
    assert won.text == "It is surely better in 1 slice."


def test_nothing_measured_is_nothing_claimed() -> None:
    assert [one.mark for one in verdict(comparisons={})] == ["open", "open", "open"]
    only = {"models": {"ials": small()["models"]["ials"]}, "comparisons": {}}
    assert [one.headline for one in verdict(**only)] == ["Only baselines were judged"]


def test_the_sample_is_read_whole() -> None:
    reading = Reading(sample())
    assert reading.subject == "antiphon"
    assert "oracle" not in reading.baselines
    assert reading.best_baseline("ndcg_at_10") == "item_knn"
    assert reading.best_baseline("ndcg_at_10", "tab=unknown") is None
    assert reading.is_empty("tab=unknown")
    kinds = {group.name: (group.kind, len(group.slices)) for group in reading.groups()}
    assert kinds == {
        "all": ("all", 1),
        "tab": ("context", 3),
        "history": ("history", 5),
        "targets": ("targets", 6),
    }


def test_lists_made_elsewhere_are_judged_under_their_own_name() -> None:
    given = small()
    given["models"] = {"mine": given["models"]["antiphon"], "ials": given["models"]["ials"]}
    assert Reading(given).subject == "mine"
    assert findings(Reading(given))[1].text.startswith("ndcg@10 is 0.0500 for mine")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format_version": 2}, "another version"),
        ({"format_version": None}, "another version"),
        ({"models": None}, "lacks the part 'models'"),
        ({"models": {}}, "holds no model"),
        ({"slices": [1]}, "lacks the part 'slices'"),
    ],
)
def test_what_is_no_evaluation_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(EvaluationError, match=said):
        Reading(small(**change))


def test_figures_are_written_alike() -> None:
    assert words.figure(0.04567) == "0.0457"
    assert words.figure(0.00001) == "1e−05"
    assert words.figure(0.0) == "0.0000"
    assert words.figure(None) == "–"
    assert words.signed(0.01) == "+0.0100"
    assert words.signed(-0.01) == "−0.0100"
    assert words.interval(Figure(0.5, 0.4, 0.6)) == "0.4000–0.6000"
    assert words.interval(Difference(None, None, 0.0, -0.1, 0.1)) == "−0.1000 to +0.1000"
    assert words.tight(Difference(None, None, 0.0, -0.1, 0.1)) == "−.1000…+.1000"
    assert words.times(1.234) == "1.23×"
    assert words.times(1234.0) == "1,234×"
    assert words.plural(1, "query", "queries") == "1 query"
    assert words.metric("hit_rate_at_10") == "hit@10"
    assert words.moment(2600) == "second 2,600"
    assert words.moment(1_650_000_000) == "2022-04-15 05:20:00 UTC"

"""The tables for the terminal: all there, within a hundred columns."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rich.console import Console, RenderableType

from antiphon.errors import EvaluationError
from antiphon.report import compare_runs, evaluation_table
from report_sample import sample

COLUMNS = 100


def shown(what: RenderableType) -> str:
    console = Console(width=COLUMNS, force_terminal=False, no_color=True)
    with console.capture() as capture:
        console.print(what)
    return capture.get()


def test_the_table_has_all_models_slices_contexts_and_gates() -> None:
    text = shown(evaluation_table(sample(), labels={"tab=search": "[red]searching[/]"}))
    lines = text.splitlines()
    assert max(map(len, lines)) <= COLUMNS
    for words in ("● Antiphon", "□ ItemKNN", "◇ Oracle", "[red]searching[/]", "Cold items"):
        assert words in text, words
    for words in ("empty", "Shuffled", "✓ It learned.", "✓ passed", "gates: 3 passed, 0 failed"):
        assert words in text, words
    for words in ("Cold items alone: 150 candidates", "Random order", "Most popular artist"):
        assert words in text, words
    figures = sample()["models"]["antiphon"]["all"]["ndcg_at_10"]
    line = next(line for line in lines if "● Antiphon" in line)
    bounds = f"{figures['low']:.4f}–{figures['high']:.4f}".replace("0.", ".")
    assert f"{figures['value']:.4f} {bounds}" in line


def test_a_row_stays_on_a_line() -> None:
    lines = shown(evaluation_table(sample())).splitlines()
    rows = [
        line
        for line in lines
        if line.lstrip().startswith(("●", "□", "◇")) or line.startswith("   ")
    ]
    names = {"Most popular", "Popular in context", "Own history", "Seed recipe", "Random"}
    for name in names:
        assert any(name in row and row.rstrip().endswith(tuple("0123456789")) for row in rows), name


def test_parts_that_were_not_measured_are_left_out() -> None:
    evaluation = sample(resamples=0)
    for part in ("loss", "context", "context_lift", "lists", "cold", "gates"):
        evaluation[part] = None
    text = shown(evaluation_table(evaluation))
    assert "Shuffled" not in text
    assert "gates" not in text
    assert "Cold items alone" not in text
    assert "no interval was computed" in text


def test_what_was_found_in_lists_made_elsewhere_is_told() -> None:
    evaluation = sample()
    evaluation["predictions"] = {"lists": 1873, "short": 12, "surplus": 0, "heard": 1}
    text = shown(evaluation_table(evaluation))
    assert "12 of 1,873 lists have fewer than 100 items" in text
    assert "1 rows name what their user had" in text
    assert "below place" not in text


def test_equal_runs_do_not_differ() -> None:
    table, document = compare_runs([("one", sample()), ("other", sample())])
    text = shown(table)
    assert max(map(len, text.splitlines())) <= COLUMNS
    assert "warning" not in text
    (empty,) = (line for line in text.splitlines() if "1000+ events" in line)
    assert empty.split() == ["1000+", "events", "empty"]
    assert document["warnings"] == []
    for metrics in document["figures"].values():
        for cells in metrics.values():
            assert cells[0]["value"] == cells[1]["value"]
            assert cells[1]["difference"] in (0.0, None)
            assert cells[1]["apart"] in (False, None)
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_differences_are_against_the_first_run() -> None:
    table, document = compare_runs([("good", sample()), ("worse", sample(blur=3.0))])
    one, other = document["figures"]["all"]["ndcg_at_10"]
    assert other["difference"] == pytest.approx(other["value"] - one["value"], abs=1e-6)
    assert other["difference"] < 0
    assert other["apart"]
    assert one["difference"] is None
    assert "▼" in shown(table)
    lift = sample()["context_lift"]["unknown"]["all"]["ndcg_at_10"]["difference"]
    assert document["runs"][0]["context_lift"]["ndcg_at_10"]["difference"] == lift


def test_runs_of_other_logs_and_protocols_are_warned_of() -> None:
    other = sample(protocol="yambda-paper")
    other["hashes"]["log"] = "another"
    table, document = compare_runs([("mine", sample()), ("theirs", other)])
    assert "theirs was judged on another log than mine" in document["warnings"][0]
    assert len(document["warnings"]) == 2
    assert "name yambda-paper, not standard" in document["warnings"][1]
    assert "warning: theirs was judged on another log" in shown(table)


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_runs_are_refused(count: int) -> None:
    with pytest.raises(EvaluationError, match="nothing to compare"):
        compare_runs([("one", sample())] * count)


def test_a_run_without_a_model_is_refused() -> None:
    bare: dict[str, Any] = sample()
    del bare["models"]["antiphon"]
    bare["comparisons"] = {}
    with pytest.raises(EvaluationError, match="holds no model"):
        compare_runs([("one", sample()), ("bare", bare)])

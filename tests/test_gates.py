"""Gates, and the published figures that stand beside a run's."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from antiphon.artifacts import write_json
from antiphon.context_report import context_report
from antiphon.errors import EvaluationError, GateError
from antiphon.evaluate import Evaluation, evaluate_rankers
from antiphon.examples import examples
from antiphon.gates import check_gates
from antiphon.outcome import require_gates
from antiphon.prepared import Prepared
from antiphon.published import published
from antiphon.sections import EvaluateSection, GatesSection
from antiphon.windows import held_out_window
from tiny import FixedLists, write_prepared

USERS = range(1, 21)
GOOD = {(u, tab): [tab, 3] for u in USERS for tab in (1, 2)} | {(u, 0): [4] for u in USERS}
BAD = [4, 3]
LOSS = {"step": [1, 2], "loss": [9.0, 7.0], "chance": [9.0, 9.0]}


def prepare(folder: Path) -> Prepared:
    train = [(u, 1 + u % 2, 10, 1 + u % 2) for u in USERS]
    test = [(u, tab, 100 + tab, tab) for u in USERS for tab in (1, 2)]
    return write_prepared(folder, train, test, item_count=4, user_count=20)


def judged(folder: Path, ours: object = GOOD, theirs: object = BAD) -> Evaluation:
    model = FixedLists(ours)  # type: ignore[arg-type]
    rankers = {"antiphon": model, "random": FixedLists([3]), "ease": FixedLists(theirs)}  # type: ignore[arg-type]
    evaluation = evaluate_rankers(prepare(folder), rankers, EvaluateSection(resamples=100))
    return context_report(evaluation, model).with_parts(loss=LOSS)


def gate(evaluation: Evaluation, **asked: object) -> dict:
    (found,) = check_gates(evaluation, GatesSection(**asked)).values()
    return found


def test_no_gates_are_asked_for_by_default(tmp_path: Path) -> None:
    assert check_gates(judged(tmp_path), GatesSection()) == {}
    require_gates({})


def test_a_good_model_passes(tmp_path: Path) -> None:
    evaluation = judged(tmp_path)
    section = GatesSection(learned=True, beats_baselines=True, context_helps=True)
    gates = check_gates(evaluation, section)
    assert list(gates) == ["learned", "beats_baselines", "context_helps"]
    assert all(one["passed"] for one in gates.values()), gates
    require_gates(gates)
    assert "7" in gates["learned"]["sentence"]
    # two metrics over the best baseline; two metrics over unknown and shuffled each
    assert len(gates["beats_baselines"]["figures"]) == 2
    assert len(gates["context_helps"]["figures"]) == 4


def test_a_model_that_equals_the_best_baseline_fails(tmp_path: Path) -> None:
    found = gate(judged(tmp_path, theirs=GOOD), beats_baselines=True)
    assert not found["passed"]
    assert "ndcg_at_10 of all over ease: +0 (+0 to +0)" in found["sentence"]


def test_a_model_that_ignores_the_context_fails(tmp_path: Path) -> None:
    assert not gate(judged(tmp_path, ours=[1, 2]), context_helps=True)["passed"]


@pytest.mark.parametrize("last", [9.0, 9.5, math.nan])
def test_a_loss_at_chance_has_not_learned(tmp_path: Path, last: float) -> None:
    evaluation = judged(tmp_path).with_parts(loss={**LOSS, "loss": [9.0, last]})
    assert not gate(evaluation, learned=True)["passed"]


def test_random_lists_have_not_learned(tmp_path: Path) -> None:
    assert not gate(judged(tmp_path, ours=[3]), learned=True)["passed"]


def test_what_was_not_measured_has_failed(tmp_path: Path) -> None:
    model = FixedLists(GOOD)
    evaluation = evaluate_rankers(
        prepare(tmp_path), {"antiphon": model}, EvaluateSection(resamples=9)
    )
    for name in ("learned", "beats_baselines", "context_helps"):
        assert not gate(evaluation, **{name: True})["passed"], name


def test_an_empty_slice_has_failed(tmp_path: Path) -> None:
    found = gate(judged(tmp_path), beats_baselines=True, slices=("all", "new_users"))
    assert not found["passed"]
    assert "nothing to measure" in found["sentence"]


def test_regression_against_another_run(tmp_path: Path) -> None:
    old, new = judged(tmp_path / "a"), judged(tmp_path / "b", ours=[1, 2])
    write_json(tmp_path / "old" / "evaluation" / "evaluation.json", old.to_json())
    run = str(tmp_path / "old")
    assert gate(old, max_regression_vs=run)["passed"]
    worse = gate(new, max_regression_vs=run)
    # recall stays 1; ndcg fell from 1 to (1 + 1/log2(3)) / 2 = 0.815
    assert not worse["passed"]
    assert "0.8155, at least 0.98 wanted" in worse["sentence"]
    assert gate(new, max_regression_vs=run, max_regression=0.2)["passed"]
    assert gate(new, max_regression_vs=run, metrics=("recall_at_100",))["passed"]


def test_runs_that_were_asked_other_questions_are_not_compared(tmp_path: Path) -> None:
    evaluation = judged(tmp_path)
    document = evaluation.to_json()
    for part, what in [
        ({"protocol": {**document["protocol"], "start_s": 7}}, "start_s differs"),
        ({"protocol": {**document["protocol"], "targets": 7}}, "targets differs"),
        ({"format_version": 0}, "format version"),
    ]:
        write_json(tmp_path / "old.json", {**document, **part})
        with pytest.raises(EvaluationError, match=what):
            gate(evaluation, max_regression_vs=str(tmp_path / "old.json"))
    with pytest.raises(EvaluationError, match="no evaluation to read"):
        gate(evaluation, max_regression_vs=str(tmp_path / "nowhere"))


def test_a_slice_that_the_other_run_lacks_has_failed(tmp_path: Path) -> None:
    evaluation = judged(tmp_path)
    document = evaluation.to_json()
    models = {"antiphon": {"all": document["models"]["antiphon"]["all"]}}
    write_json(tmp_path / "old.json", {**document, "models": models})
    asked = {"max_regression_vs": str(tmp_path / "old.json"), "slices": ("all", "tab=home")}
    found = gate(evaluation, **asked)
    assert not found["passed"]
    assert {f["what"].split()[2]: f["passed"] for f in found["figures"]} == {
        "all": True,
        "tab=home": False,
    }


def test_failed_gates_are_refused_by_name(tmp_path: Path) -> None:
    evaluation = judged(tmp_path, ours=[1, 2])
    gates = check_gates(evaluation, GatesSection(learned=True, context_helps=True))
    with pytest.raises(GateError, match="1 of 2 gates failed: context_helps") as caught:
        require_gates(gates)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("asked", [{"metrics": ("ndcg_10",)}, {"slices": ("everything",)}])
def test_names_that_do_not_exist_are_refused(tmp_path: Path, asked: dict) -> None:
    with pytest.raises(EvaluationError, match="isn't in the evaluation"):
        gate(judged(tmp_path), learned=True, **asked)


def test_examples_have_the_logs_ids(tmp_path: Path) -> None:
    evaluation = judged(tmp_path)
    found = examples(prepare(tmp_path / "again"), evaluation)
    first = found[0]
    assert first["user"] in range(1001, 1021)
    assert [one["context"] for one in first["lists"]] == [{"tab": "home"}, {"tab": "search"}]
    home = first["lists"][0]
    assert [item["item"] for item in home["items"]] == [501, 503]
    assert [item["played"] for item in home["items"]] == [True, False]
    assert home["targets"] == 1
    heard = 501 + first["user"] % 2
    assert all(i["heard"] == (i["item"] == heard) for one in first["lists"] for i in one["items"])


def test_published_figures_stand_beside_yambda_only(tmp_path: Path) -> None:
    elsewhere = held_out_window(prepare(tmp_path), EvaluateSection())
    assert published(elsewhere, {}, synthetic=False) is None
    day = 25_913_600
    prepared = write_prepared(
        tmp_path / "yambda",
        [(1, 1, 10, 1)],
        [(1, 1, day, 1)],
        item_count=1,
        user_count=1,
        train_end_s=25_911_800,
        held_out_start_s=day,
    )
    for section, differences in [
        (EvaluateSection(resamples=0), 3),
        (EvaluateSection(resamples=0, protocol="yambda-paper", query_by=()), 1),
    ]:
        evaluation = evaluate_rankers(prepared, {"antiphon": FixedLists([1])}, section)
        asked = evaluation.judge.window, evaluation.protocol
        assert published(*asked, synthetic=True) is None
        found = published(*asked, synthetic=False)
        assert found is not None
        assert found["figures"]["ItemKNN"]["ndcg_at_10"] == 0.0781
        assert len(found["differs"]) == differences, "one user isn't Yambda's 9,238"

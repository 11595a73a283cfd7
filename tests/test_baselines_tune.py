"""Tuning: it finds planted knobs, knows nothing of the future, and remembers what it found."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from antiphon.artifacts import Stage
from antiphon.baselines import NAMES, factors, store, tune, tune_baselines
from antiphon.baselines.recipes import RECIPES
from antiphon.baselines.search import Tried, search
from antiphon.config import EvaluateSection
from antiphon.errors import ArtifactError, EvaluationError
from antiphon.prepared import Events, Prepared
from antiphon.queries import Queries, queries_of_window
from antiphon.schema import Schema
from baseline_log import DAY, TAB

QUICK = tuple(name for name in NAMES if name != "seed")
SECTION = EvaluateSection()
VALIDATION_DAY, END_DAY, GAP_S = 80, 90, 3600


def prepared(
    user: np.ndarray, item: np.ndarray, day: np.ndarray, tab: np.ndarray, items: int
) -> Prepared:
    """Training ends on day 90; the validation window is its last 10 days, with a gap of an hour."""
    seconds = np.round(np.asarray(day, float) * DAY).astype(np.int64)
    schema = Schema(
        context=(TAB,),
        item_count=items,
        user_count=int(user.max()),
        train_end_s=END_DAY * DAY,
        held_out_start_s=END_DAY * DAY + GAP_S,
        held_out_end_s=100 * DAY,
        validation_start_s=VALIDATION_DAY * DAY,
        gap_s=GAP_S,
    )

    def events(chosen: np.ndarray) -> Events:
        rows = np.flatnonzero(chosen)
        rows = rows[np.lexsort((seconds[rows], user[rows]))]
        offsets = np.searchsorted(user[rows], np.arange(schema.user_count + 2)).astype(np.int64)
        return Events(
            offsets[:-1],
            offsets[1:],
            item[rows].astype(np.int32),
            seconds[rows],
            np.ones(len(rows), bool),
            {"tab": tab[rows].astype(np.int32)},
        )

    train = seconds < schema.train_end_s
    manifest = {"made_of": [array.tolist() for array in (user, item, seconds, tab)]}
    return Prepared(Stage(Path("prepared"), manifest), schema, events(train), events(~train))


def habits(seed: int = 0, *, again: float = 0.8, users: int = 60, items: int = 40) -> Prepared:
    """Users who play what they had in the same tab with probability `again`, never else."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(1, users + 1):
        had: dict[int, list[int]] = {1: [], 2: []}
        for day in np.sort(rng.random(60) * 100):
            tab = int(rng.integers(1, 3))
            strange = sorted(set(range(1, items + 1)) - set(had[1]) - set(had[2]))
            if (had[tab] and rng.random() < again) or not strange:
                item = int(rng.choice(had[tab] or [1]))
            else:
                item = int(rng.choice(strange))
                had[tab].append(item)
            rows.append((user, item, day, tab))
    user, item, day, tab = np.array(rows).T
    return prepared(user.astype(int), item.astype(int), day, tab.astype(int), items)


def trends(days: int) -> Prepared:
    """Everybody plays the item of the current period, of `days`, half of the time; else any."""
    rng = np.random.default_rng(0)
    count = 4000
    day = rng.random(count) * 100
    of_period = 1 + (day // days).astype(int) % 60
    item = np.where(rng.random(count) < 0.5, of_period, rng.integers(1, 61, count))
    # the period before the window goes on in it
    late = day > VALIDATION_DAY
    item = np.where(late & (item == of_period), 1 + int((VALIDATION_DAY - 1) // days) % 60, item)
    user = rng.integers(1, 41, count)
    return prepared(user, item, day, np.ones(count, int), 60)


def asked(log: Prepared) -> Queries:
    return queries_of_window(log.held_out, log.schema.user_count, log.schema.held_out_start_s)[0]


# --- what is found


def test_a_planted_half_life_is_found() -> None:
    fitted = tune_baselines(trends(1), SECTION, names=["decayed_popular", "most_popular"])
    half_life = fitted["decayed_popular"].knobs["half_life_days"]
    assert half_life is not None
    assert half_life <= 2, "what was played yesterday is played today"
    assert fitted["decayed_popular"].validation > 1.2 * fitted["most_popular"].validation


def test_planted_contexts_and_repeats_are_found() -> None:
    fitted = tune_baselines(habits(again=0.9), SECTION, names=["own_history", "random"])
    own = fitted["own_history"]
    assert own.knobs["context_weight"] >= 0.8
    assert own.knobs["exclude_heard"] is False
    assert own.validation > 2 * fitted["random"].validation


def test_where_nobody_comes_back_what_was_heard_is_left_out() -> None:
    fitted = tune_baselines(
        habits(again=0.0, items=200), SECTION, names=["own_history", "item_knn"]
    )
    assert all(one.knobs["exclude_heard"] for one in fitted.values())


def test_all_baselines_answer_and_tell_what_they_are() -> None:
    log = habits(users=30)
    told: list[str] = []
    fitted = tune_baselines(log, SECTION, names=QUICK, progress=told.append)
    assert tuple(fitted) == QUICK
    queries = asked(log)
    for name, one in fitted.items():
        numbers, scores = one.rank(queries, 10, exclude_heard=False)
        assert numbers.shape == scores.shape == (len(queries), 10)
        assert one.name == name
        assert 0 <= one.validation <= 1
        assert set(one.knobs) == {*RECIPES[name].grid(("tab",)), "exclude_heard"}
        assert f"fitting {name}" in told
        assert one.tried >= 1
        assert one.tuned_to()["knobs"] == one.knobs
        assert one.tuned_to()["validation"] == pytest.approx(one.validation, rel=1e-5)
        assert name == "random" or one.validation > fitted["random"].validation


def test_a_section_that_leaves_out_what_was_heard_tunes_for_that() -> None:
    section = SECTION.model_copy(update={"exclude_heard": True})
    fitted = tune_baselines(habits(), section, names=["own_history", "most_popular"])
    assert all(one.knobs["exclude_heard"] for one in fitted.values())


# --- what must not be known


def _with_items(events: Events, rows: np.ndarray) -> Events:
    items = events.item_number.copy()
    items[rows] = 1 + items[rows] % 40
    return replace(events, item_number=items)


def test_nothing_is_learned_from_the_test_window() -> None:
    log = habits(users=15)
    other = replace(
        log, held_out=_with_items(log.held_out, np.arange(len(log.held_out.item_number)))
    )
    first, again = (tune_baselines(one, SECTION, names=QUICK) for one in (log, other))
    queries = asked(log)
    for name in QUICK:
        assert first[name].knobs == again[name].knobs
        np.testing.assert_array_equal(
            first[name].rank(queries, 20, exclude_heard=False)[0],
            again[name].rank(queries, 20, exclude_heard=False)[0],
        )


def test_tuning_does_not_know_the_gap_before_its_window(tmp_path: Path) -> None:
    log = habits(users=25)
    # an hour of the gap is too short for many events: move some into it
    times = log.events.timestamp_s.copy()
    start = VALIDATION_DAY * DAY
    inside = (times < start) & (times >= start - 2 * DAY)
    times[inside] = start - GAP_S + (times[inside] - start + 2 * DAY) * GAP_S // (2 * DAY)
    log = replace(log, events=replace(log.events, timestamp_s=times))
    assert inside.sum() > 20
    other = replace(log, events=_with_items(log.events, np.flatnonzero(inside)))
    for one, folder in ((log, "a"), (other, "b")):
        tune_baselines(one, SECTION, names=QUICK, cache=tmp_path / folder)
    kept = [
        sorted(json.loads(path.read_text())["tried"].__repr__() for path in folder.glob("*.json"))
        for folder in (tmp_path / "a", tmp_path / "b")
    ]
    assert kept[0] == kept[1]
    assert len(kept[0]) == len(QUICK)


# --- how settings are tried


def test_one_knob_after_another() -> None:
    seen: list[dict[str, Any]] = []

    def judge(knobs: dict[str, Any]) -> Tried:
        seen.append(knobs)
        return Tried(
            {**knobs, "exclude_heard": False}, -1.0 * abs(knobs["a"] - 3) - abs(knobs["b"] - 1)
        )

    grid = {"a": (1, 2, 3), "b": (0, 1, 2)}
    recipe = replace(RECIPES["own_history"], slow=("a",))
    tried = list(search(recipe, grid, judge))
    assert [one.knobs["a"] for one in tried] == [1, 2, 3, 3, 3]
    assert max(tried, key=lambda one: one.validation).knobs == {
        "a": 3,
        "b": 1,
        "exclude_heard": False,
    }
    assert all(seen.count(knobs) == 1 for knobs in seen)
    seen.clear()
    list(search(replace(recipe, exhaustive=True), grid, judge))
    assert len(seen) == 9


def test_a_log_without_a_validation_window_takes_the_defaults() -> None:
    log = habits()
    before = replace(log, events=log.events.before(VALIDATION_DAY * DAY))
    fitted = tune_baselines(before, SECTION, names=["own_history", "decayed_popular"])
    assert fitted["own_history"].validation is None
    assert fitted["own_history"].tuned_to()["tried"] == 0
    assert fitted["decayed_popular"].knobs == {"half_life_days": 7.0, "exclude_heard": False}


def test_unknown_names() -> None:
    with pytest.raises(EvaluationError, match="item_knn") as caught:
        tune_baselines(habits(), SECTION, names=["item_kn"])
    assert caught.value.hint == "did you mean 'item_knn'?"


def test_without_implicit(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (factors, tune):
        monkeypatch.setattr(module, "has_implicit", lambda: False)
    assert "ials" not in tune._checked(None)
    assert "item_knn" in tune._checked(None)
    with pytest.raises(EvaluationError, match="implicit") as caught:
        tune_baselines(habits(), SECTION, names=["bpr"])
    assert "antiphon[baselines]" in str(caught.value)


# --- what is kept


def test_what_was_found_is_not_looked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, names = habits(users=20), ["own_history", "ials", "context_popular"]
    first = tune_baselines(log, SECTION, names=names, cache=tmp_path)
    monkeypatch.setattr(tune, "search", lambda *_: pytest.fail("tuned again"))
    unfittable = replace(RECIPES["ials"], fit=lambda *_: pytest.fail("fitted again"))
    monkeypatch.setattr(tune, "RECIPES", {**RECIPES, "ials": unfittable})
    again = tune_baselines(log, SECTION, names=names, cache=tmp_path)
    for name in names:
        assert first[name].knobs == again[name].knobs
        assert first[name].validation == again[name].validation
        assert first[name].tried == again[name].tried > 0
    np.testing.assert_array_equal(
        first["ials"].scorer.factors.item, again["ials"].scorer.factors.item
    )


@pytest.mark.parametrize("change", ["log", "section", "code"])
def test_something_else_is_looked_for_anew(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, section = habits(), SECTION
    tune_baselines(log, section, names=["most_popular"], cache=tmp_path)
    before = set(tmp_path.iterdir())
    match change:
        case "log":
            log = habits(1)
        case "section":
            section = section.model_copy(update={"query_by": ()})
        case "code":
            monkeypatch.setattr(tune, "code_version", lambda: "another")
    tune_baselines(log, section, names=["most_popular"], cache=tmp_path)
    assert len(set(tmp_path.iterdir()) - before) == 2, "itself and what fills it up"


def test_a_damaged_cache_counts_as_none(tmp_path: Path) -> None:
    log, names = habits(users=20), ["ials"]
    first = tune_baselines(log, SECTION, names=names, cache=tmp_path)["ials"]
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:40])
    again = tune_baselines(log, SECTION, names=names, cache=tmp_path)["ials"]
    assert first.knobs == again.knobs
    np.testing.assert_array_equal(first.scorer.factors.item, again.scorer.factors.item)
    assert not list(tmp_path.glob(".*")), "nothing half-written is left"


def test_a_full_disk_says_so_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, **_: object) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(ArtifactError, match="No space left on device"):
        store.Store(tmp_path, "a log").write_arrays("ials", {}, {"item": np.zeros(3)})
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(ArtifactError, match="can't be written"):
        store.Store(tmp_path / "file", "a log").write_arrays("ials", {}, {"item": np.zeros(3)})


def test_the_code_version_is_that_of_the_files() -> None:
    assert store.code_version() == store.code_version()
    assert len(store.code_version()) == 64

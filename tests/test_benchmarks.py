"""The pure parts of benchmarks, and of the page that is made of them."""

from __future__ import annotations

import json
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from antiphon.config import Config
from antiphon.own_library import own_items
from antiphon.windows import held_out_window
from searched_run import trained_model

ROOT = Path(__file__).resolve().parent.parent

with pytest.MonkeyPatch.context() as patch:
    patch.setattr(sys, "path", [str(ROOT / "benchmarks"), str(ROOT / "scripts"), *sys.path])
    _made_up_log = import_module("_made_up_log")
    _stopwatch = import_module("_stopwatch")
    ablations = import_module("ablations")
    bench = import_module("bench")
    catalogue = import_module("catalogue")
    full_scale = import_module("full_scale")
    day = import_module("day")
    equal_quality = import_module("equal_quality")
    limits = import_module("limits")
    newcomers = import_module("newcomers")
    performance_page = import_module("performance_page")
    shapes = import_module("shapes")
    training = import_module("training")


def moment(wall_s: float, processor_s: float = 0.0) -> Any:
    return _stopwatch.Moment(wall_s, processor_s, 7)


def test_a_step_time_is_the_median_over_spans_by_their_steps() -> None:
    # 2 steps in 4 s, 2 in 40 s (something else ran), 1 in 3 s: 2, 20 and 3 s a step
    reached = [(10, moment(0)), (12, moment(4, 2)), (14, moment(44, 4)), (15, moment(47, 9))]
    found = _stopwatch.measured(30, reached)
    assert found["steps"] == 5
    assert found["step_seconds"] == 3
    assert found["least_step_seconds"] == 2
    assert found["step_processor_seconds"] == 1  # of 1, 1 and 5
    assert found["examples_per_second"] == 10
    assert found["anonymous_memory_bytes"] == 7


def test_ratios_are_of_examples_a_second() -> None:
    cases: dict[str, dict[str, Any]] = {
        "plain_9m": {"batch_size": 1024, "step_seconds": 0.01},
        "same_loss_9m": {"batch_size": 8192, "step_seconds": 0.2},
        "antiphon_9m": {"batch_size": 1024, "step_seconds": 0.02},
        "seed_9m": {"batch_size": 8192, "step_seconds": 1.6},
        "torch_sparse_9m": {"missing": "PyTorch isn't installed"},
    }
    # 102,400 and 5,120 examples a second; 40,960 of the same loss
    assert training.ratios(cases, ["9m"]) == {
        "seed_9m": 20.0,
        "seed_same_loss_9m": 8.0,
        "torch_sparse_9m": None,
    }
    found = training.ratios({**cases, "attention_9m": cases["plain_9m"]}, ["9m"], training.ALL_ON)
    assert found == {"seed_9m": 10.0, "torch_sparse_9m": None, "attention_9m": 0.5}
    del cases["seed_9m"]  # left out
    assert training.ratios(cases, ["9m"])["seed_9m"] is None
    assert set(training.WANTED) == {f"{n}_{s}" for n in training.RATIOS for s in training.SIZES}


def test_the_least_round_counts_and_the_most_memory() -> None:
    rounds = [
        {"step_seconds": 2.0, "peak_memory_bytes": 5},
        {"step_seconds": 1.0, "peak_memory_bytes": 3},
    ]
    found = training.together(rounds)
    assert found["step_seconds"] == 1.0
    assert found["peak_memory_bytes"] == 5
    assert found["step_seconds_by_round"] == [2.0, 1.0]
    assert training.together([{"missing": "why"}]) == {"missing": "why"}


def test_growth_leaves_out_what_could_not_be_measured() -> None:
    points = [
        {"case": "plain", "items": 10, "step_seconds": 2.0},
        {"case": "seed", "items": 10, "step_seconds": 1.0},
        {"case": "plain", "items": 1000, "step_seconds": 3.0},
        {"case": "seed", "items": 1000, "missing": "too large"},
    ]
    assert catalogue.growth(points, "step_seconds") == {"plain": 1.5}


def test_products_of_a_program_are_counted_in_loops_too() -> None:
    def program(a: jax.Array, b: jax.Array) -> jax.Array:
        def body(total: jax.Array, row: jax.Array) -> tuple[jax.Array, None]:
            return total + row @ b, None

        total, _ = jax.lax.scan(body, jnp.zeros((2, 5)), jnp.stack([a] * 7))
        return jax.jit(lambda x: jnp.einsum("ij,kj->ik", x, x))(total)

    found = limits.products(jax.make_jaxpr(program)(jnp.ones((2, 3)), jnp.ones((3, 5))).jaxpr)
    by_flop = Counter({product.flop: times for product, times in found.items()})
    # 7 of [2, 3] x [3, 5], 2 * 2 * 3 * 5 each; one of [2, 5] x [5, 2], 2 * 2 * 5 * 2
    assert by_flop == {60: 7, 40: 1}


def test_products_in_batches_are_counted_once_a_batch() -> None:
    product = limits.Product((4, 2, 3), (4, 3, 5), (((2,), (1,)), ((0,), (0,))))
    assert product.flop == 4 * 2 * 2 * 3 * 5


def test_own_times_leave_out_what_lies_within() -> None:
    def event(name: str, ts: float, dur: float, tid: int = 1) -> dict[str, Any]:
        return {"name": name, "ts": ts, "dur": dur, "pid": 1, "tid": tid}

    events = [
        event("loop", 0, 10),
        event("dot", 1, 3),
        event("exp", 2, 1),  # within the dot
        event("dot", 6, 2),
        event("dot", 10, 5),  # after the loop
        event("exp", 0, 4, tid=2),
    ]
    # loop 10 - 3 - 2; dot 3 - 1 + 2 + 5; exp 1 + 4
    assert limits.own_times(events) == {"loop": 5, "dot": 9, "exp": 5}


def test_a_profile_has_the_largest_and_the_rest() -> None:
    own = Counter({f"op{n}": 1000 * (n + 1) for n in range(limits.LISTED + 2)})
    known = {"op16": ("f32[2]", "jit(step)/tower/hidden/dot_general")}
    rows = limits.listed(own, known, steps=2)
    assert rows[0]["ms"] == 8.5  # 17,000 us in two steps
    assert rows[0]["of"] == "tower/hidden/dot_general"
    assert rows[-1]["op"] == "2 others"
    assert rows[-1]["ms"] == 1.5  # 1,000 and 2,000 us
    assert sum(row["share"] for row in rows) == pytest.approx(1, abs=1e-3)


def test_instructions_are_found_in_a_program() -> None:
    text = '  ROOT %dot.1 = f32[2,2]{1,0} dot(%a, %b), metadata={op_name="jit(f)/dot_general"}\n'
    assert limits.described(text) == {"dot.1": ("f32[2,2]{1,0}", "jit(f)/dot_general")}


def test_what_has_stopped_rising() -> None:
    assert not equal_quality.stopped_rising([0.1, 0.2], patience=2)
    assert not equal_quality.stopped_rising([0.1, 0.2, 0.15, 0.21], patience=2)
    assert equal_quality.stopped_rising([0.1, 0.2, 0.15, 0.2], patience=2)


def test_time_to_equal_quality_is_that_of_the_first_judgement_as_good() -> None:
    def points(*pairs: tuple[float, float]) -> dict[str, Any]:
        return {"points": [{"seconds": s, "recall_at_100": r} for s, r in pairs]}

    seed = points((10, 0.1), (20, 0.3), (30, 0.2))
    ours = {"antiphon": points((1, 0.2), (4, 0.3), (5, 0.25)), "plain": points((1, 0.29))}
    found = equal_quality.compared(seed, ours)
    assert (found["recall_at_100"], found["seed_seconds"]) == (0.3, 20)
    assert found["ours"]["antiphon"]["ratio"] == 5.0
    assert found["ours"]["plain"] is None


def test_a_made_up_log_is_a_prepared_one(tmp_path: Path) -> None:
    size = _made_up_log.Size(30, 70)
    _made_up_log.write_log(size, tmp_path)
    _made_up_log.write_content(tmp_path)
    assert _made_up_log.size_of(tmp_path) == size
    config, prepared, counts = _made_up_log.open_log(tmp_path, ["train.epochs=0.5"], content=True)
    assert config.train.epochs == 0.5
    assert counts.sum() == prepared.events.count
    for feature in prepared.schema.item:
        values = prepared.item_feature(feature.name)
        assert len(values) == 71
        if hasattr(feature, "cardinality"):
            assert values.max() <= feature.cardinality
            assert not np.any(values[0])
    assert np.all(np.diff(prepared.events.timestamp_s[: prepared.events.ends[1]]) >= 0)


def test_results_are_flat() -> None:
    kept = bench.document("training", ["--quick"], 1.26, {"ratios": {"seed_9m": 1.0}})
    assert kept["ratios"] == {"seed_9m": 1.0}
    assert kept["measured_on"]["seconds"] == 1.3
    assert kept["measured_on"]["versions"]["jax"]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """What two benchmarks may have found."""
    points = [
        {
            "case": case,
            "items": items,
            "step_seconds": 0.01,
            "examples_per_second": 100_000 // (1 + place),
            "peak_memory_bytes": 2**30 + items,
        }
        for place, case in enumerate(("plain", "content"))
        for items in (10_000, 10_000_000)
    ]
    points += [
        {**points[0], "case": "seed"},
        {"case": "seed", "items": 10_000_000, "missing": "the process ended with code -9"},
    ]
    found = {
        "catalogue": {
            "described": {"plain": "plain", "content": "all", "seed": "the seed"},
            "points": points,
        },
        "synth": {},
    }
    for name, one in found.items():
        text = json.dumps(bench.document(name, [], 2.0, one))
        (tmp_path / f"{name}.json").write_text(text, encoding="utf-8")
    return tmp_path


def test_a_page_is_made_of_the_results_there_are(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["performance_page.py", "--results", str(results)])
    assert performance_page.main() == 0
    page = (results / "performance.md").read_text(encoding="utf-8")
    assert "10.0 ms, 1.01 GiB" in page
    assert "the process ended with code -9" in page
    assert "`synth.json`" in page
    assert "## How close to the limit" not in page
    for name in ("catalogue-time.svg", "catalogue-memory.svg"):
        assert f"(plots/{name})" in page
        drawn = ElementTree.parse(results / "plots" / name).getroot()
        text = [node.text for node in drawn.iter() if node.tag.endswith("text")]
        assert {"10k", "10M", "the seed's recipe"} <= set(text)
        lines = [node for node in drawn.iter() if node.tag.endswith("polyline")]
        assert len(lines) == 3


def page_of(found: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The page of what each benchmark found."""
    for name, one in found.items():
        text = json.dumps(bench.document(name, [], 2.0, one))
        (folder / f"{name}.json").write_text(text, encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["performance_page.py", "--results", str(folder)])
    assert performance_page.main() == 0
    return (folder / "performance.md").read_text(encoding="utf-8")


def test_a_limit_of_memory_is_told_in_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = {
        "step_seconds": 0.05,
        "peak_memory_bytes": 9 * 2**30,
        "anonymous_memory_bytes": 2**31,
        "input_wait_share": 0.0123,
    }
    limited = case | {"step_seconds": 0.06, "limit_bytes": 2**33, "most_used_bytes": 2**32}
    found = {
        "sizes": {"138k": {"items": 138_102}, "9m": {"items": 9_390_000}},
        "steps_over_138k": {"138k": 1, "9m": 1, "9m_limited": 1.2},
        "cases": {"138k": case, "9m": {"missing": "no memory"}, "9m_limited": limited},
    }
    page = page_of({"memory_limit": found}, tmp_path, monkeypatch)
    assert "| 138,102 | none | 50.0 | 1.00 | 2.00 / 9.00 | 1.2% |" in page
    assert "| 9,390,000 | no memory |  |  |  |  |" in page
    assert "| 9,390,000 | 8 GiB | 60.0 | 1.20 | 2.00 / 4.00 | 1.2% |" in page


def test_the_chain_and_the_service_are_told_in_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = [
        {
            "stage": name,
            "seconds": seconds,
            "memory_bytes": 2**30,
            "resident_bytes": 3 * 2**30,
            "disk_bytes": 2**31,
        }
        for name, seconds in (("synth", 89), ("prepare", 91), ("train", 7200), ("evaluate", 3600))
    ]
    stages[2] |= {"loss": {"first": 9.0, "last": 6.5}, "input_wait_share": 0.0123}
    stages[3] |= {
        "queries": {"queries": 1234},
        "models": {"own_history": {"ndcg_at_10": 0.1, "recall_at_100": 0.2}},
    }
    # twice the events: 95.8 times; users and items are those of Yambda-5B already
    size = {"events": 50_000_000, "positives": 3, "users": 1_000_000, "items": 9_390_000}
    by_name = {one["stage"]: one for one in [*stages, {"stage": "index", "seconds": 36}]}
    service = {
        "workers": 2,
        "ready_s": 1.26,
        "resident_mib": 512,
        "closed_loop": {"answers_per_s": 1234.5},
        "ratios": {"bare_together_over_service": 1.5, "goodput_at_overload": 0.9},
        "open_loop": [{"rate_per_s": 300, "p50_ms": 2.04, "p99_ms": 9.96}],
        "overload": {"refused_p99_ms": 12.4},
        "reloads": {"reloads": 10, "seconds_each": 1.0, "answers": 99, "failed": 0, "mixed": 0},
    }
    run = {
        "items": 138_000,
        "engine": "faiss-scan",
        "index_recall_at_10": 1.0,
        "services": [service, service | {"overload": {}}],
        "bare_one_by_one": {"p50_ms": 3.0, "p99_ms": 4.0},
        "minimal_endpoint": {"answers_per_s": 180.4},
    }
    found = {
        "full_scale": {
            "size": size,
            "stages": stages,
            "projection": full_scale.projection(by_name, size, 1.0, size["users"]),
        },
        "serve": {"connections": 16, "runs": [run]},
    }
    page = page_of(found, tmp_path, monkeypatch)
    assert "| synth | 89 s | 1.00 / 3.00 | 2.00 |  |  |" in page
    assert "| prepare | 2 min | 1.00 / 3.00 | 2.00 | 2.4 h | events |" in page  # 95.8 * 91 s
    assert "| train | 2.0 h | 1.00 / 3.00 | 2.00 | 192 h | events |" in page
    assert "| evaluate | 60 min | 1.00 / 3.00 | 2.00 | 60 min | users × items |" in page
    assert "192 GiB of disk" in page
    assert "own history 0.1000 and 0.2000" in page
    row = "| 138,000, faiss-scan, 2 | 1.000 | 1.3 | 0.50 | 1,234 | 1.50 | 300/s: 2.0, 10.0 | 0.90 |"
    assert f"{row} 12 |" in page
    assert f"{row} none |" in page
    assert "99 answers, 0 failed, 0 mixed" in page
    # a tenth of an epoch, and a quarter of the users: 7200 s * 95.8 * 10 and 3600 s * 4
    projected = full_scale.projection(by_name, size, 0.1, 250_000)
    assert projected["train"]["hours"] == pytest.approx(1916)
    assert projected["evaluate"]["hours"] == 4.0
    part = found["full_scale"] | {"epochs": 0.1, "users_judged": 250_000}
    page = page_of({"full_scale_200m": part}, tmp_path, monkeypatch)
    assert "## Four times as large" in page
    assert "0.1 of an epoch; 250,000 users judged" in page


def test_without_results_there_is_no_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["performance_page.py", "--results", str(tmp_path)])
    assert performance_page.main() == 0
    assert not list(tmp_path.iterdir())


def test_a_day_of_traffic_is_what_it_says() -> None:
    added: set[str] = set()
    total: Counter[str] = Counter()
    for asked, counts in day.hours(items=1000, recommends=2400):
        bodies = [json.loads(one.partition(b"\r\n\r\n")[2]) for one in asked]
        calls = [body["events"] for body in bodies if "events" in body]
        items = [body["items"][0]["id"] for body in bodies if "items" in body]
        found = {
            "recommends": sum("k" in body for body in bodies),
            "events": sum(map(len, calls)),
            "items_added": len(items),
        }
        assert found == counts
        assert (len(calls), len(asked)) == (50, 100 + 50 + 1)
        plays = {event["item"] for call in calls for event in call}
        # an hour's requests come in any order, so what is played was added in an earlier one
        assert {item for item in plays if isinstance(item, str)} <= added
        assert not added & set(items)
        added |= set(items)
        total += counts
    assert total["recommends"] == 2400
    assert len(added) == total["items_added"] == 24


def test_of_newcomers_nothing_is_known_but_their_last_plays(tmp_path_factory) -> None:
    model = trained_model(tmp_path_factory)
    window = held_out_window(model.prepared, model.config.evaluate)
    some = newcomers.who_played(window, 3)
    rows = np.flatnonzero(window.history_lengths() >= 3)
    assert len(some.queries) == len(rows)
    for at, query in enumerate(rows.tolist()):
        theirs, mine = (
            one.item_number[slice(*one.offsets[first : first + 2])]
            for one, first in ((window.targets, query), (some.targets, at))
        )
        np.testing.assert_array_equal(theirs, mine)
    strangers = newcomers.as_newcomers(model, 0)
    nobody = some.queries.take(np.arange(len(some.queries)))
    nobody.user_number[:] = 0
    np.testing.assert_array_equal(
        strangers.rank(some.queries, 9, exclude_heard=False)[0],
        model.rank(nobody, 9, exclude_heard=False)[0],
    )
    events = model.prepared.events
    own = own_items(newcomers.as_newcomers(model, 3).prepared.events, some.queries)
    for query, user in enumerate(some.queries.user_number.tolist()):
        last = events.item_number[events.ends[user] - 3 : events.ends[user]]
        had = own.item_number[own.offsets[query] : own.offsets[query + 1]]
        assert sorted(set(last.tolist())) == had.tolist()


def test_an_ablation_without_content_is_another_model(tmp_path_factory) -> None:
    model = trained_model(tmp_path_factory)
    settings = ["train.epochs=0.1", "evaluate.resamples=20"]
    path = model.stage.path.parent / "config.toml"
    config = Config.load(path, settings)
    assert set(ablations.applicable(config, model.prepared.schema)) == set(ablations.VARIANTS)
    found = ablations.ablate(path, model.prepared, settings, (ablations.NO_CONTENT,), 1)
    assert list(found["variants"]) == [ablations.WHOLE, ablations.NO_CONTENT]
    without = found["variants"][ablations.NO_CONTENT]
    assert without["loss"] != found["variants"][ablations.WHOLE]["loss"]
    whole = found["variants"][ablations.WHOLE]["over_whole"]["all"]["ndcg_at_10"]
    assert whole["difference"] == 0


@pytest.mark.parametrize("name", sorted(shapes.LOGS))
def test_logs_of_other_shapes_are_what_they_are_said_to_be(name) -> None:
    make, context, feature, _ = shapes.LOGS[name]
    log, items = make(np.random.default_rng(1), 60)
    assert {len(column) for column in log.values()} == {len(log["user"])}
    assert set(log) == {"user", "item", "time_s", context}
    assert set(np.unique(log["user"])) <= set(range(60))
    assert set(np.unique(log["item"])) <= set(items["item"])
    assert len(items[feature]) == len(items["item"])
    again, _ = make(np.random.default_rng(1), 60)
    assert all((again[column] == log[column]).all() for column in log)
    # the context says something: its values have items of their own that are played most
    most = [
        set(np.argsort(-np.bincount(log["item"][log[context] == value]))[:10].tolist())
        for value in np.unique(log[context])
    ]
    assert len(set.intersection(*most)) < 8


def test_kept_figures_are_those_that_the_page_can_read() -> None:
    kept = sorted((ROOT / "benchmarks" / "results").glob("*.json"))
    assert len(kept) > 10
    for path in kept:
        found = json.loads(path.read_text(encoding="utf-8"))
        assert found["benchmark"] == path.stem
        assert {"seconds", "commit", "machine"} <= set(found["measured_on"])


def test_what_is_about_models_is_run_by_hand() -> None:
    """It takes longer than `make bench` gives anybody, and keeps a file a log in its own folder."""
    folders = {path.name for path in bench.RESULTS.iterdir() if path.is_dir()}
    assert folders - {"quick"} == set(bench.APART)

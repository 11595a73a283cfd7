"""Training learns what was planted, without recompiling."""

import json
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import planted
from antiphon.batches import Batches
from antiphon.embedding import read_rows
from antiphon.errors import ArtifactError, ConfigError, NonFiniteError, NotLearningError
from antiphon.history import gather_history
from antiphon.model import TwoTower
from antiphon.prepared import Prepared
from antiphon.queries import Queries, queries_of_window
from antiphon.retrieval import TrainedModel
from antiphon.train import train, train_model
from antiphon.trend import Kinds, Trend


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Prepared:
    return planted.moods(tmp_path_factory.mktemp("log") / "prepared")


@pytest.fixture(scope="module")
def model(prepared, tmp_path_factory) -> TrainedModel:
    config = planted.config()
    out = tmp_path_factory.mktemp("run") / "model"
    train(config, prepared, out)
    return TrainedModel.load(out, prepared, config)


def _recall(lists: np.ndarray, targets) -> np.ndarray:
    """Share of each query's distinct targets in its list."""
    parts = np.split(targets.item_number, targets.offsets[1:-1])
    return np.array(
        [len(set(p) & set(row)) / len(set(p)) for p, row in zip(parts, lists, strict=True)]
    )


def test_the_true_context_beats_a_shuffled_one_by_more_than_its_interval(prepared, model) -> None:
    queries, targets = queries_of_window(prepared.held_out, prepared.schema.user_count, 9 * 86_400)
    rng = np.random.default_rng(0)
    moods = queries.context["mood"]
    right, _ = model.rank(queries, 10, exclude_heard=False)
    flipped, _ = model.rank(
        queries.with_context({"mood": (3 - moods).astype(np.int32)}), 10, exclude_heard=False
    )
    shuffled, _ = model.rank(
        queries.with_context({"mood": rng.permutation(moods)}), 10, exclude_heard=False
    )
    on = _recall(right, targets)
    for other in (shuffled, flipped):
        gain = on - _recall(other, targets)
        users = np.unique(queries.user_key, return_inverse=True)[1]
        means = []
        for _ in range(1000):  # bootstrap over users
            weight = np.bincount(rng.integers(0, users.max() + 1, users.max() + 1))
            weight = np.pad(weight, (0, users.max() + 1 - len(weight)))[users]
            means.append((gain * weight).sum() / weight.sum())
        low, high = np.percentile(means, [2.5, 97.5])
        assert low > 0, f"gain {gain.mean():.3f}, 95% interval [{low:.3f}, {high:.3f}]"
    # Nine plays of ten are of the mood's kind, of ten items: a perfect list has recall 0.9 or so.
    assert on.mean() > 0.7


@pytest.mark.parametrize(
    "off",
    [
        {"model__history_length": 0},
        {"model__repeats": False},
        {"model__trend_half_lives": []},
        {"train__library_negatives": 0, "train__sampled_negatives": 0},
        {"model__context_trend_half_life": 0.0},
        {"train__precision": "bfloat16"},
        {
            "model__history_length": 0,
            "model__repeats": False,
            "model__trend_half_lives": [],
            "model__context_trend_half_life": 0.0,
        },
        {"model__history_length": 0, "train__library_negatives": 0},
    ],
)
def test_it_learns_and_answers_with_parts_switched_off(prepared, tmp_path: Path, off) -> None:
    config = planted.config(train__epochs=3.0, **off)
    train(config, prepared, tmp_path / "model")
    trained = TrainedModel.load(tmp_path / "model", prepared, config)
    training = json.loads((tmp_path / "model/training.json").read_text(encoding="utf-8"))
    assert training["loss"][-1] < training["chance"][-1] - 0.1
    queries, _ = queries_of_window(prepared.held_out, prepared.schema.user_count, 9 * 86_400)
    everything, scores = trained.rank(queries, 60, exclude_heard=False)
    assert (np.sort(everything, axis=1) == np.arange(1, 61)).all()
    assert np.isfinite(scores).all()


def test_without_a_test_window_training_asks_about_the_next_day(prepared) -> None:
    until_s = prepared.schema.held_out_start_s
    cuts = {"train_end_s": until_s, "validation_start_s": until_s, "held_out_end_s": until_s}
    everything = replace(prepared, schema=prepared.schema.model_copy(update=cuts))
    assert everything.schema.horizon_s == 86_400
    longer = prepared.schema.model_copy(update={**cuts, "validation_start_s": until_s - 500})
    assert longer.horizon_s == 500
    config = planted.config(train__epochs=0.5)
    events, counts = everything.events, everything.item_counts()
    training = train_model(config, everything, events, counts)[2]
    assert np.isfinite(training.loss).all()


def test_a_model_without_history_has_nothing_to_attend_to(prepared, tmp_path: Path) -> None:
    config = planted.config(model__history_length=0, train__epochs=0.5)
    train(config, prepared, tmp_path / "model")
    model = TrainedModel.load(tmp_path / "model", prepared, config)
    queries, _ = queries_of_window(prepared.held_out, prepared.schema.user_count, 9 * 86_400)
    users = queries.user_number.astype(np.int64)
    nothing = gather_history(prepared.events, users, queries.time_s, queries.time_s, 0)
    assert model.attention(queries, nothing).shape == (len(queries), 0)


def test_loss_is_reported_beside_chance(model) -> None:
    training = json.loads((model.stage.path / "training.json").read_text())
    # about ln of the 60 items, as every candidate then has the same score
    assert training["chance"][-1] == pytest.approx(np.log(60), abs=0.3)
    assert training["loss"][-1] < training["chance"][-1] - 0.5
    assert training["step"][-1] == training["steps"]
    assert training["examples"] == training["steps"] * 64


def test_nothing_compiles_after_the_first_step(prepared) -> None:
    compiled = []

    def listen(event: str, seconds: float, **_: object) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(steps[-1])

    steps = [0]
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        train_model(
            planted.config(train__epochs=2.0),
            prepared,
            prepared.events,
            prepared.item_counts(),
            lambda step, total, words: steps.append(step),
        )
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert compiled, "the listener hears compilations"
    assert len(steps) > 10
    assert max(compiled) <= steps[1], f"compiled at steps {sorted(set(compiled))}"


def test_the_learning_rate_of_dense_weights_falls_evenly_to_nothing(prepared) -> None:
    config = planted.config(train__dense_learning_rate=0.004)
    model = TwoTower(prepared.schema, config.model, config.train, steps=20)
    rates = {}
    for done in (0, 5, 20):
        model.optimizer.iterations.assign(done)
        rates[done] = float(model.optimizer.learning_rate)
    # .004 * (1 - done / 20)
    assert rates == pytest.approx({0: 0.004, 5: 0.003, 20: 0.0})


def test_a_batch_that_devices_cannot_share_is_refused(prepared) -> None:
    with pytest.raises(ConfigError, match="3 devices"):
        train_model(
            planted.config(),
            prepared,
            prepared.events,
            prepared.item_counts(),
            devices=[jax.devices()[0]] * 3,
        )


def test_a_run_that_learns_nothing_is_stopped(prepared) -> None:
    config = planted.config(
        train__learning_rate=1e-9, train__dense_learning_rate=1e-9, train__chance_steps=20,
        model__temperature=1e6,
    )  # fmt: skip
    flat = prepared.item_counts() * 0 + 1  # every item equally popular: nothing to see at all
    with pytest.raises(NotLearningError, match="after 20 steps") as caught:
        train_model(config, prepared, prepared.events, flat)
    assert "train.learning_rate" in str(caught.value)


def test_a_loss_that_is_not_finite_stops_with_its_step(prepared) -> None:
    config = planted.config(train__dense_learning_rate=1e30)
    with pytest.raises(NonFiniteError, match=r"the loss became (nan|inf) at step \d+"):
        train_model(config, prepared, prepared.events, prepared.item_counts())


def test_the_same_seed_gives_the_same_tables(prepared, tmp_path: Path) -> None:
    first, second = (
        train_model(
            planted.config(train__epochs=1.0), prepared, prepared.events, prepared.item_counts()
        )[0]
        for _ in range(2)
    )
    for a, b in zip(first.variables, second.variables, strict=True):
        assert np.array_equal(a.value, b.value), a.path


def test_serving_scores_as_training_did(prepared, model) -> None:
    """What the saved model answers is what the live one's loss is made of, item by item."""
    config = planted.config(
        model__context_dropout=0.0,
        model__user_dropout=0.0,
        train__targets_per_query=1,
        train__run_share=0.0,
    )
    live, catalogue, _ = train_model(
        planted.config(), prepared, prepared.events, prepared.item_counts()
    )
    batches = Batches(
        prepared.events, catalogue, prepared.schema, config.model, config.train, planted.DAY
    )
    step = batches.steps_per_epoch - 1
    batch = batches.batch(step)
    now_s = batches._present.moment_s(step)
    rows = {
        name: read_rows(table.table.value, jnp.asarray(batch["rows"][name]))
        for name, table in live.tables.items()
    }
    scores = live.scores(rows, jax.tree.map(jnp.asarray, batch))
    items = batch["rows"]["item"]
    queries = Queries(
        user_number=batch["rows"]["user"][batch["user"]].astype(np.int32),
        user_key=np.zeros(64, np.int64),
        time_s=np.full(64, now_s, np.int64),
        context={"mood": batch["context"]["mood"][:, 0]},
    )
    kinds = Kinds((43_200.0, 172_800.0, 691_200.0), {"mood": 2}, 43_200.0)
    trend = Trend.as_of(prepared.events.before(now_s), 61, kinds, now_s)
    then = np.concatenate(
        [model.candidates[:, :16], trend.at(np.arange(61, dtype=np.int32), now_s)], axis=1
    )
    served = replace(model, candidates=then)
    found, answered = served.rank(queries, 60, exclude_heard=False)
    assert (np.sort(found, axis=1) == np.arange(1, 61)).all()
    by_item = np.zeros((64, 61), np.float32)
    np.put_along_axis(by_item, found, answered, axis=1)
    positive = items[batch["positive"]][:, 0]
    close = {"rtol": 2e-3, "atol": 2e-3}
    np.testing.assert_allclose(scores.positive[:, 0], by_item[np.arange(64), positive], **close)
    had = np.isfinite(batch["own"]["log_expected_count"])
    own = np.concatenate([batch["history"]["item"], batch["own"]["older"]], axis=1)
    query, place = np.nonzero(had)
    np.testing.assert_allclose(
        np.asarray(scores.own)[query, 0, place], by_item[query, items[own[query, place]]], **close
    )
    assert len(query) > 300
    assert (batch["own"]["plays"]["count"][:, -1] > 0).any(), "a target heard before"


def test_a_model_of_another_log_is_refused(model, tmp_path: Path) -> None:
    other = planted.moods(tmp_path / "prepared", seed=9)
    with pytest.raises(ArtifactError, match="was not computed from"):
        TrainedModel.load(model.stage.path, other, model.config)

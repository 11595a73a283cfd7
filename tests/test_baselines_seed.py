"""The seed's recipe: written anew, it does what the published example does, which is nothing."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from antiphon.baselines import seed_recipe
from antiphon.baselines.history import TrainingLog
from antiphon.baselines.seed_recipe import (
    SeedScorer,
    SeedTables,
    SeedTowers,
    seed_step,
    train_seed,
)
from baseline_log import ask, log_of

numpy = keras.ops.convert_to_numpy


def log(events: int = 3000, users: int = 50, items: int = 80) -> TrainingLog:
    """Everybody has one favourite item in each of two tabs: easy to learn."""
    rng = np.random.default_rng(0)
    user, tab = rng.integers(1, users + 1, events), rng.integers(1, 3, events)
    item = (user * 7 + tab * 31) % items + 1
    rows = np.stack([user, item, rng.random(events), tab], axis=1)
    return log_of([tuple(row) for row in rows], items=items, users=users)


def test_the_loss_stays_at_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seed_recipe, "BATCH_SIZE", 1024)
    tables = train_seed(log(), most_steps=1000)
    assert len(tables.loss) == 5 * 2, "five epochs of two whole batches"
    # the example printed 9.0109 for ln(8192) = 9.0109, and 9.0107 after five epochs
    np.testing.assert_allclose(tables.loss, np.log(1024), atol=2e-3)


def test_a_log_smaller_than_a_batch_is_one_batch() -> None:
    tables = train_seed(log(100), most_steps=3)
    np.testing.assert_allclose(tables.loss, np.log(100), atol=5e-3)
    assert len(tables.loss) == 3
    assert len(train_seed(log_of([], items=2, users=1), most_steps=3).loss) == 0


def test_training_is_the_same_each_time() -> None:
    first, again = train_seed(log(200), most_steps=4), train_seed(log(200), most_steps=4)
    for name, array in first.arrays().items():
        np.testing.assert_array_equal(array, again.arrays()[name])
    other = train_seed(log(200), most_steps=4, seed=1)
    assert (other.user != first.user).any()


class Published(SeedTowers):
    """The same towers under `compile` and `fit`, as the example trains them."""

    def compute_loss(self, x: Any, y: Any, y_pred: Any, *_: Any, **__: Any) -> Any:
        query, candidate = y_pred
        scores = keras.ops.matmul(query, keras.ops.transpose(candidate))
        labels = keras.ops.eye(keras.ops.shape(query)[0], dtype=scores.dtype)
        return keras.losses.CategoricalCrossentropy(from_logits=True)(labels, scores)


def test_a_step_is_that_of_keras() -> None:
    rng = np.random.default_rng(0)
    batches = [
        {
            "user": rng.integers(1, 9, 64).astype(np.int32),
            "item": rng.integers(1, 12, 64).astype(np.int32),
            "context": rng.integers(0, 3, (64, 1)).astype(np.int32),
        }
        for _ in range(3)
    ]
    step, state = seed_step(SeedTowers(9, 12, [3], 8, 0))
    published = Published(9, 12, [3], 8, 0)
    published.compile(optimizer=keras.optimizers.Adagrad(0.1))
    start = [numpy(variable.value) for variable in published.trainable_variables]
    for batch in batches:
        state, _ = step(state, batch)
        published.train_on_batch(batch)
    for before, ours, theirs in zip(start, state[0], published.trainable_variables, strict=True):
        np.testing.assert_allclose(numpy(ours), numpy(theirs.value), atol=1e-6)
        assert (numpy(ours) != before).any()


def test_scores_are_those_of_the_towers() -> None:
    trained_on = log(300)
    tables = train_seed(trained_on, most_steps=3)
    towers = SeedTowers(51, 81, [4], 64, 0)
    for variable in towers.trainable_variables:
        table, kind = variable.path.split("/")
        variable.assign(tables.arrays()[kind if table == "fuse" else table])
    queries = ask([3, 4, 0], tab=[1, 2, 1])
    scorer = SeedScorer(trained_on, tables)
    found = scorer.scores(queries, 5)
    batch = {
        "user": queries.user_number,
        "item": np.zeros(3, np.int32),
        "context": queries.context["tab"][:, None],
    }
    query, _ = towers(batch)
    expected = numpy(query) @ numpy(towers.item.embeddings.value)[1:].T
    np.testing.assert_allclose(found.block, expected, atol=1e-6)
    assert found.known.all(), "strangers too are asked of the towers"


def test_tables_come_back_from_their_arrays() -> None:
    tables = train_seed(log(100), most_steps=1)
    again = SeedTables.of_arrays(dict(tables.arrays()))
    np.testing.assert_array_equal(again.context[0], tables.context[0])
    np.testing.assert_array_equal(again.kernel, tables.kernel)

"""The towers, with sums done by hand."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from antiphon.feature_layers import FeatureEncoder
from antiphon.schema import FittedCategorical, FittedCyclic, FittedNumeric, FittedVector
from antiphon.towers import CandidateTower, QueryTower

MOOD = FittedCategorical(name="mood", cardinality=2, values=("0", "1"))
HOUR = FittedCyclic(name="hour", period=24)
SPEED = FittedNumeric(name="speed", mean=0, deviation=1)
AUDIO = FittedVector(name="audio", size=3)
WIDTH = 8


def randomize(layer, seed: int = 0) -> None:
    """Weights large enough for everything to have a say."""
    rng = np.random.default_rng(seed)
    for variable in layer.variables:
        variable.assign(rng.normal(size=variable.shape, scale=0.5).astype(np.float32))


def random(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def encoded(feature, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The encoder's answer and its table."""
    encoder = FeatureEncoder(feature, 4)
    randomize(encoder)
    return np.asarray(encoder(jnp.asarray(values))), np.asarray(encoder.table.value)


def test_a_categorical_value_is_its_row_and_a_missing_one_row_0() -> None:
    found, t = encoded(MOOD, np.array([2, 0, 1], np.int32))
    np.testing.assert_array_equal(found, t[[2, 0, 1]])


def test_a_cyclic_value_is_three_harmonics() -> None:
    found, t = encoded(HOUR, np.array([6, np.nan, 0, 24], np.float32))
    # 6 of 24 is a quarter turn: sines of 90, 180 and 270 degrees are 1, 0, -1; cosines 0, -1, 0
    np.testing.assert_allclose(found[0], t[0] - t[2] - t[4], atol=1e-5)
    np.testing.assert_array_equal(found[1], t[6])
    # at 0 all sines are 0 and all cosines 1; and the circle closes
    np.testing.assert_allclose(found[2], t[3] + t[4] + t[5], atol=1e-5)
    np.testing.assert_allclose(found[3], found[2], atol=1e-5)


def test_a_numeric_value_scales_a_row() -> None:
    found, t = encoded(SPEED, np.array([2, np.nan, 0], np.float32))
    np.testing.assert_allclose(found, [2 * t[0], t[1], 0 * t[0]], atol=1e-6)


def test_a_vector_is_projected() -> None:
    found, t = encoded(AUDIO, np.array([[1, 2, 3], [np.nan, 0, 0]], np.float32))
    np.testing.assert_allclose(found, [t[0] + 2 * t[1] + 3 * t[2], t[3]], atol=1e-6)


@pytest.mark.parametrize("feature", [HOUR, SPEED, AUDIO])
def test_missing_values_train_their_own_row_only(feature) -> None:
    encoder = FeatureEncoder(feature, 4)
    values = np.full((1, 3) if feature is AUDIO else 1, np.nan, np.float32)

    def summed(table):
        return encoder.stateless_call([table], [], jnp.asarray(values))[0].sum()

    slope = np.asarray(jax.grad(summed)(encoder.table.value))
    assert (slope[:-1] == 0).all()
    assert (slope[-1] == 1).all()


TRENDS = 3


def tower(features=(MOOD,), seed: int = 0) -> QueryTower:
    made = QueryTower(features, WIDTH, TRENDS, temperature=0.1)
    randomize(made, seed)
    made.log_scale.assign(np.float32(np.log(10)))
    return made


def ask(
    made: QueryTower,
    length: int,
    moods: list[list[int]],
    age: np.ndarray | None = None,
    is_known: bool = True,
):
    """Two users under `moods`; the past is the same in the first `length` places."""
    users = len(moods)
    past = random(2, users, 50, WIDTH)[:, :length]
    past_mood = np.random.default_rng(3).integers(0, 3, (users, 50), np.int32)[:, :length]
    if age is None:
        age = np.random.default_rng(4).integers(0, 32, (users, 50), np.int32)[:, :length]
    return embed(
        made,
        random(1, users, WIDTH),
        np.full(users, is_known),
        unit(past),
        age,
        {"mood": past_mood},
        {"mood": np.array(moods, np.int32)},
    )


def embed(made: QueryTower, *inputs, contexts: int | None = None) -> np.ndarray:
    """Compiled as a whole, as it always is; operation by operation takes much longer."""
    contexts = contexts or inputs[-1]["mood"].shape[1]
    return np.asarray(jax.jit(lambda *given: made(*given, contexts=contexts))(*inputs))


def test_queries_are_unit_vectors_by_temperature_and_weights_of_trends() -> None:
    found = ask(tower(), 5, [[1], [2]])
    assert found.shape == (2, 1, WIDTH + TRENDS)
    # exp(log 10) = 1 / 0.1
    np.testing.assert_allclose(np.linalg.norm(found[..., :WIDTH], axis=-1), 10, rtol=1e-5)


def test_for_somebody_of_whom_nothing_is_known_trends_alone_count() -> None:
    made, nothing = tower(), np.full((2, 5), -1, np.int32)
    stranger = ask(made, 5, [[1], [2]], nothing, is_known=False)
    assert not stranger[..., :WIDTH].any()
    known = ask(made, 5, [[1], [2]], nothing)
    np.testing.assert_allclose(np.linalg.norm(known[..., :WIDTH], axis=-1), 10, rtol=1e-5)
    np.testing.assert_allclose(stranger[..., WIDTH:], known[..., WIDTH:], rtol=1e-6)


def test_only_the_trends_of_the_value_asked_under_are_weighed() -> None:
    made = QueryTower((MOOD,), WIDTH, TRENDS, temperature=0.1, values={"mood": 2})
    randomize(made, 0)
    found = ask(made, 5, [[1, 2, 0], [0, 1, 2]])[..., WIDTH + TRENDS :]
    assert found.shape == (2, 3, 2)
    weighed = np.array([[[1, 0], [0, 1], [0, 0]], [[0, 0], [1, 0], [0, 1]]])
    np.testing.assert_array_equal(found != 0, weighed == 1)
    # the weight is a function of the context alone
    np.testing.assert_allclose(found[0, 0], found[1, 1], rtol=1e-6)


def test_padding_changes_nothing() -> None:
    made = tower()
    age = np.random.default_rng(4).integers(0, 32, (2, 5), np.int32)
    padded = np.concatenate([age, np.full((2, 4), -1, np.int32)], axis=1)
    plain = ask(made, 5, [[1], [2]], age)
    np.testing.assert_allclose(ask(made, 9, [[1], [2]], padded), plain, atol=1e-4)
    seen = ask(made, 9, [[1], [2]], np.abs(padded))
    assert np.abs(seen - plain).max() > 0.01, "without the padding's mark they would count"


def test_no_history_is_a_history_of_length_0() -> None:
    made = tower()
    none = ask(made, 4, [[1], [0]], np.full((2, 4), -1, np.int32))
    assert np.isfinite(none).all()
    np.testing.assert_allclose(ask(made, 0, [[1], [0]]), none, atol=1e-5)


def test_contexts_asked_together_are_answered_as_if_alone() -> None:
    made = tower()
    both = ask(made, 5, [[1, 2], [0, 1]])
    np.testing.assert_allclose(both[:, :1], ask(made, 5, [[1], [0]]), atol=1e-4)
    np.testing.assert_allclose(both[:, 1:], ask(made, 5, [[2], [1]]), atol=1e-4)
    assert np.abs(both[:, 0] - both[:, 1]).max() > 0.01


def test_a_log_without_context_features() -> None:
    made = tower(features=())
    age = np.zeros((3, 2), np.int32)
    user, past = random(0, 3, WIDTH), unit(random(1, 3, 2, WIDTH))
    found = embed(made, user, np.ones(3, bool), past, age, {}, {}, contexts=1)
    assert found.shape == (3, 1, WIDTH + TRENDS)
    assert np.isfinite(found).all()


def test_an_untrained_tower_looks_for_what_the_user_had() -> None:
    made = QueryTower((MOOD,), WIDTH, TRENDS, temperature=0.1)
    item = unit(random(5, 1, 1, WIDTH))
    mood = {"mood": np.ones((1, 1), np.int32)}
    age = np.zeros((1, 1), np.int32)
    found = embed(made, np.zeros((1, WIDTH), np.float32), np.ones(1, bool), item, age, mood, mood)
    assert unit(found[0, 0, :WIDTH]) @ item[0, 0] > 0.9


def test_a_candidate_is_its_embedding_plus_the_mean_of_its_values() -> None:
    artist = FittedCategorical(name="artist", cardinality=9, max_values=3)
    made = CandidateTower((artist, SPEED), WIDTH)
    randomize(made)
    own, values = random(1, 3, WIDTH), random(2, 4, WIDTH)
    places = np.array([[0, 2, -1], [-1, -1, -1], [3, -1, -1]], np.int32)
    speed = np.array([2, 1, np.nan], np.float32)
    found = made(
        jnp.asarray(own),
        {"artist": jnp.asarray(values)},
        {"artist": jnp.asarray(places), "speed": jnp.asarray(speed)},
    )
    t = np.asarray(made.encoders[0].table.value)
    expected = [
        own[0] + (values[0] + values[2]) / 2 + 2 * t[0],  # two artists: their mean
        own[1] + t[0],  # none
        own[2] + values[3] + t[1],  # speed unknown
    ]
    # v / sqrt(|v|^2 + 0.1)
    length = np.sqrt((np.array(expected) ** 2).sum(axis=1, keepdims=True) + 0.1)
    np.testing.assert_allclose(np.asarray(found), expected / length, atol=1e-5)


def test_a_candidate_without_anything_is_no_nan() -> None:
    made = CandidateTower((), WIDTH)
    assert (np.asarray(made(jnp.zeros((2, WIDTH)), {}, {})) == 0).all()

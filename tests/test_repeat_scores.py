"""What is answered with is what was trained: query tower, repeat term, and what users have had."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

from antiphon.feature_layers import ContextEncoder
from antiphon.history import AGE_BUCKETS, History
from antiphon.library import PLAYS, Library, Plays
from antiphon.own_library import OwnScores, own_items, slices_of_events
from antiphon.prepared import Events
from antiphon.queries import Queries
from antiphon.query_vectors import QueryVectors
from antiphon.repeat_scores import RepeatScores
from antiphon.repeat_term import RepeatTerm
from antiphon.schema import FittedCategorical, FittedCyclic, FittedNumeric, FittedVector
from antiphon.towers import QueryTower

FEATURES = (
    FittedCategorical(name="mood", cardinality=2, values=("0", "1")),
    FittedCyclic(name="hour", period=24),
    FittedNumeric(name="age", mean=0, deviation=1),
    FittedVector(name="weather", size=3),
)


def weights_of(*layers: keras.layers.Layer) -> dict[str, np.ndarray]:
    """As training saves them."""
    return {v.path: np.asarray(v.value) for layer in layers for v in layer.variables}


def contexts(rng: np.random.Generator, *shape: int) -> dict[str, np.ndarray]:
    """Of all kinds, some of them missing."""
    hour = rng.uniform(0, 24, shape).astype(np.float32)
    age = rng.normal(size=shape).astype(np.float32)
    weather = rng.normal(size=(*shape, 3)).astype(np.float32)
    missing = rng.random(shape) < 0.3
    hour[missing] = age[missing] = np.nan
    weather[missing] = [np.nan, 0, 0]
    mood = rng.integers(0, 3, shape).astype(np.int32)
    return {"mood": mood, "hour": hour, "age": age, "weather": weather}


@pytest.mark.parametrize("features", [FEATURES, FEATURES[:1], ()])
def test_the_term_is_that_of_training(features) -> None:
    rng = np.random.default_rng(0)
    term = RepeatTerm(ContextEncoder(features))
    for variable in term.ask.variables:
        variable.assign(rng.normal(0, 0.1, variable.shape))
    names = [feature.name for feature in features]
    count = rng.integers(1, 9, 50).astype(np.int32)
    known = np.arange(PLAYS) < count[:, None]
    # up to a century: what faded away entirely is as good as what never was
    age_h = np.where(known, np.exp(rng.uniform(0, 13.7, known.shape)), 0).astype(np.float32)
    happened = {n: v for n, v in contexts(rng, 50, PLAYS).items() if n in names}
    asked = {n: v for n, v in contexts(rng, 5).items() if n in names}
    query = np.sort(rng.integers(0, 5, 50))
    plays = Plays(age_h, known, count, happened)
    scores = RepeatScores(features, weights_of(term))
    question = scores.asked(asked, 5)
    found = scores.of(question, query, plays)
    encoded = term.context({n: v[query][:, None] for n, v in asked.items()}, shape=(50, 1))
    expected = np.asarray(term(encoded, plays.in_shape((50, 1))))[:, 0, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())
    encoded = term.context({n: v[:, None] for n, v in asked.items()}, shape=(5, 1))
    shares = np.stack(scores.shares(question), axis=1)
    expected = np.asarray(term.shares(encoded, 1, 1))[:, 0]
    np.testing.assert_allclose(shares, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("features", [FEATURES, FEATURES[:1], ()])
@pytest.mark.parametrize("heads", [4, 0])
def test_queries_are_embedded_as_in_training(features, heads) -> None:
    rng = np.random.default_rng(1)
    width, trends, length, queries = 8, 3, 6, 5
    apart = {f.name: f.cardinality for f in features if isinstance(f, FittedCategorical)}
    tower = QueryTower(features, width, trends, temperature=0.1, heads=heads, values=apart)
    for variable in tower.variables:
        variable.assign(rng.normal(0, 0.5, variable.shape))
    vectors = QueryVectors(features, weights_of(tower))
    assert vectors.width == width
    user = rng.normal(size=(queries, width)).astype(np.float32)
    past = rng.normal(size=(queries, length, width)).astype(np.float32)
    age = rng.integers(-1, AGE_BUCKETS, (queries, length)).astype(np.int32)
    age[:2] = -1  # without a past
    is_known = np.arange(queries) % 2 > 0
    happened = {f.name: contexts(rng, queries, length)[f.name] for f in features}
    asked = {f.name: contexts(rng, queries)[f.name] for f in features}
    history = History(np.ones((queries, length), np.int32), age, happened)
    one_each = {name: values[:, None] for name, values in asked.items()}
    expected = np.asarray(tower(user, is_known, past, age, happened, one_each, contexts=1))[:, 0]
    assert [bool(row.any()) for row in expected[:2, :width]] == [False, True]
    np.testing.assert_allclose(
        vectors.of(user, is_known, past, history, asked), expected, rtol=1e-5, atol=1e-5
    )
    encoded = tower.context(one_each, shape=(queries, 1))
    inputs = jax.tree.map(jnp.asarray, (past, age, happened))
    weights = tower.attention(encoded, *inputs)
    if heads:
        expected = np.asarray(weights).mean(axis=(1, 2))
        np.testing.assert_allclose(
            vectors.attention(past, history, asked), expected, rtol=1e-5, atol=1e-6
        )
        assert (vectors.attention(past, history, asked)[age < 0] == 0).all()
    else:
        assert not vectors.attention(past, history, asked).any()


def test_plays_that_faded_beyond_the_least_are_still_told_apart() -> None:
    """As many plays as there is room for, each worth less than what stands for none."""
    term = RepeatTerm(ContextEncoder(()))
    term.ask.kernel.assign(np.zeros(term.ask.kernel.shape))
    term.ask.bias.assign(
        np.array([0, 0, 5, 0, 0, 0, 0, 0], np.float32)
    )  # plays fade by about age^-50
    age_h = np.exp(np.tile([[9.0], [12.0]], (1, PLAYS))).astype(np.float32)
    plays = Plays(age_h, age_h > 0, np.full(2, PLAYS, np.int32), {})
    scores = RepeatScores((), weights_of(term))
    found = scores.of(scores.asked({}, 1), np.zeros(2, np.int64), plays)
    # softplus(10 * 5 + log(e^0.5 - 1)) = 49.57; log PLAYS plays of (1 + age)^-49.57
    fades = np.log1p(np.exp(50) * np.expm1(0.5))
    np.testing.assert_allclose(found, np.log(PLAYS) - fades * np.log1p(age_h[:, 0]), rtol=1e-5)
    expected = np.asarray(term(np.ones((2, 1, 1), np.float32), plays.in_shape((2, 1))))[:, 0, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def events_of(rng: np.random.Generator, users: int, count: int) -> Events:
    user = np.sort(rng.integers(1, users + 1, count))
    time_s = rng.integers(0, 50, count)
    order = np.lexsort((time_s, user))
    bounds = np.searchsorted(user, np.arange(users + 2))
    return Events(
        bounds[:-1].astype(np.int64),
        bounds[1:].astype(np.int64),
        rng.integers(1, 8, count).astype(np.int32),
        time_s[order].astype(np.int64),
        np.ones(count, bool),
        {"mood": rng.integers(0, 3, count).astype(np.int32)},
    )


def queries_of(user: np.ndarray, time_s: np.ndarray) -> Queries:
    return Queries(
        user.astype(np.int32),
        user.astype(np.int64),
        time_s.astype(np.int64),
        {"mood": np.zeros(len(user), np.int32)},
    )


@pytest.mark.parametrize("seed", range(5))
def test_what_users_have_had_is_what_training_looks_up(seed) -> None:
    """Sorted at once, or one play of an item after the other in a library: the same plays."""
    rng = np.random.default_rng(seed)
    events = events_of(rng, 6, 200)
    queries = queries_of(rng.integers(0, 7, 20), rng.integers(0, 60, 20))
    found = own_items(events, queries)
    library = Library.of(events)
    for row in range(len(queries)):
        user = queries.user_number[row]
        rows = np.arange(events.starts[user], events.ends[user])
        rows = rows[events.timestamp_s[rows] < queries.time_s[row]]
        items = np.unique(events.item_number[rows])
        pairs = np.arange(found.offsets[row], found.offsets[row + 1])
        np.testing.assert_array_equal(found.item_number[pairs], items)
        if not len(items):
            continue
        last = np.array([rows[events.item_number[rows] == item][-1] for item in items])
        now_s = np.full(len(last), queries.time_s[row])
        expected = library.plays(last, np.ones(len(last), bool), now_s)
        mine = found.plays.take(pairs)
        np.testing.assert_array_equal(mine.age_h, expected.age_h)
        np.testing.assert_array_equal(mine.known, expected.known)
        np.testing.assert_array_equal(mine.count, expected.count)
        known = expected.known
        moods = mine.context["mood"], expected.context["mood"]
        np.testing.assert_array_equal(moods[0][known], moods[1][known])


def test_numbers_too_large_to_be_sorted_as_one_are_sorted_as_two() -> None:
    events = Events(
        np.array([0, 0]),
        np.array([0, 3]),
        np.array([2**31 - 1, 5, 2**31 - 1], np.int32),
        np.array([1, 2, 3]),
        np.ones(3, bool),
        {},
    )
    many = 2**15
    queries = Queries(np.ones(many, np.int32), np.ones(many, np.int64), np.full(many, 9), {})
    # 15 bits for the query, 31 for the item and 17 for the place are all that there are
    found = own_items(events, queries)
    np.testing.assert_array_equal(found.item_number, np.tile([5, 2**31 - 1], many))
    np.testing.assert_array_equal(found.plays.count, np.tile([1, 2], many))


def own_scores(lengths: list[int], items: list[int], scores: list[float]) -> OwnScores:
    offsets = np.cumsum([0, *lengths])
    return OwnScores(offsets, np.array(items, np.int32), np.array(scores, np.float32))


def test_the_best_of_what_users_have_had() -> None:
    own = own_scores([3, 0, 2], [4, 6, 9, 2, 4], [1, 2, 1, 7, 8])
    numbers, scores = own.best(2)
    # equal scores by number; nobody's list of nothing
    np.testing.assert_array_equal(numbers, [[6, 4], [0, 0], [4, 2]])
    np.testing.assert_array_equal(scores, [[2, 1], [-np.inf, -np.inf], [8, 7]])
    keep = np.array([True, False, True, True, False])
    numbers, _ = own.best(2, queries=np.array([2, 0]), keep=keep)
    np.testing.assert_array_equal(numbers, [[2, 0], [4, 9]])
    found = own.find(np.array([0, 0, 1, 2]), np.array([9, 2, 4, 4], np.int32))
    np.testing.assert_array_equal(found, [2, -1, -1, 4])


def test_libraries_many_times_as_long_as_lists_and_what_else_was_found() -> None:
    rng = np.random.default_rng(0)
    lengths, k = [0, 3, 90, 40], 7
    items = [np.sort(rng.choice(10_000, length, replace=False)) + 1 for length in lengths]
    # most scores have equals
    own = own_scores(lengths, np.concatenate(items), rng.integers(-4, 4, sum(lengths)))
    others = np.array([[20_000, 20_001, 0]] * 4, np.int32), np.array([[3, 2, 9]] * 4, np.float32)
    for found, more in (own.best(k), []), (own.best(k, others), [(3, 20_000), (2, 20_001)]):
        for row, (start, end) in enumerate(itertools.pairwise(own.offsets.tolist())):
            pairs = zip(own.score[start:end], own.item_number[start:end], strict=True)
            expected = sorted([*pairs, *more], key=lambda pair: (-pair[0], pair[1]))[:k]
            expected += [(-np.inf, 0)] * (k - len(expected))
            assert list(zip(found[1][row], found[0][row], strict=True)) == expected


def test_queries_are_taken_a_few_at_a_time(monkeypatch) -> None:
    monkeypatch.setattr("antiphon.own_library.EVENTS_AT_ONCE", 10)
    events = events_of(np.random.default_rng(1), 6, 60)
    queries = queries_of(np.array([1, 2, 0, 3, 4, 5, 6]), np.full(7, 99))
    taken = list(slices_of_events(events, queries))
    rows = [row for part in taken for row in range(part.start, part.stop)]
    assert rows == list(range(7)), "each once, in order"
    assert len(taken) > 3

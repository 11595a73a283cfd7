"""The sampled softmax against an independent reference in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from antiphon.loss import sampled_softmax


def _reference(query, candidate, log_count, positive, item, group):
    """One query and one candidate at a time, straight from the definition."""
    total = 0.0
    for i, q in enumerate(query):
        score = float(q @ candidate[i])
        terms = [np.exp(score)]
        for j, c in enumerate(candidate):
            accidental = item[j] == positive[i]
            same_query = j < len(query) and group[j] == group[i]
            if not accidental and not same_query:
                terms.append(np.exp(float(q @ c)) / np.exp(log_count[j]))
        total += np.log(sum(terms)) - score
    return total


def _random(seed, queries=12, negatives=10, width=5, items=9):
    rng = np.random.default_rng(seed)
    item = rng.integers(0, items, queries + negatives).astype(np.int32)
    return (
        rng.normal(size=(queries, width)),
        rng.normal(size=(queries + negatives, width)),
        rng.normal(size=queries + negatives),
        item[:queries],
        item,
        np.sort(rng.integers(0, 4, queries)).astype(np.int32),
    )


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("tile", [1, 5, 256])
def test_loss_and_gradient_are_those_of_the_definition(float64, tile) -> None:
    def plain(query, candidate, log_count, positive, item, group):
        logits = query @ candidate.T - log_count
        groups = jnp.concatenate([group, jnp.full(len(item) - len(group), -1, group.dtype)])
        hit = (item == positive[:, None]) | (groups == group[:, None])
        score = jnp.sum(query * candidate[: len(query)], axis=1)
        both = jnp.concatenate([jnp.where(hit, -jnp.inf, logits), score[:, None]], axis=1)
        return jnp.sum(jax.nn.logsumexp(both, axis=1) - score)

    ours = jax.jit(jax.value_and_grad(lambda *inputs: 2.5 * sampled_softmax(*inputs, tile), (0, 1)))
    theirs = jax.jit(jax.value_and_grad(lambda *inputs: 2.5 * plain(*inputs), (0, 1)))
    for seed in range(20):
        inputs = _random(seed)
        value, gradients = ours(*inputs)
        assert float(value) == pytest.approx(2.5 * _reference(*inputs), rel=1e-12)
        for a, b in zip(gradients, theirs(*inputs)[1], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


def test_an_accidental_hit_weighs_nothing(float64) -> None:
    # Two queries, both positives are item 7, one sampled negative is item 7 too and one item 8.
    # Scores are all 0, counts all 1: each query has its positive and item 8, so log(1 + 1).
    query, candidate = jnp.zeros((2, 3)), jnp.zeros((4, 3))
    item = jnp.asarray([7, 7, 7, 8], jnp.int32)
    loss = sampled_softmax(
        query, candidate, jnp.zeros(4), item[:2], item, jnp.asarray([0, 1], jnp.int32)
    )
    assert float(loss) == pytest.approx(2 * np.log(2))


def test_a_query_without_negatives_has_no_loss_and_no_gradient(float64) -> None:
    item = jnp.asarray([7], jnp.int32)
    query, candidate = jnp.ones((1, 3)), jnp.ones((1, 3))
    value, gradient = jax.value_and_grad(sampled_softmax)(
        query, candidate, jnp.zeros(1), item, item, jnp.zeros(1, jnp.int32)
    )
    assert float(value) == 0
    assert np.all(np.asarray(gradient) == 0)


def test_extreme_scores_stay_finite() -> None:
    query = jnp.full((4, 2), 1e4, jnp.float32)
    candidate = jnp.asarray(np.tile([[1, 1], [-1, -1]], (4, 1)), jnp.float32)
    item = jnp.arange(8, dtype=jnp.int32)
    value, gradient = jax.value_and_grad(sampled_softmax)(
        query, candidate, jnp.zeros(8), item[:4], item, jnp.arange(4, dtype=jnp.int32)
    )
    assert np.isfinite(float(value))
    assert np.isfinite(np.asarray(gradient)).all()


def test_it_estimates_the_softmax_over_the_whole_corpus() -> None:
    """With negatives drawn by a skewed law, the mean of exp(loss - what it should be) is 1.

    exp(loss) * p(positive) is an average of weights whose expectation is exactly 1, so over many
    draws the mean must come close: here 400 draws of 64 negatives from 50 items.
    """
    rng = np.random.default_rng(1)
    items, width, negatives = 50, 4, 64
    corpus = rng.normal(size=(items, width)).astype(np.float32)
    query = rng.normal(size=(1, width)).astype(np.float32)
    scores = (query @ corpus.T)[0].astype(np.float64)
    full = np.log(np.exp(scores).sum()) - scores[3]
    share = rng.dirichlet(np.ones(items))
    ratios = []
    sampled = jax.jit(sampled_softmax)
    for _ in range(400):
        drawn = rng.choice(items, negatives, p=share).astype(np.int32)
        item = np.concatenate([[3], drawn]).astype(np.int32)
        loss = sampled(
            jnp.asarray(query),
            jnp.asarray(corpus[item]),
            jnp.asarray(np.log(negatives * share[item]), jnp.float32),
            jnp.asarray(item[:1]),
            jnp.asarray(item),
            jnp.zeros(1, jnp.int32),
        )
        ratios.append(np.exp(float(loss) - full))
    spread = np.std(ratios) / np.sqrt(len(ratios))
    assert np.mean(ratios) == pytest.approx(1, abs=4 * spread)
    assert spread < 0.1

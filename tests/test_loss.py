"""The sampled softmax against an independent reference in float64."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from antiphon.loss import Shared, _rounded, sampled_softmax


def _reference(query, candidate, bonus, own, shared):
    """One query and one candidate at a time, straight from the definition."""
    total, chance = 0.0, []
    for i, q in enumerate(query):
        score = float(q @ candidate[i]) + bonus[i]
        terms, even = [np.exp(score)], [1.0]
        for j, c in enumerate(candidate):
            accidental = shared.item[j] == shared.positive[i]
            same_query = j < len(query) and shared.group[j] == shared.group[i]
            bits = shared.left_out[shared.group[i], j // 8]
            heard = (int(bits) >> (j % 8)) & 1
            if not accidental and not same_query and not heard:
                terms.append(np.exp(float(q @ c)) / np.exp(shared.log_count[j]))
                even.append(1 / np.exp(shared.log_count[j]))
        terms += [
            np.exp(s) / np.exp(c) for s, c in zip(own[i], shared.own_log_count[i], strict=True)
        ]
        even += [1 / np.exp(c) for c in shared.own_log_count[i]]
        total += np.log(sum(terms)) - score
        chance.append(np.log(sum(even)))
    return total, np.array(chance)


def _random(seed, queries=12, negatives=10, width=5, items=9, own=3):
    rng = np.random.default_rng(seed)
    candidates = queries + negatives
    item = rng.integers(0, items, candidates).astype(np.int32)
    own_log_count = rng.normal(size=(queries, own))
    own_log_count[rng.random(own_log_count.shape) < 0.3] = np.inf
    heard = rng.random((4, candidates)) < 0.2
    return (
        rng.normal(size=(queries, width)),
        rng.normal(size=(candidates, width)),
        rng.normal(size=queries),
        rng.normal(size=(queries, own)),
        Shared(
            log_count=rng.normal(size=candidates),
            positive=item[:queries],
            item=item,
            group=np.sort(rng.integers(0, 4, queries)).astype(np.int32),
            left_out=np.packbits(heard, axis=1, bitorder="little"),
            own_log_count=own_log_count,
        ),
    )


def _plainly(query, candidate, log_count, positive, item, group):
    """The loss without anything that only one query has."""
    queries = len(query)
    return sampled_softmax(
        query,
        candidate,
        jnp.zeros(queries, query.dtype),
        jnp.zeros((queries, 0), query.dtype),
        Shared(
            log_count,
            positive,
            item,
            group,
            jnp.zeros((queries, -(-len(item) // 8)), jnp.uint8),
            jnp.zeros((queries, 0), query.dtype),
        ),
    )[0]


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("tile", [1, 5, 256])
@pytest.mark.parametrize("width", [4, 5])
def test_loss_and_gradient_are_those_of_the_definition(float64, tile, width) -> None:
    def plain(query, candidate, bonus, own, shared):
        logits = query @ candidate.T - shared.log_count
        places = jnp.arange(len(shared.item))
        none = jnp.full(len(shared.item) - len(shared.group), -1, shared.group.dtype)
        groups = jnp.concatenate([shared.group, none])
        bits = shared.left_out[shared.group][:, places // 8] >> (places % 8).astype(jnp.uint8)
        hit = (shared.item == shared.positive[:, None]) | (groups == shared.group[:, None])
        hit = hit | (bits & 1 == 1)
        score = jnp.sum(query * candidate[: len(query)], axis=1) + bonus
        parts = jnp.where(hit, -jnp.inf, logits), own - shared.own_log_count, score[:, None]
        return jnp.sum(jax.nn.logsumexp(jnp.concatenate(parts, axis=1), axis=1) - score)

    def scaled(*inputs):
        loss, chance = sampled_softmax(*inputs, tile)
        return 2.5 * loss, chance

    ours = jax.jit(jax.value_and_grad(scaled, (0, 1, 2, 3), has_aux=True))
    theirs = jax.jit(jax.value_and_grad(lambda *inputs: 2.5 * plain(*inputs), (0, 1, 2, 3)))
    for seed in range(20):
        inputs = _random(seed, width=width)
        (value, chance), gradients = ours(*inputs)
        expected, even = _reference(*inputs)
        assert float(value) == pytest.approx(2.5 * expected, rel=1e-12)
        # every eighth of a tile stands for it; a tile is every so manieth query; those of a loop
        # are half as large: 12 queries, not 5 but 3 at once
        tiles = {1: 12, 5: 4, 256: 1}[tile]
        told = sum(even[t::tiles][::8].mean() * (12 // tiles) for t in range(tiles))
        assert float(chance) == pytest.approx(told, rel=1e-12)
        for a, b in zip(gradients, theirs(*inputs)[1], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


def _in_float32(inputs):
    def number(x):
        return jnp.asarray(x, jnp.float32 if x.dtype == np.float64 else x.dtype)

    return jax.tree.map(number, inputs)


def _slope(tile, half):
    def loss(*inputs):
        return sampled_softmax(*inputs, tile, half)[0]

    return jax.jit(jax.value_and_grad(loss, (0, 1, 2, 3)))


def test_factors_of_half_precision_change_little() -> None:
    """bfloat16 keeps 8 bits, so a factor is off by 2^-9 at most, and a product by 2^-8 = .004."""
    for seed in range(5):
        inputs = _random(seed, queries=48, negatives=80, width=34, items=90)
        inputs = (inputs[0] / 4, *inputs[1:])
        whole, gradients = _slope(16, half=False)(*_in_float32(inputs))
        half, rounded = _slope(16, half=True)(*_in_float32(inputs))
        assert half != whole
        assert float(whole) == pytest.approx(_reference(*inputs)[0], rel=1e-5)
        assert float(half) == pytest.approx(float(whole), rel=2e-3)
        for a, b in zip(rounded, gradients, strict=True):
            assert 0 < np.linalg.norm(a - b) <= 0.01 * np.linalg.norm(b)


def test_a_weight_is_rounded_to_the_nearest_bfloat16() -> None:
    rng = np.random.default_rng(0)
    some = np.exp(-rng.exponential(20, 10_000)).astype(np.float32)
    some = np.concatenate([some, np.array([0, 1, 1e-45, 1 - 2**-24, 1 + 2**-8], np.float32)])
    ours = np.asarray(_rounded(jnp.asarray(some)), np.float32)
    theirs = np.asarray(jnp.asarray(some).astype(jnp.bfloat16), np.float32)
    np.testing.assert_array_equal(abs(ours - some), abs(theirs - some))


def test_products_are_of_half_precision_as_compiled() -> None:
    """XLA multiplies bfloat16 in some forms of a product only, and else converts it back."""
    cpu = Path("/proc/cpuinfo")
    if not cpu.exists() or "avx512_bf16" not in cpu.read_text():
        pytest.skip("this processor doesn't multiply bfloat16")
    inputs = _in_float32(_random(0, queries=1024, negatives=1024, width=66, items=5000, own=0))
    text = _slope(512, half=True).lower(*inputs).compile().as_text()
    dots = re.findall(r"= f32\[(\d+),(\d+)\]\S* dot\((%\S+), (%\S+)\)", text)
    large = [dot for dot in dots if {int(dot[0]), int(dot[1])} <= {64, 512, 2048}]
    assert len(large) >= 3
    for *_, left, right in large:
        for name in (left, right):
            (of,) = set(re.findall(rf"{re.escape(name)} = (\w+)\[", text))
            assert of == "bf16"


def test_an_accidental_hit_weighs_nothing(float64) -> None:
    # Two queries, both positives are item 7, one sampled negative is item 7 too and one item 8.
    # Scores are all 0, counts all 1: each query has its positive and item 8, so log(1 + 1).
    query, candidate = jnp.zeros((2, 3)), jnp.zeros((4, 3))
    item = jnp.asarray([7, 7, 7, 8], jnp.int32)
    loss = _plainly(query, candidate, jnp.zeros(4), item[:2], item, jnp.asarray([0, 1], jnp.int32))
    assert float(loss) == pytest.approx(2 * np.log(2))


def test_a_query_without_negatives_has_no_loss_and_no_gradient(float64) -> None:
    item = jnp.asarray([7], jnp.int32)
    query, candidate = jnp.ones((1, 3)), jnp.ones((1, 3))
    value, gradient = jax.value_and_grad(_plainly)(
        query, candidate, jnp.zeros(1), item, item, jnp.zeros(1, jnp.int32)
    )
    assert float(value) == 0
    assert np.all(np.asarray(gradient) == 0)


def test_extreme_scores_stay_finite() -> None:
    query = jnp.full((4, 2), 1e4, jnp.float32)
    candidate = jnp.asarray(np.tile([[1, 1], [-1, -1]], (4, 1)), jnp.float32)
    item = jnp.arange(8, dtype=jnp.int32)
    value, gradient = jax.value_and_grad(_plainly)(
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
    sampled = jax.jit(_plainly)
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


@pytest.mark.parametrize(("corrected", "least", "most"), [(True, 0.0, 0.005), (False, 0.05, 1.0)])
def test_its_optimum_is_that_of_the_softmax_over_the_whole_corpus(corrected, least, most) -> None:
    """What the full softmax learns at last is how often each item follows: so must this.

    Four kinds of queries, forty items, a logit for each pair. Positives are drawn from known
    probabilities, negatives come from the batch and from a skewed law. What is learned is compared
    with the truth: of the divergence less than 0.005 nats may remain, where more than 0.05 do
    without the correction.
    """
    rng = np.random.default_rng(2)
    kinds, items, batch, negatives, steps = 4, 40, 256, 128, 1000
    truth = rng.dirichlet(np.full(items, 0.5), size=kinds)
    truth = 0.98 * truth + 0.02 / items
    share = rng.dirichlet(np.full(items, 0.5)) * 0.5 + 0.5 / items
    expected = (batch - 1) * truth.mean(axis=0) + negatives * share
    log_count = np.log(expected) if corrected else np.zeros(items)

    @jax.jit
    def slope(logits, kind, item):
        def loss(logits):
            candidates, counts = jnp.eye(items)[item], jnp.asarray(log_count, jnp.float32)[item]
            groups = jnp.arange(batch, dtype=jnp.int32)
            return _plainly(logits[kind], candidates, counts, item[:batch], item, groups)

        return jax.grad(loss)(logits)

    logits = jnp.zeros((kinds, items))
    for step in range(steps):
        kind = rng.integers(0, kinds, batch)
        # the place where a uniform number falls among the sums of a kind's probabilities
        passed = truth[kind].cumsum(axis=1) < rng.random((batch, 1))
        drawn = rng.choice(items, negatives, p=share)
        item = np.concatenate([passed.sum(axis=1).clip(max=items - 1), drawn]).astype(np.int32)
        rate = 8 * (1 - step / steps) / batch
        logits = logits - rate * slope(logits, jnp.asarray(kind, jnp.int32), jnp.asarray(item))
    learned = np.asarray(jax.nn.log_softmax(logits, axis=1), np.float64)
    divergence = (truth * (np.log(truth) - learned)).sum(axis=1)
    assert least <= divergence.max() <= most, divergence

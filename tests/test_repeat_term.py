"""The repeat term against the formula in its docstring, in float64."""

import jax
import jax.numpy as jnp
import numpy as np

from antiphon.feature_layers import ContextEncoder
from antiphon.repeat_scores import GAIN, LEAST
from antiphon.repeat_term import RepeatTerm
from antiphon.schema import FittedCategorical

MOOD = FittedCategorical(name="mood", cardinality=2, values=("0", "1"))


def _plays(rng, queries: int, items: int, number: int) -> dict:
    count = rng.integers(1, 9, (queries, items))
    return {
        "age_h": np.sort(rng.gamma(1, 200, (queries, items, number)), axis=2).astype(np.float32),
        "known": np.arange(number) < count[..., None],
        "count": count.astype(np.int32),
        "context": {"mood": rng.integers(0, 3, (queries, items, number)).astype(np.int32)},
    }


def test_it_is_what_its_formula_says() -> None:
    rng = np.random.default_rng(0)
    context = ContextEncoder([MOOD])
    term = RepeatTerm(context)
    term.ask.kernel.assign(rng.normal(0, 0.03, term.ask.kernel.shape))
    term.ask.bias.assign(rng.normal(0, 0.03, term.ask.bias.shape))
    plays = _plays(rng, 3, 5, 4)
    moods = rng.integers(0, 3, (3, 2)).astype(np.int32)
    asked = context({"mood": jnp.asarray(moods)}, shape=(3, 2))
    found = np.asarray(term(asked, jax.tree.map(jnp.asarray, plays)))
    shares = np.asarray(term.shares(asked, 3, 2))

    encode = np.concatenate([np.ones((3, 1)), np.asarray(context.encoders[0].table.value)], axis=1)
    for q in range(3):
        for t in range(2):
            x = encode[moods[q, t]]
            given = GAIN * (x @ np.asarray(term.ask.kernel, np.float64) + np.asarray(term.ask.bias))
            bias, weight, fading, last, often = given[:5]
            np.testing.assert_allclose(shares[q, t, :3], 1 + given[5], rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(shares[q, t, 3:], 1 + given[6], rtol=1e-5, atol=1e-5)
            # fades by softplus(fading + log(e^0.5 - 1)), which is 0.5 where nothing is learned
            power = np.log1p(np.exp(fading) * np.expm1(0.5))
            for item in range(5):
                n = min(4, plays["count"][q, item])
                ages = plays["age_h"][q, item, :n].astype(np.float64)
                happened = encode[plays["context"]["mood"][q, item, :n]]
                mass = (np.exp(happened @ given[7:]) * (1 + ages) ** -power).sum()
                mass += (4 - n) * np.exp(LEAST)  # which stands for each play there is not
                expected = bias + (1 + weight) * np.log(mass) + last * np.log1p(ages[0])
                expected += often * np.log(plays["count"][q, item])
                np.testing.assert_allclose(found[q, t, item], expected, rtol=1e-4, atol=1e-4)


def test_what_was_never_played_gives_finite_gradients() -> None:
    rng = np.random.default_rng(1)
    context = ContextEncoder([])
    term = RepeatTerm(context)
    plays = _plays(rng, 2, 3, 4)
    plays["known"][:] = False
    plays["count"][:] = 0
    plays["context"] = {}

    def total(weights):
        out, _ = term.stateless_call(
            weights, [], jnp.ones((2, 1, 1)), jax.tree.map(jnp.asarray, plays)
        )
        return jnp.sum(out)

    gradients = jax.grad(total)([v.value for v in term.trainable_variables])
    assert all(np.isfinite(np.asarray(g)).all() for g in gradients)

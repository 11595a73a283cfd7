"""Shares of a batch, made apart, are the batch that one process makes."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import planted
from antiphon.batches import Batches
from antiphon.catalogue import Catalogue
from antiphon.merge import as_one
from antiphon.model import TwoTower
from antiphon.prepared import Prepared
from antiphon.schema import FittedCategorical
from antiphon.share import Share, uniform

ARTISTS = 7


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Prepared:
    return planted.moods(tmp_path_factory.mktemp("log") / "prepared", items=600)


def makers(prepared: Prepared, count: int) -> tuple[list[Batches], TwoTower]:
    """The makers of all shares, and a model; items have artists, up to two each."""
    artist = FittedCategorical(name="artist", cardinality=ARTISTS, values=None, max_values=2)
    schema = prepared.schema.model_copy(update={"item": (artist,)})
    codes = np.random.default_rng(0).integers(0, ARTISTS + 1, (601, 2)).astype(np.int32)
    catalogue = Catalogue(schema.item, prepared.item_counts(), {"artist": codes})
    config = planted.config(model__id_dropout=0.3)
    batches = [
        Batches(
            *(prepared.events, catalogue, schema, config.model, config.train, planted.DAY),
            share=Share(number, count),
        )
        for number in range(count)
    ]
    return batches, TwoTower(schema, config.model, config.train)


@pytest.mark.parametrize("count", [2, 4])
def test_the_loss_and_every_gradient_are_those_of_one_batch(prepared, count) -> None:
    (whole,), model = makers(prepared, 1)
    parts, _ = makers(prepared, count)
    rows = {name: layer.rows for name, layer in model.tables.items()}

    def loss(tables, batch):
        read = {
            name: layer.read(tables[name], batch["rows"][name])
            for name, layer in model.tables.items()
        }
        return model(read, batch)[0]

    step = jax.jit(jax.value_and_grad(loss))
    tables = {name: layer.table.value for name, layer in model.tables.items()}
    for number in (0, 5, 40):
        made = [part.batch(number) for part in parts]
        joined = jax.tree.map(lambda *arrays: jnp.concatenate(arrays), *made)
        merged = as_one(joined, count, rows)
        for name, listed in merged["rows"].items():
            real = np.asarray(listed)[np.asarray(listed) < rows[name]]
            assert len(set(real.tolist())) == len(real), "each row once"
        expected = step(tables, jax.tree.map(jnp.asarray, whole.batch(number)))
        found = step(tables, merged)
        np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)
        for name, gradient in expected[1].items():
            assert np.abs(gradient).max() > 0
            np.testing.assert_allclose(found[1][name], gradient, rtol=1e-3, atol=1e-4)


def test_a_share_reads_histories_of_its_own_queries_only(prepared) -> None:
    (whole,), _ = makers(prepared, 1)
    parts, _ = makers(prepared, 4)
    ages = [part.batch(3)["history"]["age"] for part in parts]
    assert [len(age) for age in ages] == [4, 4, 4, 4]
    assert np.array_equal(np.concatenate(ages), whole.batch(3)["history"]["age"])


def test_draws_of_a_share_are_part_of_those_of_the_whole() -> None:
    whole = np.random.default_rng(3)
    expected, after = whole.random((8, 3)), whole.random()
    for number in range(4):
        rng = np.random.default_rng(3)
        drawn = Share(number, 4).draws(rng).random((2, 3))
        assert np.array_equal(drawn, expected[2 * number : 2 * number + 2])
        assert rng.random() == after, "what is drawn next is the same for all"


def test_a_number_has_one_draw_and_all_are_evenly_spread() -> None:
    numbers = np.arange(100_000, dtype=np.int32)
    drawn = uniform(numbers, np.random.SeedSequence([0, 1]))
    assert np.array_equal(uniform(numbers[::-1], np.random.SeedSequence([0, 1])), drawn[::-1])
    counts = np.histogram(drawn, bins=10, range=(0, 1))[0]
    assert abs(counts - 10_000).max() < 5 * np.sqrt(9_000)  # five deviations of a binomial
    assert not np.array_equal(uniform(numbers, np.random.SeedSequence([0, 2])), drawn)

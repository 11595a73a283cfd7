"""TwoTower: the towers, the tables, and one training step inside `keras.Model.fit`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import keras
from jaxtyping import Array, Float32, Int32, Shaped

from antiphon.batches import Batch
from antiphon.loss import Shared, sampled_softmax
from antiphon.merge import as_one
from antiphon.repeat_term import RepeatTerm
from antiphon.schema import Schema
from antiphon.sections import ModelSection, TrainSection
from antiphon.sharding import Devices
from antiphon.tables import EmbeddingTable, table_rows
from antiphon.towers import CandidateTower, QueryTower

__all__ = ["TwoTower"]


class Scores(NamedTuple):
    """Of a batch of q queries under t contexts each; items are places in the batch's rows.

    Attributes:
        query: query embeddings.
        candidate: embeddings of the shared candidates; the first q * t are the positives.
        bonus: the repeat term of each positive; 0 for what wasn't heard before.
        own: scores of what each query's user has had before.
        own_item: the items of `own`.
        own_log_count: logarithm of the expected count of each; inf for none.
        item: the items of `candidate`.
    """

    query: Float32[Array, "q t width_and_trend"]
    candidate: Float32[Array, "candidates width_and_trend"]
    bonus: Float32[Array, "q t"]
    own: Float32[Array, "q t own"]
    own_item: Int32[Array, "q own"]
    own_log_count: Float32[Array, "q own"]
    item: Int32[Array, " candidates"]

    @property
    def positive(self) -> Float32[Array, "q t"]:
        """The scores of the positives."""
        target = self.candidate[: self.bonus.size].reshape(*self.bonus.shape, -1)
        return jnp.einsum("qtw,qtw->qt", self.query, target) + self.bonus


class TwoTower(keras.Model):
    """A query tower and a candidate tower over embedding tables.

    Tables, by name: `user`, `item`, and `item.NAME` for each categorical item feature.

    Args:
        steps: of the training, over which the dense weights' learning rate falls evenly to
            nothing; by default it doesn't.
    """

    def __init__(
        self, schema: Schema, model: ModelSection, train: TrainSection, steps: int | None = None
    ) -> None:
        super().__init__(name="two_tower")
        self.shares = Devices.current_shares()
        self.table_learning_rate = train.learning_rate
        self.half = train.precision == "bfloat16"
        self.id_dropout = model.id_dropout if schema.item else 0.0
        self.tables = {
            name: EmbeddingTable(name, rows, model.width, train.seed + number)
            for number, (name, rows) in enumerate(table_rows(schema).items())
        }
        # just before what it is for: whatever tables did may not matter to other weights
        keras.utils.set_random_seed(train.seed)
        self.query_tower = QueryTower.of(schema, model)
        self.candidate_tower = CandidateTower(schema.item, model.width)
        self.repeat_term = RepeatTerm(self.query_tower.context) if model.repeats else None
        rate: Any = train.dense_learning_rate
        if steps:
            rate = keras.optimizers.schedules.PolynomialDecay(rate, steps, end_learning_rate=0.0)
        self.compile(optimizer=keras.optimizers.Adam(rate))
        self.optimizer.build(self.trainable_variables)
        self.built = True

    def candidates(
        self,
        rows: Mapping[str, Float32[Array, "rows width"]],
        items: Mapping[str, Shaped[Array, "items ..."]],
    ) -> Float32[Array, "items width"]:
        """Vectors of the items whose table rows and features are given.

        Those without `has_id` are told by their content only: nothing is known of their own row.
        """
        value_rows = {name: rows[f"item.{name}"] for name in self.candidate_tower.tabled}
        item_rows = jnp.where(items["has_id"][:, None], rows["item"], 0.0)
        return self.candidate_tower(item_rows, value_rows, items)

    def scores(self, rows: Mapping[str, Float32[Array, "rows width"]], batch: Batch) -> Scores:
        """What the loss is made of, by the table rows that a batch touches."""
        vectors, trend = self.candidates(rows, batch["items"]), batch["items"]["trend"]
        positive, history = batch["positive"], batch["history"]
        queries, targets = positive.shape
        heard = history["item"]
        if self.repeat_term:
            heard = jnp.concatenate([heard, batch["own"]["older"]], axis=1)
        shared = jnp.concatenate([positive.reshape(-1), batch["negative"]])
        # one gather, so that there is one scatter on the way back
        taken = _rows(vectors, jnp.concatenate([heard.reshape(-1), shared]))
        heard_vectors = taken[: heard.size].reshape(*heard.shape, vectors.shape[1])
        candidate = jnp.concatenate([taken[heard.size :], _rows(trend, shared)], axis=1)
        query = self.query_tower(
            _rows(rows["user"], batch["user"]),
            batch["is_known"],
            heard_vectors[:, : history["item"].shape[1]],
            history["age"],
            history["context"],
            batch["context"],
            contexts=targets,
        )
        scores = Scores(
            query=query,
            candidate=candidate,
            bonus=jnp.zeros((queries, targets)),
            own=jnp.zeros((queries, targets, 0)),
            own_item=heard[:, :0],
            own_log_count=jnp.zeros((queries, 0)),
            item=shared,
        )
        if not self.repeat_term:
            return scores
        asked = self.query_tower.context(batch["context"], shape=(queries, targets))
        again = self.repeat_term(asked, batch["own"]["plays"])
        width = vectors.shape[1]
        counted = query * self.repeat_term.shares(asked, width, trend.shape[1])
        own = jnp.einsum("qtw,qlw->qtl", counted[..., :width], heard_vectors)
        own = own + jnp.einsum("qtw,qlw->qtl", counted[..., width:], _rows(trend, heard))
        target = candidate[: positive.size].reshape(queries, targets, -1)
        bonus = jnp.diagonal(again[..., heard.shape[1] :], axis1=1, axis2=2)
        bonus = bonus + jnp.sum((counted - query) * target, axis=-1)
        heard_before = batch["own"]["plays"]["count"][:, heard.shape[1] :] > 0
        return scores._replace(
            bonus=jnp.where(heard_before, bonus, 0.0),
            own=own + again[..., : heard.shape[1]],
            own_item=heard,
            own_log_count=batch["own"]["log_expected_count"],
        )

    def call(
        self, rows: Mapping[str, Float32[Array, "rows width"]], batch: Batch
    ) -> tuple[Float32[Array, ""], Float32[Array, ""]]:
        """The summed loss of a batch, and of chance."""
        scores = self.scores(rows, batch)
        queries, targets = batch["positive"].shape
        examples = queries * targets
        accidental = scores.own_item[:, None] == batch["positive"][..., None]
        own_log_count = jnp.where(accidental, jnp.inf, scores.own_log_count[:, None])
        return sampled_softmax(
            scores.query.reshape(examples, scores.query.shape[-1]),
            scores.candidate,
            scores.bonus.reshape(examples),
            scores.own.reshape(examples, scores.own.shape[-1]),
            Shared(
                log_count=batch["log_expected_count"],
                positive=scores.item[:examples],
                item=scores.item,
                group=jnp.repeat(jnp.arange(queries, dtype=jnp.int32), targets),
                left_out=batch["left_out"],
                own_log_count=own_log_count.reshape(examples, scores.own.shape[-1]),
            ),
            half=self.half,
        )

    def train_step(
        self, state: tuple[list[Array], ...], data: tuple[Batch]
    ) -> tuple[dict[str, Array], tuple[list[Array], ...]]:
        """One step: Adam for the dense weights, row-wise Adagrad for the rows touched."""
        trainable, non_trainable, optimizer_variables, metrics_variables = state
        (batch,) = data
        if self.shares > 1:
            table_rows = {name: layer.rows for name, layer in self.tables.items()}
            wish, batch = jnp.max(batch["wish"]), as_one(batch, self.shares, table_rows)
        place = {v.path: i for i, v in enumerate(self.non_trainable_variables)}
        at = {
            name: (place[layer.table.path], place[layer.accumulator.path])
            for name, layer in self.tables.items()
        }
        rows = {
            name: self.tables[name].read(non_trainable[table], batch["rows"][name])
            for name, (table, _) in at.items()
        }

        def summed_loss(
            trainable: list[Array], rows: dict[str, Array]
        ) -> tuple[Float32[Array, ""], Float32[Array, ""]]:
            (loss, chance), _ = self.stateless_call(trainable, non_trainable, rows, batch)
            return loss, chance

        (loss, chance), (dense_gradients, row_gradients) = jax.value_and_grad(
            summed_loss, argnums=(0, 1), has_aux=True
        )(trainable, rows)
        examples = batch["positive"].size
        trainable, optimizer_variables = self.optimizer.stateless_apply(
            optimizer_variables, [g / examples for g in dense_gradients], trainable
        )
        non_trainable = list(non_trainable)
        for name, (table, accumulator) in at.items():
            non_trainable[table], non_trainable[accumulator] = self.tables[name].adagrad(
                non_trainable[table],
                non_trainable[accumulator],
                batch["rows"][name],
                rows[name],
                row_gradients[name],
                self.table_learning_rate,
            )
        logs = {"loss": loss / examples, "chance": chance / examples}
        if self.shares > 1:
            logs["wish"] = wish
        return logs, (trainable, non_trainable, optimizer_variables, metrics_variables)


def _rows(
    table: Float32[Array, "rows width"], places: Int32[Array, "..."]
) -> Float32[Array, "... width"]:
    """Rows at places that the batch's maker found, so that nothing need be checked."""
    return table.at[places].get(mode="promise_in_bounds")

"""TwoTower: the towers, the tables, and one training step inside `keras.Model.fit`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import keras
from jaxtyping import Array, Float32, Int32, Shaped

from antiphon.batches import Batch
from antiphon.embedding import INITIAL_ACCUMULATOR, adagrad_rows, initial_table, read_rows
from antiphon.loss import sampled_softmax
from antiphon.schema import FittedCategorical, Schema
from antiphon.sections import ModelSection, TrainSection
from antiphon.towers import CandidateTower, QueryTower

__all__ = ["TwoTower"]


class EmbeddingTable(keras.layers.Layer):
    """A table and its accumulators, updated by the training step and not by the optimizer."""

    def __init__(self, name: str, rows: int, width: int, seed: int) -> None:
        super().__init__(name=name.replace(".", "_"))
        self.table = self.add_weight(
            name="table",
            shape=(rows, width),
            initializer=lambda *_, **__: initial_table(rows, width, seed),
            trainable=False,
        )
        self.accumulator = self.add_weight(
            name="accumulator",
            shape=(rows,),
            initializer=keras.initializers.Constant(INITIAL_ACCUMULATOR),
            trainable=False,
        )
        self.built = True


class TwoTower(keras.Model):
    """A query tower and a candidate tower over embedding tables.

    Tables, by name: `user`, `item`, and `item.NAME` for each categorical item feature.
    """

    def __init__(self, schema: Schema, model: ModelSection, train: TrainSection) -> None:
        super().__init__(name="two_tower")
        keras.utils.set_random_seed(train.seed)
        sizes = {"user": schema.user_count + 1, "item": schema.item_count + 1}
        for feature in schema.item:
            if isinstance(feature, FittedCategorical):
                sizes[f"item.{feature.name}"] = feature.cardinality + 1
        self.table_learning_rate = train.learning_rate
        self.tables = {
            name: EmbeddingTable(name, rows, model.width, train.seed + number)
            for number, (name, rows) in enumerate(sizes.items())
        }
        self.query_tower = QueryTower(schema.context, model.width, model.temperature)
        self.candidate_tower = CandidateTower(schema.item, model.width)
        self.compile(optimizer=keras.optimizers.Adam(train.dense_learning_rate))
        self.optimizer.build(self.trainable_variables)
        self.built = True

    def candidates(
        self,
        rows: Mapping[str, Float32[Array, "rows width"]],
        items: Mapping[str, Shaped[Array, "items ..."]],
    ) -> Float32[Array, "items width"]:
        """Unit vectors of the items whose table rows and features are given."""
        value_rows = {name: rows[f"item.{name}"] for name in self.candidate_tower.tabled}
        return self.candidate_tower(rows["item"], value_rows, items)

    def queries(
        self,
        user: Float32[Array, "queries width"],
        vectors: Float32[Array, "items width"],
        batch: Mapping[str, Any],
        contexts: int,
    ) -> Float32[Array, "queries contexts width_and_one"]:
        """Query embeddings; `vectors` are what `history.item` of the batch points into."""
        history = batch["history"]
        return self.query_tower(
            user,
            _rows(vectors, history["item"]),
            history["age"],
            history["context"],
            batch["context"],
            contexts=contexts,
        )

    def call(
        self, rows: Mapping[str, Float32[Array, "rows width"]], batch: Batch
    ) -> Float32[Array, ""]:
        """The summed loss of a batch, as a function of the table rows it touches."""
        vectors = self.candidates(rows, batch["items"])
        positive, negative = batch["positive"], batch["negative"]
        user = _rows(rows["user"], batch["user"])
        query = self.queries(user, vectors, batch, positive.shape[1])
        examples = positive.size
        item = jnp.concatenate([positive.reshape(examples), negative])
        popularity = batch["items"]["log_popularity"][:, None]
        candidate = _rows(jnp.concatenate([vectors, popularity], axis=1), item)
        return sampled_softmax(
            query.reshape(examples, query.shape[-1]),
            candidate,
            batch["log_expected_count"],
            item[:examples],
            item,
            jnp.repeat(jnp.arange(len(positive), dtype=jnp.int32), positive.shape[1]),
        )

    def train_step(
        self, state: tuple[list[Array], ...], data: tuple[Batch]
    ) -> tuple[dict[str, Array], tuple[list[Array], ...]]:
        """One step: Adam for the dense weights, row-wise Adagrad for the rows touched."""
        trainable, non_trainable, optimizer_variables, metrics_variables = state
        (batch,) = data
        place = {v.path: i for i, v in enumerate(self.non_trainable_variables)}
        at = {
            name: (place[layer.table.path], place[layer.accumulator.path])
            for name, layer in self.tables.items()
        }
        rows = {
            name: read_rows(non_trainable[table], batch["rows"][name])
            for name, (table, _) in at.items()
        }

        def summed_loss(trainable: list[Array], rows: dict[str, Array]) -> Float32[Array, ""]:
            loss, _ = self.stateless_call(trainable, non_trainable, rows, batch)
            return loss

        loss, (dense_gradients, row_gradients) = jax.value_and_grad(summed_loss, argnums=(0, 1))(
            trainable, rows
        )
        examples = batch["positive"].size
        trainable, optimizer_variables = self.optimizer.stateless_apply(
            optimizer_variables, [g / examples for g in dense_gradients], trainable
        )
        non_trainable = list(non_trainable)
        for name, (table, accumulator) in at.items():
            non_trainable[table], non_trainable[accumulator] = adagrad_rows(
                non_trainable[table],
                non_trainable[accumulator],
                batch["rows"][name],
                rows[name],
                row_gradients[name],
                self.table_learning_rate,
            )
        logs = {"loss": loss / examples, "chance": jnp.mean(batch["chance"])}
        return logs, (trainable, non_trainable, optimizer_variables, metrics_variables)


def _rows(
    table: Float32[Array, "rows width"], places: Int32[Array, "..."]
) -> Float32[Array, "... width"]:
    """Rows at places that the batch's maker found, so that nothing need be checked."""
    return table.at[places].get(mode="promise_in_bounds")

"""The seed's recipe: a published example of a context-aware two-tower model, written anew.

Query tower: a user embedding and one embedding a context feature, side by side, through one dense
layer with a relu. Candidate tower: an item embedding. Loss: softmax over the batch's own items,
averaged over the batch. Optimiser: Keras's Adagrad at a rate of 0.1, over whole tables. Width 64,
batches of 8,192, five epochs.

It stays near chance, a loss of ln(batch): the mean makes gradients some 1 / 8,192 of an example's,
and Adagrad divides by the root of an accumulator that starts at 0.1, so that nothing moves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import keras
import numpy as np
from jaxtyping import Float32

from antiphon.baselines.history import TrainingLog
from antiphon.baselines.lists import BLOCK_FLOATS, DenseScores, Order
from antiphon.prepared import owners
from antiphon.queries import Queries
from antiphon.schema import FittedCategorical

__all__ = ["SeedScorer", "SeedTables", "SeedTowers", "seed_step", "train_seed"]

BATCH_SIZE = 8192
EPOCHS = 5
WIDTH = 64
LEARNING_RATE = 0.1

State = tuple[list[Any], list[Any]]
"""Trainable variables and the optimizer's, in the order of Keras."""

Step = Callable[[State, Mapping[str, Any]], tuple[State, Any]]


class SeedTowers(keras.Model):
    """The two towers; rows by number, row 0 is never trained."""

    def __init__(
        self, user_rows: int, item_rows: int, context_rows: Sequence[int], width: int, seed: int
    ) -> None:
        """Make the tables.

        Args:
            user_rows: of the user table.
            item_rows: of the item table.
            context_rows: of the table of each categorical context feature.
            width: of every embedding.
            seed: of the initial weights.
        """
        super().__init__()

        def table(rows: int, name: str, number: int) -> Any:
            start = keras.initializers.RandomUniform(seed=seed * 1000 + number)
            layer = keras.layers.Embedding(rows, width, embeddings_initializer=start, name=name)
            layer.build((None,))
            return layer

        self.user = table(user_rows, "user", 0)
        self.item = table(item_rows, "item", 1)
        self.context = [table(rows, f"context_{i}", 2 + i) for i, rows in enumerate(context_rows)]
        self.fuse = keras.layers.Dense(
            width,
            activation="relu",
            kernel_initializer=keras.initializers.GlorotUniform(seed=seed * 1000 + 999),
            name="fuse",
        )
        self.fuse.build((None, width * (1 + len(context_rows))))
        self.built = True

    def call(self, batch: Mapping[str, Any]) -> tuple[Any, Any]:
        """Query and candidate embeddings of `user`, `context` [batch, features] and `item`."""
        parts = [self.user(batch["user"])]
        parts += [layer(batch["context"][:, i]) for i, layer in enumerate(self.context)]
        return self.fuse(keras.ops.concatenate(parts, axis=1)), self.item(batch["item"])


def seed_step(towers: SeedTowers) -> tuple[Step, State]:
    """One jitted training step and the state to start it from.

    `state, loss = step(state, batch)` gives the old state's buffers away. A batch holds int32
    arrays `user` [batch], `item` [batch] and `context` [batch, features].
    """
    optimizer = keras.optimizers.Adagrad(LEARNING_RATE)
    optimizer.build(towers.trainable_variables)
    softmax = keras.losses.CategoricalCrossentropy(from_logits=True)

    def loss_of(trainable: list[Any], batch: Mapping[str, Any]) -> Any:
        (query, candidate), _ = towers.stateless_call(trainable, [], batch)
        scores = keras.ops.matmul(query, keras.ops.transpose(candidate))
        return softmax(keras.ops.eye(scores.shape[0], dtype=scores.dtype), scores)

    def step(state: State, batch: Mapping[str, Any]) -> tuple[State, Any]:
        trainable, slots = state
        loss, gradients = jax.value_and_grad(loss_of)(trainable, batch)
        trainable, slots = optimizer.stateless_apply(slots, gradients, trainable)
        return (trainable, slots), loss

    state = (
        [variable.value for variable in towers.trainable_variables],
        [variable.value for variable in optimizer.variables],
    )
    return jax.jit(step, donate_argnums=0), state


@dataclass(frozen=True)
class SeedTables:
    """Trained weights.

    Attributes:
        user: user embeddings by number.
        item: item embeddings by number.
        context: embeddings of each context feature by code.
        kernel: of the dense layer.
        bias: of the dense layer.
        loss: of each step.
    """

    user: Float32[np.ndarray, "users width"]
    item: Float32[np.ndarray, "items width"]
    context: tuple[Float32[np.ndarray, "codes width"], ...]
    kernel: Float32[np.ndarray, "inputs width"]
    bias: Float32[np.ndarray, " width"]
    loss: Float32[np.ndarray, " steps"]

    def arrays(self) -> Mapping[str, np.ndarray]:
        """What to keep on disk."""
        kept = {"user": self.user, "item": self.item, "kernel": self.kernel, "bias": self.bias}
        contexts = {f"context_{i}": table for i, table in enumerate(self.context)}
        return {**kept, **contexts, "loss": self.loss}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray]) -> SeedTables:
        """From what `arrays` gave."""
        count = sum(name.startswith("context_") for name in arrays)
        context = tuple(arrays[f"context_{i}"] for i in range(count))
        rest = {name: arrays[name] for name in ("user", "item", "kernel", "bias", "loss")}
        return cls(context=context, **rest)


def train_seed(log: TrainingLog, *, most_steps: int, seed: int = 0) -> SeedTables:
    """Train on all events of a log, as the recipe says, but no more than `most_steps` steps.

    The batch is 8,192 or, on a smaller log, all of it; the rest of an epoch is dropped.
    """
    events = log.count
    batch_size = min(BATCH_SIZE, events)
    steps = min(EPOCHS * (events // max(batch_size, 1)), most_steps)
    rows = [f.cardinality + 1 for f in log.schema.context if isinstance(f, FittedCategorical)]
    towers = SeedTowers(len(log.user_starts) - 1, log.width, rows, WIDTH, seed)
    step, state = seed_step(towers)
    users = owners(log.user_starts)
    rng = np.random.default_rng(seed)
    losses, order = [], np.zeros(0, np.int64)
    for _ in range(steps):
        if len(order) < batch_size:
            order = rng.permutation(events)
        chosen, order = order[:batch_size], order[batch_size:]
        batch = {
            "user": users[chosen].astype(np.int32),
            "item": log.row_items[chosen],
            "context": log.cell_codes[log.row_cells[chosen]],
        }
        state, loss = step(state, batch)
        losses.append(loss)
    names = [variable.path for variable in towers.trainable_variables]
    values = dict(zip(names, map(np.asarray, state[0]), strict=True))
    return SeedTables(
        user=values["user/embeddings"],
        item=values["item/embeddings"],
        context=tuple(values[f"context_{i}/embeddings"] for i in range(len(rows))),
        kernel=values["fuse/kernel"],
        bias=values["fuse/bias"],
        loss=np.asarray(losses, np.float32),
    )


class SeedScorer:
    """Products of query and candidate embeddings.

    Strangers have row 0, as it was initialised: the recipe has nothing else for them.
    """

    def __init__(self, log: TrainingLog, tables: SeedTables) -> None:
        """`log` is what the tables were trained on."""
        self.log, self.tables = log, tables
        self.candidates = np.arange(1, log.width, dtype=np.int32)
        self.chunk = max(16, BLOCK_FLOATS // log.width)

    def scores(self, queries: Queries, k: int) -> DenseScores:  # noqa: ARG002
        """See `Scorer`."""
        codes, cells = self.log.query_cells(queries)
        tables, users = self.tables, queries.user_number
        parts = [tables.user[users]]
        parts += [table[codes[cells, i]] for i, table in enumerate(tables.context)]
        query = np.maximum(np.concatenate(parts, axis=1) @ tables.kernel + tables.bias, 0)
        known = np.ones(len(users), bool)
        return DenseScores(query @ tables.item[1:].T, self.candidates, known)

    def order(self, queries: Queries) -> Order:  # noqa: ARG002
        """See `Scorer`; everything has a score, so nothing is left to fill up with."""
        return lambda row: self.candidates  # noqa: ARG005

"""An embedding table and its accumulators as a layer, on one device or on several.

Tables may take most of the memory there is, so they come and go in blocks of rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp
import keras
import numpy as np
from jaxtyping import Array, Float32, Int32, Shaped

from antiphon.embedding import INITIAL_ACCUMULATOR, adagrad_rows, initial_table, read_rows
from antiphon.schema import FittedCategorical, Schema
from antiphon.sharding import Spread

__all__ = ["BLOCK_ROWS", "EmbeddingTable", "table_rows"]

BLOCK_ROWS = 65_536


def table_rows(schema: Schema) -> dict[str, int]:
    """The rows of each table of a model: user, item, item.FEATURE; row 0 is the unknown one."""
    rows = {"user": schema.user_count + 1, "item": schema.item_count + 1}
    for feature in schema.item:
        if isinstance(feature, FittedCategorical):
            rows[f"item.{feature.name}"] = feature.cardinality + 1
    return rows


class EmbeddingTable(keras.layers.Layer):
    """A table and its accumulators, updated by the training step and not by the optimizer.

    Args:
        name: of the table.
        rows: that it has; over several devices there may be a few more in memory.
        width: of a row.
        seed: of its initial values, which are the same on any devices.
    """

    def __init__(self, name: str, rows: int, width: int, seed: int) -> None:
        super().__init__(name=name.replace(".", "_"))
        self.rows = rows
        self.spread = spread = Spread.current(rows)
        values = {
            "table": spread.initial(width, seed) if spread else initial_table(rows, width, seed),
            "accumulator": spread.full((), INITIAL_ACCUMULATOR)
            if spread
            else jnp.full(rows, INITIAL_ACCUMULATOR, jnp.float32),
        }
        layout = spread.sharding if spread else None
        with keras.name_scope(self.name, caller=self):
            self.table, self.accumulator = (
                keras.Variable(value, trainable=False, name=name, layout=layout)
                for name, value in values.items()
            )
        self.built = True

    def read(
        self, table: Float32[Array, "padded width"], rows: Int32[Array, " distinct"]
    ) -> Float32[Array, "distinct width"]:
        """See `read_rows`."""
        return self.spread.read(table, rows) if self.spread else read_rows(table, rows)

    def adagrad(
        self,
        table: Float32[Array, "padded width"],
        accumulator: Float32[Array, " padded"],
        rows: Int32[Array, " distinct"],
        values: Float32[Array, "distinct width"],
        gradient: Float32[Array, "distinct width"],
        learning_rate: float,
    ) -> tuple[Float32[Array, "padded width"], Float32[Array, " padded"]]:
        """See `adagrad_rows`."""
        if self.spread:
            return self.spread.adagrad(table, accumulator, rows, gradient, learning_rate)
        return adagrad_rows(table, accumulator, rows, values, gradient, learning_rate)

    def read_everywhere(
        self, table: Float32[Array, "padded width"], rows: Int32[Array, " distinct"]
    ) -> Float32[Array, "distinct width"]:
        """As `read`, all of the rows on every device."""
        return self.spread.read_everywhere(table, rows) if self.spread else read_rows(table, rows)

    @property
    def everywhere(self) -> jax.sharding.Sharding | None:
        """Of what all devices should have whole; None with one device."""
        return self.spread.everywhere if self.spread else None

    def shape_of(self, part: keras.Variable) -> tuple[int, ...]:
        """The shape of the table or its accumulators, without the padding."""
        return (self.rows, *part.shape[1:])

    def put(
        self,
        part: keras.Variable,
        rows: Int32[np.ndarray, " rows"],
        values: Shaped[np.ndarray, "rows ..."],
    ) -> None:
        """Overwrite some rows of the table or its accumulators, up to `BLOCK_ROWS`, in place.

        Rows past its end are dropped. One program serves every call: fewer rows are padded.
        """
        count = min(BLOCK_ROWS, self.rows)
        at = np.full(count, self.rows, np.int32)
        at[: len(rows)] = rows
        padded = np.zeros((count, *part.shape[1:]), values.dtype)
        padded[: len(rows)] = values
        part.assign(_put(part.value, at, padded, self.spread))

    def blocks(self, part: keras.Variable) -> Iterator[Shaped[np.ndarray, "rows ..."]]:
        """The table or its accumulators, from the first row to the last.

        (A view of all of it would keep its buffer from being reused.)
        """
        count = min(BLOCK_ROWS, self.rows)
        for start in range(0, self.rows, count):
            # the last block reaches back into the one before it, so that all have one shape
            at = min(start, self.rows - count)
            yield np.asarray(_block(part.value, at, count, self.spread))[start - at :]


@partial(jax.jit, donate_argnums=0, static_argnums=3)
def _put(
    table: Shaped[Array, "padded ..."],
    rows: Int32[Array, " rows"],
    values: Shaped[Array, "rows ..."],
    spread: Spread | None,
) -> Shaped[Array, "padded ..."]:
    if spread:
        return spread.put(table, rows, values)
    return table.at[rows].set(values, mode="drop")


@partial(jax.jit, static_argnums=(2, 3))
def _block(
    table: Shaped[Array, "padded ..."],
    at: Int32[Array, ""] | int,
    count: int,
    spread: Spread | None,
) -> Shaped[Array, "rows ..."]:
    if spread:
        return spread.read_everywhere(table, at + jnp.arange(count, dtype=jnp.int32))
    return jax.lax.dynamic_slice_in_dim(table, at, count)

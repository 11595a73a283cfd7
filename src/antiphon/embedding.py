"""Embedding tables whose step costs O(batch), however many rows they have.

A step reads the distinct rows it touches, differentiates with respect to those, and writes them
back into the donated buffers. The update is row-wise Adagrad: one accumulator a row, the mean of
the row's squared gradient (Duchi et al. 2011, "Adaptive subgradient methods"; the row-wise form is
that of TorchRec and FBGEMM).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float32, Int32

__all__ = [
    "INITIAL_ACCUMULATOR",
    "LENGTH",
    "adagrad_rows",
    "initial_chunks",
    "initial_table",
    "initial_values",
    "read_rows",
]

INITIAL_ACCUMULATOR = 0.1
CHUNK_ROWS = 65_536
LENGTH = 0.05
"""Of a row before training, about; what is played seldom stays close to nothing in particular."""


def initial_table(rows: int, width: int, seed: int) -> Float32[Array, "rows width"]:
    """Normal values of deviation `LENGTH` / sqrt(width).

    Filled in chunks into one buffer on the device: an initialiser that makes the whole table at
    once holds it several times over.
    """
    table = jnp.zeros((rows, width), jnp.float32)
    for number, at, count in initial_chunks(rows):
        table = _fill(table, seed, number, at, count)
    return table


def initial_chunks(rows: int) -> Iterator[tuple[int, int, int]]:
    """Number, first row and rows of each chunk of a new table."""
    chunk = min(CHUNK_ROWS, rows)
    for number, start in enumerate(range(0, rows, chunk)):
        # the last chunk reaches back into the one before it: any values will do
        yield number, min(start, rows - chunk), chunk


def initial_values(
    seed: Int32[Array, ""] | int, number: Int32[Array, ""] | int, count: int, width: int
) -> Float32[Array, "count width"]:
    """The values of one chunk."""
    key = jax.random.fold_in(jax.random.key(seed), number)
    values = jax.random.normal(key, (count, width), jnp.float32)
    return values * jnp.float32(LENGTH / width**0.5)


@partial(jax.jit, donate_argnums=0, static_argnums=4)
def _fill(
    table: Float32[Array, "rows width"],
    seed: Int32[Array, ""] | int,
    number: Int32[Array, ""] | int,
    at: Int32[Array, ""] | int,
    count: int,
) -> Float32[Array, "rows width"]:
    values = initial_values(seed, number, count, table.shape[1])
    return jax.lax.dynamic_update_slice(table, values, (at, 0))


def read_rows(
    table: Float32[Array, "rows *width"], rows: Int32[Array, " distinct"]
) -> Float32[Array, "distinct *width"]:
    """The named rows; zeros for the padding (a number past the table's end)."""
    return table.at[rows].get(mode="fill", fill_value=0.0, unique_indices=True)


def adagrad_rows(
    table: Float32[Array, "rows width"],
    accumulator: Float32[Array, " rows"],
    rows: Int32[Array, " distinct"],
    values: Float32[Array, "distinct width"],
    gradient: Float32[Array, "distinct width"],
    learning_rate: float,
) -> tuple[Float32[Array, "rows width"], Float32[Array, " rows"]]:
    """Row-wise Adagrad of the named rows only.

    Args:
        table: donated; written in place.
        accumulator: one a row; donated.
        rows: each row once; padding is past the table's end and changes nothing.
        values: the rows as read.
        gradient: of the summed loss. (Of a mean over a large batch it would be too small to move
            a table whose accumulator starts at 0.1.)
        learning_rate: step size.
    """
    total = accumulator.at[rows].get(mode="fill", fill_value=1.0, unique_indices=True)
    total = total + jnp.mean(gradient * gradient, axis=1)
    stepped = values - learning_rate * gradient * jax.lax.rsqrt(total)[:, None]
    return (
        table.at[rows].set(stepped, mode="drop", unique_indices=True),
        accumulator.at[rows].set(total, mode="drop", unique_indices=True),
    )

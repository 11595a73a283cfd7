"""Tables on several devices: all of each on every one of them, or each with rows of its own.

Either way a batch is shared evenly, and a step moves rows of the batch between devices, never a
table. Where a table is shared by rows, device d of n has one block of them; the last blocks are
padded with rows that nothing reads or writes, and that no file holds.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import keras
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float32, Int32, Shaped

from antiphon.embedding import adagrad_rows, initial_chunks, initial_values, read_rows

# these come without types
_split: Any = PartitionSpec
_ALL = _split()
_sum: Any = jax.lax.psum
_sum_scattered: Any = jax.lax.psum_scatter

__all__ = ["Devices", "Spread", "memory_bytes", "shares_rows"]

SHARE_OF_MEMORY = 0.5
"""Of a device's memory that tables may take on every one of several devices."""


class Devices(keras.distribution.DataParallel):
    """Within its scope, each device takes its share of every batch.

    Args:
        devices: all of them, on whatever machine.
        by_rows: whether each has rows of its own of every table, and all of all else.
    """

    def __init__(self, devices: Sequence[jax.Device], by_rows: bool) -> None:
        # in the order of processes, so that the share of each is in one piece
        in_order = sorted(devices, key=lambda device: (device.process_index, device.id))
        super().__init__(devices=in_order, auto_shard_dataset=False)
        self.by_rows = by_rows
        self.shares = len({device.process_index for device in in_order})

    @classmethod
    def current_shares(cls) -> int:
        """Of how many processes' batches a batch is made, in the scope of some devices."""
        devices = keras.distribution.distribution()
        return devices.shares if isinstance(devices, cls) else 1


def shares_rows(
    asked: Literal["auto", "data", "rows"],
    devices: int,
    memory_bytes: float,
    table_rows: Mapping[str, int],
    width: int,
) -> bool:
    """Whether tables are shared by rows; see `train.sharding`.

    `auto` does so where tables and accumulators would take more than half of a device's memory.

    Args:
        asked: what the config says.
        devices: how many there are.
        memory_bytes: that one of them has.
        table_rows: rows of each table.
        width: of a row.
    """
    if devices == 1 or asked == "data":
        return False
    if asked == "rows":
        return True
    needed = sum(table_rows.values()) * (width + 1) * np.dtype(np.float32).itemsize
    return needed > SHARE_OF_MEMORY * memory_bytes


def memory_bytes(devices: Sequence[jax.Device]) -> float:
    """The memory of one of the devices; those that are processors share the machine's."""
    local = [device for device in devices if device.process_index == jax.process_index()]
    known = (local[0].memory_stats() or {}).get("bytes_limit")
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return float(known or whole / len(local))


@dataclass(frozen=True)
class Spread:
    """How one table lies on several devices.

    Attributes:
        mesh: of one axis, which shares batches.
        rows: of the table, without padding.
        by_rows: each device has rows of its own; else each has all.
    """

    mesh: Mesh
    rows: int
    by_rows: bool

    @classmethod
    def current(cls, rows: int) -> Spread | None:
        """Of a new table of so many rows, within the scope of some devices; None outside."""
        devices = keras.distribution.distribution()
        if devices is None:
            return None
        by_rows = isinstance(devices, Devices) and devices.by_rows
        return cls(devices.device_mesh.backend_mesh, rows, by_rows)

    @property
    def sharding(self) -> NamedSharding:
        """Of the table and of its accumulators."""
        return NamedSharding(self.mesh, self._table)

    @property
    def everywhere(self) -> NamedSharding:
        """Of what every device has whole."""
        return NamedSharding(self.mesh, _ALL)

    @property
    def _axis(self) -> str:
        return str(self.mesh.axis_names[0])

    @property
    def _table(self) -> PartitionSpec:
        return _split(self._axis) if self.by_rows else _ALL

    @property
    def _padded(self) -> int:
        devices = self.mesh.size if self.by_rows else 1
        return -(-self.rows // devices) * devices

    def full(self, shape: tuple[int, ...], value: float) -> Float32[Array, "padded ..."]:
        """A table of one value."""
        make = partial(jnp.full, (self._padded, *shape), value, jnp.float32)
        return jax.jit(make, out_shardings=self.sharding)()

    def initial(self, width: int, seed: int) -> Float32[Array, "padded width"]:
        """As `embedding.initial_table`, with the same values, made where they belong."""
        table = self.full((width,), 0.0)
        for number, at, count in initial_chunks(self.rows):
            table = self._fill(table, seed, number, at, count)
        return table

    @partial(jax.jit, static_argnums=(0, 5), donate_argnums=1)
    def _fill(
        self,
        table: Float32[Array, "padded width"],
        seed: Int32[Array, ""] | int,
        number: Int32[Array, ""] | int,
        at: Int32[Array, ""] | int,
        count: int,
    ) -> Float32[Array, "padded width"]:
        rows = at + jnp.arange(count, dtype=jnp.int32)
        return self.put(table, rows, initial_values(seed, number, count, table.shape[1]))

    def read(
        self, table: Shaped[Array, "padded ..."], rows: Int32[Array, " distinct"]
    ) -> Shaped[Array, "distinct ..."]:
        """The named rows, zeros for the padding; they are shared evenly like the batch."""
        if not self.by_rows:
            return read_rows(table, rows)

        def read(table: Array, rows: Array) -> Array:
            own = read_rows(table, self._own(table, rows))
            return _sum_scattered(own, self._axis, tiled=True)

        return self._on_each(read, (self._table, _ALL), _split(self._axis))(table, rows)

    def read_everywhere(
        self, table: Shaped[Array, "padded ..."], rows: Int32[Array, " distinct"]
    ) -> Shaped[Array, "distinct ..."]:
        """The named rows, on every device."""

        def read(table: Array, rows: Array) -> Array:
            own = read_rows(table, self._own(table, rows))
            return _sum(own, self._axis) if self.by_rows else own

        return self._on_each(read, (self._table, _ALL), _ALL)(table, rows)

    def put(
        self,
        table: Shaped[Array, "padded ..."],
        rows: Int32[Array, " distinct"],
        values: Shaped[Array, "distinct ..."],
    ) -> Shaped[Array, "padded ..."]:
        """The table with the named rows replaced; rows past its end are dropped."""

        def put(table: Array, rows: Array, values: Array) -> Array:
            return table.at[self._own(table, rows)].set(values, mode="drop")

        return self._on_each(put, (self._table, _ALL, _ALL), self._table)(table, rows, values)

    def adagrad(
        self,
        table: Float32[Array, "padded width"],
        accumulator: Float32[Array, " padded"],
        rows: Int32[Array, " distinct"],
        gradient: Float32[Array, "distinct width"],
        learning_rate: float,
    ) -> tuple[Float32[Array, "padded width"], Float32[Array, " padded"]]:
        """As `embedding.adagrad_rows`: each device updates the rows that it has.

        All get the whole gradient and read their rows again: that moves less than rows would.
        """

        def update(
            table: Array, accumulator: Array, rows: Array, gradient: Array
        ) -> tuple[Array, Array]:
            own = self._own(table, rows)
            values = read_rows(table, own)
            return adagrad_rows(table, accumulator, own, values, gradient, learning_rate)

        update_all = self._on_each(
            update, (self._table, self._table, _ALL, _ALL), (self._table, self._table)
        )
        return update_all(table, accumulator, rows, gradient)

    def _own(
        self, table: Shaped[Array, "block ..."], rows: Int32[Array, " distinct"]
    ) -> Int32[Array, " distinct"]:
        """Where the rows stand in a device's own block; past its end if not in it."""
        if not self.by_rows:
            return rows
        block = table.shape[0]
        place = rows - jax.lax.axis_index(self._axis) * jnp.int32(block)
        there = (rows < self.rows) & (place >= 0) & (place < block)
        return jnp.where(there, place, block)

    def _on_each(self, function: Any, in_specs: Any, out_specs: Any) -> Any:
        return jax.shard_map(function, mesh=self.mesh, in_specs=in_specs, out_specs=out_specs)

"""A model as files: its state, from which training can go on, and the embedded corpus.

    tables/NAME.npy               embedding tables: user, item, item.FEATURE
    tables/NAME.accumulator.npy   their Adagrad accumulators
    dense.npz                     all other weights, by path
    optimizer.npz                 the state of their optimizer, by path below its own name

Tables may take most of the memory there is, so they are written and read in blocks of rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import jax
import keras
import numpy as np
from jaxtyping import Array, Int32, Shaped

from antiphon.catalogue import Catalogue
from antiphon.embedding import read_rows
from antiphon.errors import ArtifactError
from antiphon.model import TwoTower
from antiphon.npy import NpyWriter, read_blocks
from antiphon.rows import ItemInputs
from antiphon.trend import Trend

__all__ = [
    "BLOCK_ROWS",
    "dense_variables",
    "load_state",
    "put_rows",
    "read_dense",
    "save_candidates",
    "save_state",
    "table_variables",
]

CHUNK_ITEMS = 8192
BLOCK_ROWS = 65_536


def save_state(model: TwoTower, folder: Path) -> None:
    """Write all that training changes into an empty folder."""
    for name, variable in table_variables(model).items():
        value = variable.value
        with NpyWriter(folder / "tables" / f"{name}.npy", value.dtype, value.shape) as writer:
            for block in _blocks(value):
                writer.write(block)
    for name, weights in dense_variables(model).items():
        arrays = {path: np.asarray(variable.value) for path, variable in weights.items()}
        np.savez(folder / name, allow_pickle=False, **arrays)


def load_state(model: TwoTower, folder: Path) -> None:
    """Give a model the state that `save_state` wrote.

    Raises:
        ArtifactError: it is of a model of another form; this one is then as it was.
    """
    tables = {folder / "tables" / f"{name}.npy": v for name, v in table_variables(model).items()}
    for file, variable in tables.items():
        _check(file, {"table": _shape(file)}, {"table": variable})
    dense = {}
    for name, weights in dense_variables(model).items():
        dense[name] = read_dense(folder / name)
        _check(folder / name, {k: v.shape for k, v in dense[name].items()}, weights)
    for name, weights in dense_variables(model).items():
        for path, variable in weights.items():
            variable.assign(dense[name][path])
    for file, variable in tables.items():
        start = 0
        for block in read_blocks(file, BLOCK_ROWS):
            put_rows(variable, np.arange(start, start + len(block), dtype=np.int32), block)
            start += len(block)


def table_variables(model: TwoTower) -> dict[str, keras.Variable]:
    """Tables and accumulators, by the name of their file."""
    return {
        name: variable
        for table, layer in model.tables.items()
        for name, variable in (
            (table, layer.table),
            (f"{table}.accumulator", layer.accumulator),
        )
    }


def put_rows(
    variable: keras.Variable,
    rows: Int32[np.ndarray, " rows"],
    values: Shaped[np.ndarray, "rows ..."],
) -> None:
    """Overwrite some rows of a table, up to `BLOCK_ROWS`, in place; rows past its end are dropped.

    One program serves every call: fewer rows are padded.
    """
    table = variable.value
    count = min(BLOCK_ROWS, table.shape[0])
    at = np.full(count, table.shape[0], np.int32)
    at[: len(rows)] = rows
    padded = np.zeros((count, *table.shape[1:]), values.dtype)
    padded[: len(rows)] = values
    variable.assign(_put(table, at, padded))


@partial(jax.jit, donate_argnums=0)
def _put(
    table: Shaped[Array, "all ..."], rows: Int32[Array, " rows"], values: Shaped[Array, "rows ..."]
) -> Shaped[Array, "all ..."]:
    return table.at[rows].set(values, mode="drop")


def _blocks(table: Shaped[Array, "all ..."]) -> Iterator[Shaped[np.ndarray, "rows ..."]]:
    """A table in blocks of rows; a view of all of it would keep its buffer from being reused."""
    total = table.shape[0]
    count = min(BLOCK_ROWS, total)
    for start in range(0, total, count):
        # the last block reaches back into the one before it, so that all have one shape
        at = min(start, total - count)
        yield np.asarray(_block(table, at, count))[start - at :]


@partial(jax.jit, static_argnums=2)
def _block(
    table: Shaped[Array, "all ..."], at: Int32[Array, ""] | int, count: int
) -> Shaped[Array, "rows ..."]:
    return jax.lax.dynamic_slice_in_dim(table, at, count)


def dense_variables(model: TwoTower) -> dict[str, dict[str, keras.Variable]]:
    """All that isn't a table, by file and path."""
    # Keras numbers the optimizers of a process: their own names tell nothing
    files = {
        "dense.npz": [(v.path, v) for v in model.trainable_variables],
        "optimizer.npz": [(v.path.partition("/")[2], v) for v in model.optimizer.variables],
    }
    for name, named in files.items():
        if len(dict(named)) < len(named):
            raise ValueError(f"two weights in {name} have one path: {sorted(p for p, _ in named)}")
    return {name: dict(named) for name, named in files.items()}


def read_dense(path: Path) -> dict[str, Shaped[np.ndarray, "..."]]:
    """The arrays of `dense.npz` or `optimizer.npz`."""
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def _shape(path: Path) -> tuple[int, ...]:
    return tuple(np.load(path, mmap_mode="r", allow_pickle=False).shape)


def _check(
    path: Path, found: Mapping[str, tuple[int, ...]], variables: Mapping[str, keras.Variable]
) -> None:
    expected = {name: tuple(variable.shape) for name, variable in variables.items()}
    if dict(found) != expected:
        different = sorted(set(found.items()) ^ set(expected.items()))
        raise ArtifactError(
            f"{path} is of a model of another form",
            received=", ".join(f"{n} {s}" for n, s in different if found.get(n) == s) or None,
            allowed=", ".join(f"{n} {s}" for n, s in different if expected.get(n) == s) or None,
        )


def save_candidates(
    model: TwoTower, catalogue: Catalogue, trend: Trend, now_s: int, path: Path
) -> None:
    """Embed the corpus, with trends as of `now_s`, chunk by chunk: it is never in memory whole."""
    width = model.candidate_tower.width
    total = width + trend.width
    inputs = ItemInputs(catalogue, CHUNK_ITEMS)
    embed = jax.jit(
        lambda tables, rows, items: model.candidates(
            {name: read_rows(tables[name], rows[name]) for name in tables}, items
        )
    )
    tables = {name: t.table.value for name, t in model.tables.items() if name != "user"}
    with NpyWriter(path, np.float32, (catalogue.rows, total)) as writer:
        for start in range(0, catalogue.rows, CHUNK_ITEMS):
            numbers = np.arange(start, start + CHUNK_ITEMS, dtype=np.int32)
            items, value_rows = inputs.of(numbers)
            known = min(CHUNK_ITEMS, catalogue.rows - start)
            trends = trend.at(numbers[:known], now_s)
            # as in training (`Batches`)
            played = np.pad(catalogue.counts[numbers[:known]] > 0, (0, CHUNK_ITEMS - known))
            items["has_id"] = played | (not model.id_dropout)
            vectors = np.asarray(embed(tables, {"item": numbers, **value_rows}, items))
            writer.write(np.concatenate([vectors[:known], trends], axis=1))

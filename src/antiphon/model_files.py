"""A model as files: its state, from which training can go on, and the embedded corpus.

    tables/NAME.npy               embedding tables: user, item, item.FEATURE
    tables/NAME.accumulator.npy   their Adagrad accumulators
    dense.npz                     all other weights, by path
    optimizer.npz                 the state of their optimizer, by path below its own name

Tables may take most of the memory there is, so they are written and read in blocks of rows.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
from jaxtyping import Array, Shaped

from antiphon.catalogue import Catalogue
from antiphon.errors import ArtifactError
from antiphon.model import TwoTower
from antiphon.npy import NpyWriter, read_blocks
from antiphon.rows import ItemInputs
from antiphon.tables import BLOCK_ROWS, EmbeddingTable
from antiphon.trend import Trend

__all__ = [
    "dense_variables",
    "load_state",
    "read_dense",
    "save_candidates",
    "save_state",
    "table_parts",
]

CHUNK_ITEMS = 8192


def save_state(model: TwoTower, folder: Path | None) -> None:
    """Write all that training changes into an empty folder.

    Args:
        model: that is trained.
        folder: None where another process writes: tables may be shared, so all have to read them.
    """
    for name, (table, part) in table_parts(model).items():
        with _writer(folder and folder / "tables" / f"{name}.npy", table.shape_of(part)) as write:
            for block in table.blocks(part):
                write(block)
    if not folder:
        return
    for name, weights in dense_variables(model).items():
        arrays = {path: np.asarray(variable.value) for path, variable in weights.items()}
        np.savez(folder / name, allow_pickle=False, **arrays)


def load_state(model: TwoTower, folder: Path) -> None:
    """Give a model the state that `save_state` wrote.

    Raises:
        ArtifactError: it is of a model of another form; this one is then as it was.
    """
    tables = {folder / "tables" / f"{name}.npy": t for name, t in table_parts(model).items()}
    for file, (table, part) in tables.items():
        _check(file, {"table": _shape(file)}, {"table": table.shape_of(part)})
    dense = {}
    for name, weights in dense_variables(model).items():
        dense[name] = read_dense(folder / name)
        shapes = {path: tuple(variable.shape) for path, variable in weights.items()}
        _check(folder / name, {k: v.shape for k, v in dense[name].items()}, shapes)
    for name, weights in dense_variables(model).items():
        for path, variable in weights.items():
            variable.assign(dense[name][path])
    for file, (table, part) in tables.items():
        start = 0
        for block in read_blocks(file, BLOCK_ROWS):
            table.put(part, np.arange(start, start + len(block), dtype=np.int32), block)
            start += len(block)


def table_parts(model: TwoTower) -> dict[str, tuple[EmbeddingTable, keras.Variable]]:
    """Tables and accumulators, by the name of their file."""
    return {
        name: (layer, variable)
        for table, layer in model.tables.items()
        for name, variable in (
            (table, layer.table),
            (f"{table}.accumulator", layer.accumulator),
        )
    }


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
    path: Path, found: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]]
) -> None:
    if dict(found) != dict(expected):
        different = sorted(set(found.items()) ^ set(expected.items()))
        raise ArtifactError(
            f"{path} is of a model of another form",
            received=", ".join(f"{n} {s}" for n, s in different if found.get(n) == s) or None,
            allowed=", ".join(f"{n} {s}" for n, s in different if expected.get(n) == s) or None,
        )


@contextlib.contextmanager
def _writer(path: Path | None, shape: tuple[int, ...]) -> Iterator[Callable[[np.ndarray], None]]:
    """What writes a float32 array piece by piece, or nothing."""
    if path is None:
        yield lambda _: None
        return
    with NpyWriter(path, np.float32, shape) as writer:
        yield writer.write


def save_candidates(
    model: TwoTower, catalogue: Catalogue, trend: Trend, now_s: int, path: Path | None
) -> None:
    """Embed the corpus, with trends as of `now_s`, chunk by chunk: it is never in memory whole.

    As in `save_state`, there is no path where another process writes.
    """
    width = model.candidate_tower.width
    total = width + trend.kinds.width
    inputs = ItemInputs(catalogue, CHUNK_ITEMS)
    tower = model.candidate_tower.variables

    def embed(weights: Any, tables: Any, rows: Any, items: Any) -> Array:
        read = {name: model.tables[name].read_everywhere(tables[name], rows[name]) for name in rows}
        # weights on devices of other processes can't be part of a program: they are given to it
        with keras.StatelessScope(state_mapping=list(zip(tower, weights, strict=True))):
            return model.candidates(read, items)

    embedded = jax.jit(embed, out_shardings=model.tables["item"].everywhere)
    weights = [variable.value for variable in tower]
    tables = {name: t.table.value for name, t in model.tables.items() if name != "user"}
    with _writer(path, (catalogue.rows, total)) as write:
        for start in range(0, catalogue.rows, CHUNK_ITEMS):
            numbers = np.arange(start, start + CHUNK_ITEMS, dtype=np.int32)
            items, value_rows = inputs.of(numbers)
            known = min(CHUNK_ITEMS, catalogue.rows - start)
            trends = trend.at(numbers[:known], now_s)
            # as in training (`Batches`)
            played = np.pad(catalogue.counts[numbers[:known]] > 0, (0, CHUNK_ITEMS - known))
            items["has_id"] = played | (not model.id_dropout)
            vectors = np.asarray(embedded(weights, tables, {"item": numbers, **value_rows}, items))
            write(np.concatenate([vectors[:known], trends], axis=1))

"""A trained model as files: tables, dense weights, and the embedded corpus."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import jax
import keras
import numpy as np

from antiphon.catalogue import Catalogue
from antiphon.embedding import read_rows
from antiphon.model import TwoTower
from antiphon.rows import ItemInputs
from antiphon.trend import Trend

__all__ = ["dense_weights", "save"]

CHUNK_ITEMS = 8192


def save(
    model: TwoTower,
    catalogue: Catalogue,
    trend: Trend,
    now_s: int,
    folder: Path,
) -> None:
    """Write a trained model, and trends as of `now_s`, into an empty folder."""
    (folder / "tables").mkdir()
    for name, layer in model.tables.items():
        np.save(folder / "tables" / f"{name}.npy", np.asarray(layer.table.value))
        np.save(folder / "tables" / f"{name}.accumulator.npy", np.asarray(layer.accumulator.value))
    weights = dense_weights(model.trainable_variables)
    np.savez(folder / "dense.npz", allow_pickle=False, **weights)
    _save_candidates(model, catalogue, trend, now_s, folder / "candidates.npy")


def dense_weights(variables: Sequence[keras.Variable]) -> dict[str, np.ndarray]:
    """Values by path, under which they are found again."""
    weights = {v.path: np.asarray(v.value) for v in variables}
    if len(weights) < len(variables):
        raise ValueError(f"two weights have one path: {sorted(v.path for v in variables)}")
    return weights


def _save_candidates(
    model: TwoTower, catalogue: Catalogue, trend: Trend, now_s: int, path: Path
) -> None:
    """Embed the corpus chunk by chunk into a file, so that it is never in memory whole."""
    width = model.candidate_tower.width
    total = width + trend.width
    out = np.lib.format.open_memmap(
        path, mode="w+", dtype=np.float32, shape=(catalogue.rows, total)
    )
    inputs = ItemInputs(catalogue, CHUNK_ITEMS)
    embed = jax.jit(
        lambda tables, rows, items: model.candidates(
            {name: read_rows(tables[name], rows[name]) for name in tables}, items
        )
    )
    tables = {name: t.table.value for name, t in model.tables.items() if name != "user"}
    for start in range(0, catalogue.rows, CHUNK_ITEMS):
        numbers = np.arange(start, start + CHUNK_ITEMS, dtype=np.int32)
        items, value_rows = inputs.of(numbers)
        vectors = np.asarray(embed(tables, {"item": numbers, **value_rows}, items))
        end = min(start + CHUNK_ITEMS, catalogue.rows)
        out[start:end, :width] = vectors[: end - start]
        out[start:end, width:] = trend.at(numbers[: end - start], now_s)
    out.flush()

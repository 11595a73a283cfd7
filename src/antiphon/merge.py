"""Batches that several processes made, each for queries of its own, as one.

Each has lists of the table rows that its own queries touch, and places in those. Joined end to end
they name some rows more than once; a step must read and update each row once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int32

from antiphon.batches import Batch

__all__ = ["as_one"]


def as_one(batch: Batch, shares: int, table_rows: Mapping[str, int]) -> Batch:
    """The batch that one process would have made, but for the order of its lists of rows.

    Args:
        batch: of each part the arrays of `Batches.batch`, joined along their first axis.
        shares: how many parts.
        table_rows: rows of each table.
    """
    rows, first = {}, {}
    for name, listed in batch["rows"].items():
        rows[name], first[name] = _each_once(listed, table_rows[name])

    def placed(name: str, places: Array) -> Array:
        begin = jnp.arange(shares, dtype=jnp.int32) * (len(first[name]) // shares)
        there = (places.reshape(shares, -1) + begin[:, None]).reshape(places.shape)
        return jnp.where(places < 0, places, first[name][there])

    def of_items(part: Mapping[str, Any], key: str) -> dict[str, Any]:
        return {**part, key: placed("item", part[key])}

    values = {
        name: placed(f"item.{name}", values) if f"item.{name}" in rows else values
        for name, values in batch["items"].items()
    }
    log_count = batch["log_expected_count"].reshape(shares, -1)
    positives = batch["positive"].size // shares
    return {
        **batch,
        "rows": rows,
        "user": placed("user", batch["user"]),
        "items": values,
        "history": of_items(batch["history"], "item"),
        "own": of_items(batch["own"], "older") if batch["own"] else {},
        "positive": placed("item", batch["positive"]),
        "negative": placed("item", batch["negative"]),
        "log_expected_count": jnp.concatenate(
            [log_count[:, :positives].reshape(-1), log_count[:, positives:].reshape(-1)]
        ),
    }


def _each_once(
    listed: Int32[Array, " listed"], rows: int
) -> tuple[Int32[Array, " listed"], Int32[Array, " listed"]]:
    """The list with `rows`, which is padding, for what stands there before; and where it does."""
    place = jnp.arange(len(listed), dtype=jnp.int32)
    order = jnp.argsort(listed, stable=True).astype(jnp.int32)
    in_order = listed[order]
    begins = jnp.concatenate([jnp.ones(1, bool), in_order[1:] != in_order[:-1]])
    begin = jax.lax.cummax(jnp.where(begins, place, 0))
    first = jnp.zeros_like(place).at[order].set(order[begin], unique_indices=True)
    return jnp.where(first == place, listed, rows), first

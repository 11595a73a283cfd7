"""A process of several simulated devices that trains in several ways; see test_sharding.py.

python sharded.py PREPARED OUT
"""

from __future__ import annotations

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import conftest  # noqa: F401  the same checks as in the tests' own process
import planted
from antiphon.artifacts import write_json
from antiphon.checkpoints import Checkpoints
from antiphon.model_files import save_candidates, save_state
from antiphon.prepared import Prepared
from antiphon.train import train_model, training_inputs
from antiphon.trend import Kinds, Trend

STEPS = 12
WAYS = [(2, "data"), (4, "data"), (4, "rows")]


def config(sharding: str = "auto"):
    """64 examples a step; 120 users of 40 plays, nine days of ten: 4,320 events or so, 68 steps."""
    return planted.config(train__epochs=STEPS / 68, train__sharding=sharding)


def write(model, catalogue, training, prepared: Prepared, folder: Path) -> None:
    """The files of a trained model, and its losses."""
    folder.mkdir(parents=True)
    save_state(model, folder)
    now_s = prepared.schema.held_out_start_s
    kinds = Kinds.of(prepared.schema, config().model)
    trend = Trend.as_of(prepared.events, catalogue.rows, kinds, now_s)
    save_candidates(model, catalogue, trend, now_s, folder / "candidates.npy")
    write_json(folder / "losses.json", [training.loss, training.notes])


class KilledError(Exception):
    pass


def run(prepared: Prepared, count: int, sharding: str, checkpoints=None, kill_at=None):
    """Train on the first `count` devices."""

    def progress(step: int, steps: int, words: str) -> None:
        if step == kill_at:
            raise KilledError

    return train_model(
        *(config(sharding), prepared, prepared.events, prepared.item_counts(), progress),
        devices=jax.devices()[:count],
        checkpoints=checkpoints,
    )


def main(prepared: Prepared, out: Path) -> None:
    for count, sharding in WAYS:
        trained = run(prepared, count, sharding)
        item = trained[0].tables["item"].table.value
        assert len(item.sharding.device_set) == count
        own = item.addressable_shards[0].data.shape[0]
        assert own == (-(-30_001 // count) if sharding == "rows" else 30_001)
        write(*trained, prepared, out / f"{count}-{sharding}")

    # begun on four devices, ended on two
    settings = training_inputs(config())
    kept = Checkpoints(out / "checkpoints", settings, {"prepared": prepared.stage}, 1e-9)
    try:
        run(prepared, 4, "rows", kept, kill_at=6)
    except KilledError:
        kept.wait()
    kept = Checkpoints(out / "checkpoints", settings, {"prepared": prepared.stage}, 0.0)
    write(*run(prepared, 2, "rows", kept), prepared, out / "resumed")

    # what a check for transfers of tables must find
    split = NamedSharding(Mesh(np.array(jax.devices()), "batch"), PartitionSpec("batch"))
    table = jax.device_put(jnp.zeros((32_000, 16)), split)

    def train_step_that_moves_a_table(table, at):
        return jax.lax.dynamic_slice_in_dim(table, at, 8)

    jax.jit(train_step_that_moves_a_table)(table, 5).block_until_ready()


if __name__ == "__main__":
    main(Prepared.open(Path(sys.argv[1])), Path(sys.argv[2]))

"""A prepared log of any size whose events are made up, for whoever measures training.

40 events a user on average, numbers of plays near a power law, one context feature of two values.
With content, items have artists (a seventh as many as items; up to four of an item), an album (a
third as many) and an audio vector of 128 elements in half precision, as Yambda's have. All is
written to a folder and memory-mapped, as prepared logs are.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int32

from antiphon.artifacts import Stage
from antiphon.config import Config
from antiphon.event_arrays import write_orders
from antiphon.npy import NpyWriter
from antiphon.prepared import Events, Prepared
from antiphon.schema import FittedCategorical, FittedVector, Schema

__all__ = [
    *("CONTEXT", "DAY_S", "QUICK", "SIZES", "WIDTH"),
    *("Size", "open_log", "size_of", "write_content", "write_log"),
]

WIDTH = 64
CONTEXT = FittedCategorical(name="is_organic", cardinality=2, values=("0", "1"))
DAY_S = 86_400
DAYS = 20
EVENTS_PER_USER = 40
ARTISTS_OF_AN_ITEM = 4
SECOND_ARTIST = 0.15
AUDIO = 128
BLOCK = 65_536


@dataclass(frozen=True)
class Size:
    """Users and items."""

    users: int
    items: int


SIZES = {"138k": Size(52_501, 138_102), "9m": Size(1_000_000, 9_390_000)}
QUICK = {"138k": Size(2_000, 5_000), "9m": Size(20_000, 100_000)}
"""In the place of these, for a glance."""


def write_log(size: Size, folder: Path, seed: int = 0) -> None:
    """The arrays of the events."""
    rng = np.random.default_rng(seed)
    lengths = np.ceil(rng.lognormal(np.log(EVENTS_PER_USER) - 0.5, 1.0, size.users)).astype(int)
    offsets = np.concatenate([[0, 0], np.cumsum(lengths)])
    events = int(offsets[-1])
    # an item of rank r is played about r ** -0.8 times as often as the first
    rank = (1 + rng.random(events) * ((size.items + 1) ** 0.2 - 1)) ** 5
    rank = np.minimum(rank.astype(np.int64), size.items) - 1
    items = (rng.permutation(size.items)[rank] + 1).astype(np.int32)
    # one event in each of a user's equal shares of the time, hence in order
    place = np.arange(events) - np.repeat(offsets[1:-1], lengths)
    times_s = (place + rng.random(events)) / np.repeat(lengths, lengths) * DAYS * DAY_S
    (folder / "events/context").mkdir(parents=True)
    np.save(folder / "events/user_offsets.npy", offsets)
    np.save(folder / "events/item_number.npy", items)
    np.save(folder / "events/timestamp_s.npy", times_s.astype(np.int64))
    np.save(folder / "events/is_target.npy", np.ones(events, bool))
    codes = rng.integers(1, CONTEXT.cardinality + 1, events, dtype=CONTEXT.dtype)
    np.save(folder / f"events/context/{CONTEXT.name}.npy", codes)
    write_orders(folder / "events")
    counts = np.bincount(items, minlength=size.items + 1).astype(np.int32)
    np.save(folder / "counts.npy", counts)
    (folder / "size.json").write_text(json.dumps(vars(size)), encoding="utf-8")


def write_content(folder: Path, seed: int = 0) -> None:
    """The arrays of all items' content, beside the events."""
    rng = np.random.default_rng(seed)
    rows = size_of(folder).items + 1
    artist, album, audio = _content(rows - 1)
    features = folder / "item_features"
    codes = np.zeros((rows, artist.max_values), np.int32)
    codes[1:, 0] = rng.integers(1, artist.cardinality + 1, rows - 1)
    several = 1 + np.flatnonzero(rng.random(rows - 1) < SECOND_ARTIST)
    codes[several, 1] = rng.integers(1, artist.cardinality + 1, len(several))
    albums = rng.integers(1, album.cardinality + 1, rows, dtype=np.int32)
    albums[0] = 0
    features.mkdir()
    np.save(features / f"{artist.name}.npy", codes)
    np.save(features / f"{album.name}.npy", albums)
    # what the vectors hold costs nothing: one block of them serves all items
    block = (rng.standard_normal((BLOCK, audio.size)) * audio.size**-0.5).astype(np.float16)
    path = features / f"{audio.name}.npy"
    with NpyWriter(path, np.float16, (rows, audio.size)) as writer:
        for start in range(0, rows, BLOCK):
            writer.write(block[: min(BLOCK, rows - start)])


def size_of(folder: Path) -> Size:
    """Of a log that was written."""
    return Size(**json.loads((folder / "size.json").read_text(encoding="utf-8")))


def open_log(
    folder: Path, settings: Sequence[str] = (), *, content: bool = False
) -> tuple[Config, Prepared, Int32[np.ndarray, " items"]]:
    """A config with some settings, the log, and how often each item was played."""
    size, end_s = size_of(folder), DAYS * DAY_S
    schema = Schema(
        context=(CONTEXT,),
        item=_content(size.items) if content else (),
        item_count=size.items,
        user_count=size.users,
        train_end_s=end_s,
        held_out_start_s=end_s,
        held_out_end_s=end_s + DAY_S,
        validation_start_s=end_s - DAY_S,
        gap_s=0,
    )
    events = Events.open(folder / "events", (CONTEXT.name,))
    document = folder / "bench.toml"
    log = {"events": "none", "user": "user", "item": "item", "time": "time"}
    document.write_text("[log]\n" + "".join(f'{k} = "{v}"\n' for k, v in log.items()))
    config = Config.load(document, [f"model.width={WIDTH}", *settings])
    prepared = Prepared(Stage(folder, {}), schema, events, events)
    return config, prepared, np.load(folder / "counts.npy")


def _content(items: int) -> tuple[FittedCategorical, FittedCategorical, FittedVector]:
    return (
        FittedCategorical(name="artist", cardinality=items // 7 + 1, max_values=ARTISTS_OF_AN_ITEM),
        FittedCategorical(name="album", cardinality=items // 3 + 1),
        FittedVector(name="audio", size=AUDIO),
    )

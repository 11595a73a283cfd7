"""Yambda's files: names, columns, types, and their writing as a stream of row groups."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float32, UInt32

from antiphon.synthetic.feedback import KINDS, Events
from antiphon.synthetic.people import People
from antiphon.synthetic.world import World

__all__ = ["FLAT", "AudioWriter", "EventWriter", "write_mappings"]

FLAT = Path("flat") / "50m"
"""Where the event files lie; the folder is called so at every size."""

_KEYS = [
    pa.field("uid", pa.uint32()),
    pa.field("timestamp", pa.uint32()),
    pa.field("item_id", pa.uint32()),
    pa.field("is_organic", pa.uint8()),
]
_LISTEN = [
    pa.field("played_ratio_pct", pa.uint16()),
    pa.field("track_length_seconds", pa.uint32()),
]
_KIND = pa.field("event_type", pa.dictionary(pa.int8(), pa.string()))
_FILES = {
    "listen": ("listens", pa.schema(_KEYS + _LISTEN)),
    "like": ("likes", pa.schema(_KEYS)),
    "dislike": ("dislikes", pa.schema(_KEYS)),
    "unlike": ("unlikes", pa.schema(_KEYS)),
    "undislike": ("undislikes", pa.schema(_KEYS)),
}
_VECTOR = pa.list_(pa.float64())
_AUDIO = pa.schema([("item_id", pa.uint32()), ("embed", _VECTOR), ("normalized_embed", _VECTOR)])


class EventWriter:
    """Writes `multi_event.parquet` and one file for each kind of event; a context manager."""

    def __init__(self, folder: Path, world: World, people: People) -> None:
        self._world, self._people = world, people
        folder.mkdir(parents=True)
        self._stack = ExitStack()
        self._schema = pa.schema([*_KEYS, *_LISTEN, _KIND])
        self._all = self._open(folder / "multi_event.parquet", self._schema)
        self._single = {
            kind: (self._open(folder / f"{name}.parquet", schema), schema)
            for kind, (name, schema) in _FILES.items()
        }

    def _open(self, path: Path, schema: pa.Schema) -> pq.ParquetWriter:
        return self._stack.enter_context(pq.ParquetWriter(path, schema, compression="zstd"))

    def __enter__(self) -> EventWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def table(self, events: Events) -> pa.Table:
        """The events as rows of `multi_event`."""
        other = events.kind != 0
        length = self._world.track_length_s[events.track]
        columns = [
            pa.array(self._people.uid[events.user]),
            pa.array(events.time_s.astype(np.uint32)),
            pa.array(self._world.item_id[events.track]),
            pa.array(events.context.astype(np.uint8)),
            pa.array(events.played_ratio_pct.astype(np.uint16), mask=other),
            pa.array(length, mask=other),
            pa.DictionaryArray.from_arrays(events.kind.astype(np.int8), list(KINDS)),
        ]
        return pa.table(columns, schema=self._schema)

    def write(self, events: Events) -> None:
        """Append whole users, as one row group a file."""
        table = self.table(events)
        self._all.write_table(table)
        for number, kind in enumerate(KINDS):
            writer, schema = self._single[kind]
            rows = pa.array(np.flatnonzero(events.kind == number))
            writer.write_table(table.select(schema.names).take(rows))


class AudioWriter:
    """Writes `embeddings.parquet`, the vectors and the same at unit length; a context manager."""

    def __init__(self, folder: Path) -> None:
        # Values are float32 in float64, as in Yambda: split into byte streams, half of the bytes
        # are nearly constant and cost nothing.
        self._writer = pq.ParquetWriter(
            folder / "embeddings.parquet",
            _AUDIO,
            compression="zstd",
            use_dictionary=False,
            use_byte_stream_split=["embed.list.element", "normalized_embed.list.element"],
        )

    def __enter__(self) -> AudioWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self._writer.close()

    def write(
        self, item_id: UInt32[np.ndarray, " n"], vector: Float32[np.ndarray, "n audio"]
    ) -> None:
        """Append one row group."""
        count, size = vector.shape
        ends = pa.array(np.arange(count + 1, dtype=np.int32) * size)
        unit = vector / np.linalg.norm(vector, axis=1, keepdims=True)
        lists = [
            pa.ListArray.from_arrays(ends, pa.array(values.astype(np.float64).ravel()))
            for values in (vector, unit)
        ]
        self._writer.write_table(pa.table([pa.array(item_id), *lists], schema=_AUDIO))


def write_mappings(folder: Path, world: World, seed: int) -> None:
    """Artist and album of each item; one track in twenty has a second artist."""
    rng = np.random.default_rng([seed, 4])
    guests = np.flatnonzero(rng.random(world.tracks) < 0.05)
    artists = len(world.artist_latent)
    guest = (world.track_artist[guests] + rng.integers(1, artists, size=len(guests))) % artists
    artist = np.concatenate([world.track_artist, guest])
    of_artist = np.concatenate([world.item_id, world.item_id[guests]])
    for name, owner, item_id in (
        ("artist", artist, of_artist),
        ("album", world.track_album, world.item_id),
    ):
        order = np.lexsort((item_id, owner))
        owner_id = (owner[order] + 1).astype(np.uint32)
        table = pa.table({f"{name}_id": owner_id, "item_id": item_id[order]})
        pq.write_table(table, folder / f"{name}_item_mapping.parquet", compression="zstd")

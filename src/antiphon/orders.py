"""A log's events in two more orders than that of users: by time, and by a user's items.

Both are made a part of the log at a time, of whatever length it is: what a part needs is read once,
and what comes out is a block of rows that follows the block before. Prepare writes the blocks to
disk; where they aren't there, they are put together in memory.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import Int32, Int64, Shaped

from antiphon.npy import NpyWriter, read_rows
from antiphon.prepared import ByItem, ByTime, Events

__all__ = ["Columns", "by_item", "by_time", "in_item_order", "in_time_order", "write_orders"]

ROWS_AT_ONCE = 1 << 20
"""About as many events of an order are in memory at a time, or one user's where they are more."""
_BINS = 1 << 20

# the columns of `ByTime` or `ByItem`
Block = tuple[Shaped[np.ndarray, " rows"], Shaped[np.ndarray, " rows"], Shaped[np.ndarray, " rows"]]


@dataclass(frozen=True)
class Columns:
    """What orders are made of: any stretch [start, end) of the events' rows."""

    starts: Int64[np.ndarray, " users"]
    count: int
    item_number: Callable[[int, int], Int32[np.ndarray, " rows"]]
    timestamp_s: Callable[[int, int], Int64[np.ndarray, " rows"]]

    @classmethod
    def of(cls, events: Events) -> Columns:
        """Those of events in memory, or mapped; what is hidden from sight takes part."""
        return cls(
            events.starts,
            len(events.item_number),
            lambda start, end: np.asarray(events.item_number[start:end]),
            lambda start, end: np.asarray(events.timestamp_s[start:end]),
        )

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Where the stretches that are read at once start and end."""
        for start in range(0, self.count, ROWS_AT_ONCE):
            yield start, min(start + ROWS_AT_ONCE, self.count)


def write_orders(folder: Path) -> None:
    """Write the events of a folder in both orders, beside them: `by_time/` and `by_item/`."""
    # read and not mapped: touched pages would count as memory of the process
    offsets = np.load(folder / "user_offsets.npy")
    columns = Columns(
        offsets[:-1],
        count := int(offsets[-1]),
        partial(read_rows, folder / "item_number.npy"),
        partial(read_rows, folder / "timestamp_s.npy"),
    )
    # numpy sorts without holding the interpreter, so each order has a core where there are two
    with ThreadPoolExecutor(max_workers=2) as pool:
        for written in (
            pool.submit(_write, folder / "by_time", ByTime, count, in_time_order(columns, folder)),
            pool.submit(_write, folder / "by_item", ByItem, count, in_item_order(columns)),
        ):
            written.result()


def by_time(events: Events) -> ByTime:
    """All rows in the order of time: as it is on disk, or else made in memory."""
    if events.by_time is not None:
        return events.by_time
    return ByTime(
        *(np.concatenate(p) for p in zip(*in_time_order(Columns.of(events)), strict=True))
    )


def by_item(events: Events) -> ByItem:
    """All rows in the order of users' items: as it is on disk, or else made in memory."""
    if events.by_item is not None:
        return events.by_item
    return ByItem(
        *(np.concatenate(p) for p in zip(*in_item_order(Columns.of(events)), strict=True))
    )


def in_time_order(columns: Columns, spill: Path | None = None) -> Iterator[Block]:
    """The arrays of `ByTime`, a stretch of time at a time.

    A log of several blocks is dealt out to parts of time, one after the other in a file, and each
    part is then sorted by itself. (More of it is in memory where more than `ROWS_AT_ONCE` events
    share a millionth of the log's time.)

    Args:
        columns: of the events.
        spill: the folder of that file, which has 16 to 20 bytes an event; else the system's.
    """
    count = columns.count
    if count <= ROWS_AT_ONCE:
        yield _sorted(_records(columns, 0, count))
        return
    first_s, width_s, part_of = _parts(columns)
    with tempfile.TemporaryFile(dir=spill, buffering=0) as file:
        sizes = _deal_out(columns, first_s, width_s, part_of, file)
        file.seek(0)
        for size in sizes:
            part = np.fromfile(file, _record(count), size)
            yield _sorted(part)


def in_item_order(columns: Columns) -> Iterator[Block]:
    """Rows user by user, sorted by (item, time); where each row stands; how many came before.

    The arrays of `ByItem`, a range of users at a time.
    """
    count = columns.count
    bounds = np.append(columns.starts, count)
    dtype, first = _row_type(count), 0
    if not count:
        yield np.empty(0, dtype), np.empty(0, dtype), np.empty(0, np.int32)
    while first < len(columns.starts):
        last = int(np.searchsorted(bounds, bounds[first] + ROWS_AT_ONCE, side="right")) - 1
        last = max(last, first + 1)
        start, lengths = int(bounds[first]), np.diff(bounds[first : last + 1])
        user = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
        item = columns.item_number(start, start + len(user))
        order = _stable_order(user.astype(np.int64) << _bits(item) | item)
        at = np.arange(len(order), dtype=dtype)
        new = np.ones(len(order), bool)
        new[1:] = (np.diff(item[order]) != 0) | (np.diff(user[order]) != 0)
        place, earlier = np.empty(len(order), dtype), np.empty(len(order), np.int32)
        place[order] = start + at
        earlier[order] = at - np.maximum.accumulate(np.where(new, at, 0))
        if len(order):
            yield (start + order).astype(dtype), place, earlier
        first = last


def _whole(blocks: Iterator[Block]) -> Iterator[Shaped[np.ndarray, " events"]]:
    return (np.concatenate(parts) for parts in zip(*blocks, strict=True))


def _write(
    folder: Path, kind: type[ByTime] | type[ByItem], count: int, blocks: Iterator[Block]
) -> None:
    with ExitStack() as files:
        writers: list[NpyWriter] = []
        for block in blocks:
            for field, part in zip(fields(kind), block, strict=True):
                if len(writers) < len(block):
                    writer = NpyWriter(folder / f"{field.name}.npy", part.dtype, (count,))
                    writers.append(files.enter_context(writer))
            for writer, part in zip(writers, block, strict=True):
                writer.write(part)


def _row_type(events: int) -> type[np.int32] | type[np.int64]:
    """What holds the row numbers of so many events."""
    return np.int32 if events < 2**31 else np.int64


def _record(events: int) -> np.dtype[np.void]:
    return np.dtype(
        [("timestamp_s", np.int64), ("row", _row_type(events)), ("item_number", np.int32)]
    )


def _records(columns: Columns, start: int, end: int) -> Shaped[np.ndarray, " rows"]:
    records = np.empty(end - start, _record(columns.count))
    records["row"] = np.arange(start, end)
    records["timestamp_s"] = columns.timestamp_s(start, end)
    records["item_number"] = columns.item_number(start, end)
    return records


def _parts(columns: Columns) -> tuple[int, int, Int64[np.ndarray, " bins"]]:
    """The log's first second, how long a bin of time is, and which part each bin belongs to."""
    ends = [
        (int(times_s.min()), int(times_s.max()))
        for times_s in (columns.timestamp_s(start, end) for start, end in columns.blocks())
    ]
    first_s, last_s = min(low for low, _ in ends), max(high for _, high in ends)
    width_s = (last_s - first_s) // _BINS + 1
    counts = np.zeros((last_s - first_s) // width_s + 1, np.int64)
    for start, end in columns.blocks():
        bins = (columns.timestamp_s(start, end) - first_s) // width_s
        counts += np.bincount(bins, minlength=len(counts))
    before = np.cumsum(counts) - counts
    return first_s, width_s, np.unique(before // ROWS_AT_ONCE, return_inverse=True)[1]


def _deal_out(
    columns: Columns,
    first_s: int,
    width_s: int,
    part_of: Int64[np.ndarray, " bins"],
    file: IO[bytes],
) -> list[int]:
    """Write each event to its part of the file; how many each part has."""
    parts = int(part_of.max()) + 1
    sizes = np.zeros(parts, np.int64)
    for start, end in columns.blocks():
        bins = (columns.timestamp_s(start, end) - first_s) // width_s
        sizes += np.bincount(part_of[bins], minlength=parts)
    place = np.cumsum(sizes) - sizes
    for start, end in columns.blocks():
        records = _records(columns, start, end)
        part = part_of[(records["timestamp_s"] - first_s) // width_s]
        bounds = np.cumsum(np.bincount(part, minlength=parts))
        # few parts as 16-bit numbers are sorted in one pass
        order = np.argsort(part.astype(np.min_scalar_type(parts)), kind="stable")
        records = records[order]
        for number in np.flatnonzero(np.diff(bounds, prepend=0)):
            low = int(bounds[number - 1]) if number else 0
            some = records[low : bounds[number]]
            file.seek(int(place[number]) * records.itemsize)
            file.write(some.data)
            place[number] += len(some)
    return sizes.tolist()


def _sorted(records: Shaped[np.ndarray, " rows"]) -> Block:
    order = _stable_order(records["timestamp_s"])
    row, item, times_s = (records[name] for name in ("row", "item_number", "timestamp_s"))
    return row[order], item[order], times_s[order]


def _stable_order(values: Int64[np.ndarray, " rows"]) -> Int64[np.ndarray, " rows"]:
    first, bits = int(values.min(initial=0)), len(values).bit_length()
    if (int(values.max(initial=0)) - first).bit_length() + bits > 63:
        return np.argsort(values, kind="stable")
    # one sort of whole numbers, many times as fast as that of an index
    keys = (values - first) << bits
    keys |= np.arange(len(values))
    keys.sort()
    keys &= (1 << bits) - 1
    return keys


def _bits(numbers: Int32[np.ndarray, " rows"]) -> int:
    """How many hold each of them; none is negative."""
    return int(numbers.max(initial=0)).bit_length()

"""From a few numbers to a whole log on disk: draw, listen, count, write."""

from __future__ import annotations

import json
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from antiphon.errors import ConfigError, LogError
from antiphon.synthetic.audio import audio_blocks
from antiphon.synthetic.feedback import Events, with_feedback
from antiphon.synthetic.laws import Laws
from antiphon.synthetic.listening import Listener
from antiphon.synthetic.people import MAX_USERS, People
from antiphon.synthetic.summary import Count, SynthSummary, Tally
from antiphon.synthetic.tables import FLAT, AudioWriter, EventWriter, write_mappings
from antiphon.synthetic.truth import TRUTH, Truth
from antiphon.synthetic.world import LEAST_TRACKS, MAX_TRACKS, World

__all__ = ["SUMMARY", "synthesize"]

SUMMARY = "synthetic.json"
_FORMAT = 1
_BLOCK_LISTENS = 250_000
_EVENTS_A_USER = (10, 50_000)

Progress = Callable[[int, int], None]


def synthesize(
    out: Path,
    *,
    users: int,
    events: int,
    tracks: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> SynthSummary:
    """Write a log in the layout and with the marginal statistics of Yambda (arXiv 2505.22238).

    Writes `flat/50m/*.parquet`, `embeddings.parquet`, `artist_item_mapping.parquet`,
    `album_item_mapping.parquet`, `truth/` (for the oracle) and `synthetic.json` (arguments and
    measured statistics). The folder appears under its name when it is complete, not before. The
    same arguments give the same tables.

    Args:
        out: a folder that doesn't exist or is empty.
        users: how many there are; user 1001 is always one of them.
        events: rows of `multi_event` to aim at, of all kinds; met to about 1%.
        tracks: size of the catalogue, played or not; by default it grows with the events.
        seed: of everything random; not negative.
        progress: called with what is done and what there is to do, in listens and audio vectors.

    Raises:
        ConfigError: `out` is not empty, or a number is out of bounds.
        LogError: the disk refused, for example because it is full.
    """
    tracks = _default_tracks(events) if tracks is None else tracks
    _check(out, users, events, tracks, seed)
    partial = out.parent / f".{out.name}.partial"
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        summary = _write(partial, out, users, events, tracks, seed, progress)
        partial.rename(out)
    except OSError as error:
        raise LogError(
            "the synthetic log could not be written",
            received=error,
            hint="it takes about 25 bytes an event and 1 kB a track; see that there is room",
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return summary


def _write(
    folder: Path,
    out: Path,
    users: int,
    events: int,
    tracks: int,
    seed: int,
    progress: Progress | None,
) -> SynthSummary:
    laws = Laws()
    listens = round(events * laws.listens_of_rows)
    world = World.build(laws, tracks, seed)
    people = People.build(laws, world, users, listens, seed)
    Truth(laws, world, people).save(folder / TRUTH)
    write_mappings(folder, world, seed)
    tally, done, whole = Tally(tracks), 0, listens + tracks

    def report(more: int) -> None:
        nonlocal done
        done += more
        if progress is not None:
            progress(done, whole)

    with EventWriter(folder / FLAT, world, people) as writer:
        for block, count in _blocks(Truth(laws, world, people), seed):
            writer.write(block)
            tally.add(count)
            report(int(count.kinds[0]))
    with AudioWriter(folder) as audio:
        for item_id, vector in audio_blocks(laws, world, seed):
            audio.write(item_id, vector)
            report(len(item_id))
    report(whole - done)
    summary = tally.summary(out)
    record = {
        "format": _FORMAT,
        "arguments": {"users": users, "events": events, "tracks": tracks, "seed": seed},
        "statistics": summary.statistics(),
    }
    (folder / SUMMARY).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return summary


def _blocks(truth: Truth, seed: int) -> Iterator[tuple[Events, Count]]:
    """Events of one block of users after the other, drawn by threads a little ahead.

    Each block has its own random stream, so the number of threads changes nothing.
    """
    listener = Listener(truth.laws, truth.world, truth.people)

    def draw(first: int, end: int) -> tuple[Events, Count]:
        rng = np.random.default_rng([seed, 2, first])
        listens = listener.listen(rng, first, end)
        events = with_feedback(rng, truth.world, truth.people, listens)
        return events, Count.of(events, truth.world.tracks)

    threads = min(os.cpu_count() or 1, 8)
    ahead: deque[Future[tuple[Events, Count]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for first, end in _user_blocks(truth.people.listens):
            ahead.append(pool.submit(draw, first, end))
            if len(ahead) > threads:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _user_blocks(listens: Int64[np.ndarray, " users"]) -> Iterator[tuple[int, int]]:
    """Ranges of users with about as many listens each."""
    number = np.cumsum(listens) // _BLOCK_LISTENS
    edges = [*np.flatnonzero(np.diff(number, prepend=-1)).tolist(), len(listens)]
    yield from pairwise(edges)


def _default_tracks(events: int) -> int:
    """So that a log of Yambda-50M's size has about as many played tracks.

    From there on tracks grow as Yambda's do, which has .93, 3.0 and 9.39 million in its logs of 50
    and 500 million and of 5 billion events: by the square root.
    """
    times = events / 50e6
    tracks = 1_500_000 * times ** (0.9 if times < 1 else 0.5)
    return int(np.clip(tracks, LEAST_TRACKS, MAX_TRACKS))


def _check(out: Path, users: int, events: int, tracks: int, seed: int) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(
            "the output folder of a synthetic log must be new or empty",
            received=out,
            hint="name another folder, or remove this one",
        )
    least, most = _EVENTS_A_USER
    for name, value, low, high in (
        ("users", users, 1, MAX_USERS),
        ("events", events, least * users, most * users),
        ("tracks", tracks, LEAST_TRACKS, MAX_TRACKS),
        ("seed", seed, 0, 2**63 - 1),
    ):
        if not low <= value <= high:
            of = f" for {users:,} users" if name == "events" and users > 0 else ""
            raise ConfigError(
                f"`{name}` of a synthetic log is out of bounds",
                received=f"{value:,}",
                allowed=f"{low:,} to {high:,}{of}",
            )

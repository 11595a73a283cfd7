"""What does an answer cost, one request at a time and in batches, search and all else apart?

    python benchmarks/recommender.py [--quick] [--items N]

Prints JSON. The corpus is made up in the shape of a model's (see index.py), the query tower and the
repeat term are as before training, which costs the same; it is searched exactly by faiss. Users
have between a hundred and two thousand plays. Milliseconds are medians, and by batch those of one
answer: `all` of it, the `search` alone for the same embeddings, and the `rest`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from antiphon.artifacts import Stage, write_stage
from antiphon.config import Config
from antiphon.indexes.faiss_files import open_scan, write_scan
from antiphon.indexes.postings import write_postings
from antiphon.live import AddedItem, LiveEvent, open_live
from antiphon.prepared import Prepared
from antiphon.query_vectors import QueryVectors
from antiphon.recommend import Recommender
from antiphon.repeat_scores import RepeatScores
from antiphon.repeat_term import RepeatTerm
from antiphon.request import Request
from antiphon.retrieval import TrainedModel
from antiphon.schema import FittedCategorical, FittedCyclic, Schema
from antiphon.towers import QueryTower
from index import made_up

USERS, ARTISTS = 500, 5_000
DAY_S = 86_400
END_S = 300 * DAY_S
BATCHES = (1, 4, 16, 64)
CONTEXT = (
    FittedCategorical(name="is_organic", cardinality=2, values=("0", "1")),
    FittedCyclic(name="hour", period=24),
)
ARTIST = FittedCategorical(name="artist", cardinality=ARTISTS)


def write_log(folder: Path, items: int) -> Prepared:
    """A prepared log of users with large libraries."""
    rng = np.random.default_rng(0)
    lengths = np.exp(rng.uniform(np.log(100), np.log(2000), USERS)).astype(int)
    events = int(lengths.sum())
    schema = Schema(
        context=CONTEXT,
        item=(ARTIST,),
        item_count=items,
        user_count=USERS,
        train_end_s=END_S,
        held_out_start_s=END_S,
        held_out_end_s=END_S + DAY_S,
        validation_start_s=END_S - DAY_S,
        gap_s=0,
    )
    with write_stage(folder / "prepared", made_from=[items]) as stage:
        (stage / "schema.json").write_text(schema.model_dump_json(), encoding="utf-8")
        of_user = np.repeat(np.arange(USERS), lengths)
        played = (items * rng.random(events) ** 3).astype(np.int32) + 1
        time_s = np.sort(rng.integers(0, END_S, events))[np.argsort(of_user, kind="stable")]
        for part, some in (("events", slice(None)), ("held_out", slice(0, 0))):
            (stage / part / "context").mkdir(parents=True)
            counts = np.bincount(of_user[some] + 1, minlength=USERS + 1)
            np.save(stage / part / "user_offsets.npy", np.concatenate([[0], np.cumsum(counts)]))
            order = np.lexsort((time_s[some], of_user[some]))
            np.save(stage / part / "item_number.npy", played[some])
            np.save(stage / part / "timestamp_s.npy", time_s[some][order])
            np.save(stage / part / "is_target.npy", np.ones(len(order), bool))
            organic = rng.integers(1, 3, len(order)).astype(np.int32)
            np.save(stage / part / "context" / "is_organic.npy", organic)
            hour = rng.uniform(0, 24, len(order)).astype(np.float32)
            np.save(stage / part / "context" / "hour.npy", hour)
        for name, count in (("users", USERS), ("items", items)):
            ids = pa.array(np.arange(1, count + 1) * 7)
            numbers = np.ones(count, np.int64)
            pq.write_table(pa.table({"id": ids, "count": numbers}), stage / f"{name}.parquet")
        artist = rng.integers(1, ARTISTS + 1, items + 1).astype(np.int32)
        (stage / "item_features").mkdir()
        np.save(stage / "item_features" / "artist.npy", artist)
        (stage / "values").mkdir()
        codes = np.arange(1, ARTISTS + 1, dtype=np.int32)
        table = pa.table({"value": pa.array(codes), "code": pa.array(codes)})
        pq.write_table(table, stage / "values" / "artist.parquet")
    return Prepared.open(folder / "prepared")


def load(folder: Path, items: int) -> Recommender:
    candidates, queries = made_up(items)
    prepared = write_log(folder, items)
    config = Config.parse(
        {
            "name": "made-up",
            "log": {"events": "none.parquet", "user": "u", "item": "i", "time": "t"},
            "features": {"context": [{"name": "hour", "kind": "cyclic", "period": 24}]},
        }
    )
    width = config.model.width
    trends = candidates.shape[1] - width
    tower = QueryTower(CONTEXT, width, trends, config.model.temperature)
    users = np.random.default_rng(1).normal(0, 0.1, (USERS + 1, width)).astype(np.float32)
    (folder / "model" / "tables").mkdir(parents=True)
    np.save(folder / "model" / "candidates.npy", candidates)
    artists = np.random.default_rng(2).normal(0, 0.1, (ARTISTS + 1, width)).astype(np.float32)
    np.save(folder / "model" / "tables" / "item.artist.npy", artists)
    np.savez(folder / "model" / "dense.npz")  # artists are all that items have
    (folder / "index").mkdir()
    mapped = np.load(folder / "model" / "candidates.npy", mmap_mode="r")
    write_scan(folder / "index", mapped, queries)
    write_postings(prepared, folder / "index" / "values")
    stage = Stage(folder / "model", {})
    term = RepeatTerm(tower.context)
    weights = {v.path: np.asarray(v.value) for part in (tower, term) for v in part.variables}
    vectors, repeats = QueryVectors(CONTEXT, weights), RepeatScores(CONTEXT, weights)
    index = open_scan(folder / "index", mapped)
    model = TrainedModel(stage, config, prepared, mapped, users, vectors, repeats, index)
    return Recommender(model, open_live(folder / "live.sqlite"))


def median_ms(do: Callable[[int], Any], times: int) -> float:
    for turn in range(min(times, 5)):
        do(turn)
    taken = []
    for turn in range(times):
        started = time.perf_counter()
        do(turn)
        taken.append(1000 * (time.perf_counter() - started))
    return float(np.median(taken))


def requests(turn: int, batch: int, **more: Any) -> list[Request]:
    return [
        Request(
            7 * ((turn * batch + place) % USERS + 1),
            {"is_organic": place % 2, "hour": (turn + place) % 24},
            **more,
        )
        for place in range(batch)
    ]


def asked(recommender: Recommender, batch: int, times: int) -> dict[str, float]:
    """Milliseconds an answer, of batches of a size."""
    searches: list[float] = []
    corpus = type(recommender.shelf.corpus)
    search = corpus.top_k

    def timed(*args: Any, **named: Any) -> Any:
        started = time.perf_counter()
        found = search(*args, **named)
        searches.append(1000 * (time.perf_counter() - started))
        return found

    with mock.patch.object(corpus, "top_k", timed):
        whole = median_ms(lambda turn: recommender.answer(requests(turn, batch)), times)
    alone = float(np.median(searches))
    figures = {"all": whole, "search": alone, "rest": whole - alone}
    return {name: round(figure / batch, 3) for name, figure in figures.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small, for a glance")
    parser.add_argument("--items", type=int)
    chosen = parser.parse_args()
    items = chosen.items or (5_000 if chosen.quick else 138_000)
    times = 20 if chosen.quick else 300
    with tempfile.TemporaryDirectory() as folder:
        recommender = load(Path(folder), items)
        started = time.perf_counter()
        recommender.warm_up(max(BATCHES))
        warm_up = time.perf_counter() - started
        figures = {
            str(batch): asked(recommender, batch, max(times // batch, 10)) for batch in BATCHES
        }

        def alone(turn: int, **more: Any) -> None:
            recommender.answer(requests(turn, 1, **more))

        conditions = {
            "plain": median_ms(alone, times),
            "artist": median_ms(lambda turn: alone(turn, where={"artist": turn % 9 + 1}), times),
            "at_most_1_of_an_artist": median_ms(lambda t: alone(t, at_most={"artist": 1}), times),
            "why": median_ms(lambda turn: alone(turn, why=True), times),
            "similar": median_ms(lambda turn: recommender.similar(7 * (turn + 1)), times // 4),
        }
        plays = [
            LiveEvent(7 * user, 7 * (place + 1), END_S + place, {"is_organic": 1})
            for user in range(1, USERS + 1)
            for place in range(10)
        ]
        append = median_ms(lambda turn: recommender.append([plays[turn]]), min(times, 100))
        recommender.append(plays)
        conditions["ten_live_events"] = median_ms(alone, times)
        added = [AddedItem(7 * items + 7 * n, {"artist": n}) for n in range(1, 1001)]
        started = time.perf_counter()
        recommender.add_items(added[:1])
        first = time.perf_counter() - started
        recommender.add_items(added)
        conditions["a_thousand_added_items"] = median_ms(alone, times)
        again = median_ms(lambda turn: recommender.add_items(added[turn : turn + 1]), 10)
    answers = {
        "items": items,
        "library": "100 to 2,000 plays",
        "k": 10,
        "milliseconds_per_answer_by_batch": figures,
        "milliseconds_of_one_answer": {name: round(ms, 3) for name, ms in conditions.items()},
        "warm_up_seconds": round(warm_up, 2),
        "append_one_event_ms": round(append, 3),
        "add_first_item_seconds": round(first, 3),
        "add_item_beside_a_thousand_ms": round(again, 1),
    }
    print(json.dumps(answers, indent=2))


if __name__ == "__main__":
    main()

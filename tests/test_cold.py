"""Cold items among themselves: by hand, against all orders, and on planted content."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from antiphon import pipeline
from antiphon.cold import _Asked, cold_items, cold_report, plays_of_artists
from antiphon.config import Config
from antiphon.evaluate import Evaluation, artist_feature, evaluate_rankers
from antiphon.outcome import read_evaluation
from antiphon.prepared import Prepared
from antiphon.queries import Queries
from antiphon.retrieval import TrainedModel
from antiphon.sections import EvaluateSection
from antiphon.windows import held_out_window
from chain import few_baselines
from tiny import FixedLists, write_prepared

QUICK = EvaluateSection(resamples=50)
PLAYED, COLD = 3, 200
OUTSIDE = PLAYED + COLD + 1
# user, item, second, tab: item 1 has three plays, item 2 one, item 3 two; 4 to 203 have none
TRAIN = [(1, 1, 10, 1), (1, 1, 20, 1), (2, 1, 30, 1), (2, 2, 40, 1), (1, 3, 50, 1), (2, 3, 60, 1)]
TEST = [
    (1, 10, 100, 1),  # user 1, home: one cold target
    (1, 2, 105, 2),  # user 1, search: none
    (2, 20, 110, 1),  # user 2, home: two, and one that was played
    (2, 150, 120, 1),
    (2, 20, 125, 1),
    (2, 1, 130, 1),
    (2, OUTSIDE, 140, 2),  # user 2, search: one that isn't in the catalogue
]
# played items are of the artists 1, 2 and 3; so are cold ones up to 103, up to 153 and the rest
ARTISTS = [1, 2, 3, *[2] * 100, *[1] * 50, *[3] * 50]


class Among:
    """Orders cold items as told, by user; what isn't told follows by number."""

    def __init__(self, first: dict[int, list[int]]) -> None:
        self.first = first

    def rank_among(
        self, queries: Queries, items: np.ndarray, k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        told = [self.first.get(int(user), []) for user in queries.user_key]
        rows = [[*some, *np.setdiff1d(items, some)][:k] for some in told]
        lists = np.array(rows, np.int32)
        return lists, -np.arange(lists.size, dtype=np.float32).reshape(lists.shape)


def judged(prepared: Prepared, section: EvaluateSection = QUICK) -> Evaluation:
    lists = {"antiphon": FixedLists([1, 2, 3])}
    evaluation = evaluate_rankers(prepared, lists, section)
    return cold_report(evaluation, Among({1: [9, 10], 2: [20]}), prepared)


def test_by_hand(tmp_path: Path) -> None:
    prepared = write_prepared(
        tmp_path, TRAIN, TEST, item_count=PLAYED + COLD, user_count=2, artist=ARTISTS
    )
    cold = judged(prepared).cold
    assert cold is not None
    sizes = {name: cold[name] for name in ("items", "queries", "users", "targets", "feature")}
    # item 20 is played twice by user 2: three target events and one of user 1
    assert sizes == {"items": 200, "queries": 2, "users": 2, "targets": 4, "feature": "artist"}
    found = {
        (name, metric): cell["value"]
        for name, cells in cold["models"].items()
        for metric, cell in cells.items()
    }
    second, third = 1 / np.log2(3), 1 / np.log2(4)
    two = 1 + second  # the best that two targets can do
    ten = sum(1 / np.log2(rank + 1) for rank in range(1, 11))
    # the model: item 10 in place 2; item 20 in place 1, and 150 after the first hundred
    # artists: 1 has three plays (104 to 153), 3 has two (154 to 203): neither 10 nor 20, but 150
    # in place 47
    expected = {
        ("antiphon", "recall_at_100"): (1 + 1 / 2) / 2,
        ("antiphon", "ndcg_at_10"): (second + 1 / two) / 2,
        ("random", "recall_at_100"): 100 / 200,
        ("random", "ndcg_at_10"): (ten / 200 + 2 * ten / 200 / two) / 2,
        ("most_popular_artist", "recall_at_100"): (0 + 1 / 2) / 2,
        ("most_popular_artist", "ndcg_at_10"): 0.0,
    }
    assert found == pytest.approx(expected, rel=1e-5)
    assert third < second  # places are 1-based
    apart = cold["comparisons"]["random"]["recall_at_100"]
    assert apart["difference"] == pytest.approx(3 / 4 - 1 / 2)
    assert apart["ratio"] == pytest.approx(3 / 2)
    # resamples of two users: 1 twice (1 - .5), 2 twice (.5 - .5), or both
    assert (apart["low"], apart["high"]) == (0.0, 0.5)
    assert set(cold["comparisons"]) == {"random", "most_popular_artist"}


def test_several_artists_count_by_the_one_played_most() -> None:
    # items 1 to 5; artist 1 has 4 + 1 plays, artist 2 has 1 + 2, artist 3 none
    codes = np.array([[0, 0], [1, 0], [1, 2], [2, 0], [3, 2], [0, 0]], np.int32)
    counts = np.array([0, 4, 1, 2, 0, 0])
    assert plays_of_artists(codes, counts).tolist() == [0, 5, 5, 3, 3, 0]


def test_a_log_without_artists_says_so(tmp_path: Path) -> None:
    prepared = write_prepared(tmp_path, TRAIN, TEST, item_count=PLAYED + COLD, user_count=2)
    cold = judged(prepared).cold
    assert cold is not None
    assert cold["feature"] is None
    assert set(cold["models"]) == {"antiphon", "random"}
    assert artist_feature(prepared, QUICK) is None


@pytest.mark.parametrize("items", [PLAYED, 9])
def test_without_cold_items_or_anybody_who_played_one_nothing_is_measured(
    tmp_path: Path, items: int
) -> None:
    test = [(1, 2, 100, 1), (2, OUTSIDE, 140, 2)]
    prepared = write_prepared(tmp_path, TRAIN, test, item_count=items, user_count=2)
    evaluation = judged(prepared)
    assert evaluation.cold is None
    assert evaluation.to_json()["cold"] is None


@pytest.mark.parametrize("protocol", ["standard", "yambda-paper"])
def test_chance_is_the_mean_over_all_orders(tmp_path: Path, protocol: str) -> None:
    # item 1 is played, 2 to 6 are cold; user 2 plays two of them, one of them twice
    test = [(1, 3, 100, 1), (2, 5, 110, 1), (2, 5, 111, 1), (2, 2, 112, 1), (2, 1, 113, 1)]
    train = [(1, 1, 10, 1), (2, 1, 30, 1)]
    prepared = write_prepared(tmp_path, train, test, item_count=6, user_count=2)
    window = held_out_window(prepared, EvaluateSection(protocol=protocol))
    asked = _Asked.of(window)
    assert asked is not None
    items = cold_items(window)
    assert items.tolist() == [2, 3, 4, 5, 6]
    mean = dict.fromkeys(("recall_at_100", "ndcg_at_10"), 0.0)
    orders = list(itertools.permutations(items))
    for order in orders:
        lists = np.tile(np.array(order, np.int32), (2, 1))
        for name, value in asked.judge(lists, "an order", protocol).value().items():
            mean[name] += value / len(orders)
    assert asked.expected(len(items), protocol).value() == pytest.approx(mean)


KINDS, A_KIND, NEW_A_KIND, USERS = 12, 20, 100, 360
DAY = 86_400
CONFIG = """
[log]
events = "{folder}/log.parquet"
user = "who"
item = "what"
time = "at"

[[features.item]]
name = "artist"
kind = "categorical"
table = "{folder}/items.parquet"
item_column = "id"

[[features.item]]
name = "audio"
kind = "vector"
size = 16
table = "{folder}/items.parquet"
item_column = "id"

[split]
test_days = 1

[prepare]
memory_limit = "512MiB"

[model]
width = 16
history_length = 8

[train]
epochs = 2
global_batch_size = 64
sampled_negatives = 64

[evaluate]
resamples = 200
"""


def write_taste_for_sound(folder: Path) -> Path:
    """A log whose users each play one kind of items, which alone their audio tells.

    Items of a kind sound alike. On the last day everybody plays items that nobody had played,
    of the same kind. Artists have nothing to do with it.
    """
    rng = np.random.default_rng(0)
    old, new = KINDS * A_KIND, KINDS * NEW_A_KIND
    kind = np.concatenate([np.repeat(np.arange(KINDS), n) for n in (A_KIND, NEW_A_KIND)])
    sounds = rng.normal(size=(KINDS, 16))
    audio = sounds[kind] + 0.1 * rng.normal(size=(old + new, 16))
    audio /= np.linalg.norm(audio, axis=1, keepdims=True)
    items = {
        "id": np.arange(old + new),
        "artist": [f"artist {n}" for n in rng.integers(0, 30, old + new)],
        "audio": audio.tolist(),
    }
    pq.write_table(pa.table(items), folder / "items.parquet")
    taste = np.arange(USERS) % KINDS
    who, plays, new_plays = np.arange(USERS), 40, 5
    past = taste[:, None] * A_KIND + rng.integers(0, A_KIND, (USERS, plays))
    last = old + taste[:, None] * NEW_A_KIND + rng.integers(0, NEW_A_KIND, (USERS, new_plays))
    log = {
        "who": np.repeat(np.tile(who, 2), [plays] * USERS + [new_plays] * USERS),
        "what": np.concatenate([past.ravel(), last.ravel()]),
        "at": np.concatenate(
            [
                rng.integers(0, 9 * DAY, USERS * plays),
                9 * DAY + DAY // 2 + rng.integers(0, DAY // 2, USERS * new_plays),
            ]
        ),
    }
    pq.write_table(pa.table(log), folder / "log.parquet")
    (folder / "sound.toml").write_text(CONFIG.format(folder=folder), encoding="utf-8")
    return folder / "sound.toml"


def test_a_taste_for_sound_finds_what_nobody_has_played(tmp_path: Path) -> None:
    config = Config.load(write_taste_for_sound(tmp_path))
    with few_baselines():
        run = pipeline.run(config, tmp_path / "runs").path
    cold = read_evaluation(run)["cold"]
    assert cold["items"] == KINDS * NEW_A_KIND
    assert cold["models"]["random"]["recall_at_100"]["value"] == pytest.approx(1 / KINDS, rel=1e-5)
    recall = cold["comparisons"]["random"]["recall_at_100"]
    assert recall["ratio_low"] > 5, cold["models"]
    for metric in ("recall_at_100", "ndcg_at_10"):
        for other in ("random", "most_popular_artist"):
            assert cold["comparisons"][other][metric]["low"] > 0, (other, metric)
    # where they stand between others, they are the same items with the same scores
    model = TrainedModel.load_run(run)
    window = held_out_window(model.prepared, config.evaluate)
    some, items = window.queries.take(np.arange(5)), cold_items(window)
    lists, scores = model.rank_among(some, items, 100)
    fewer, their_scores = model.rank_among(some, items[::2], 50)
    every = np.isin(lists, items[::2])
    for row in range(len(some)):
        both = lists[row][every[row]][:20]
        assert fewer[row, : len(both)].tolist() == both.tolist()
        assert their_scores[row, 0] == scores[row][every[row]][0]

"""Items that training didn't know: embedded as training embeds them, listed at once, withdrawn."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import chain
from antiphon import pipeline
from antiphon.added_items import ItemEmbedder
from antiphon.artifacts import open_stage
from antiphon.config import Config
from antiphon.corpus import Corpus
from antiphon.errors import RequestError
from antiphon.indexes import Filter, NumpyScan, Where
from antiphon.live import AddedItem, LiveEvent, open_live
from antiphon.recommend import Recommender
from antiphon.retrieval import TrainedModel
from chain import FIRST_ITEM, FIRST_USER, ITEMS
from corpora import embeddings, exclusions, queries_like, right, same
from searched_run import FEATURES, MAKERS, trained_model

NEW = 9_000
AUDIO = """
[[features.item]]
name = "audio"
kind = "vector"
size = 4
table = "{table}"
item_column = "id"

[[features.item]]
name = "season"
kind = "cyclic"
period = 12
table = "{table}"
item_column = "id"
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> TrainedModel:
    """Of a log whose items have features of all kinds; some of them nobody has played."""
    log = tmp_path_factory.mktemp("log")
    config = chain.write(log)
    rng = np.random.default_rng(3)
    count = ITEMS + 20
    table = {
        "id": np.arange(FIRST_ITEM, FIRST_ITEM + count),
        "maker": [None if n % 7 == 0 else MAKERS[n % 4] for n in range(count)],
        "year": [1990 + n % 3 for n in range(count)],
        "length": [None if n % 5 == 0 else n / 7 for n in range(count)],
        "audio": [None if n % 6 == 0 else rng.normal(size=4).tolist() for n in range(count)],
        "season": rng.uniform(0, 12, count),
    }
    pq.write_table(pa.table(table), log / "items.parquet")
    with config.open("a", encoding="utf-8") as file:
        features = FEATURES.replace("[index]", AUDIO + "[index]")
        file.write(features.format(table=log / "items.parquet"))
    trained = Config.load(config, ["train.epochs=2"])
    run = pipeline.run(trained, tmp_path_factory.mktemp("runs"), until="train").path
    return TrainedModel.load_run(run)


def features_of(model: TrainedModel) -> list[AddedItem]:
    """What the log knew of its items."""
    table = pq.read_table(model.config.features.item[0].table).to_pylist()
    return [
        AddedItem(
            row["id"],
            {
                name: [part.strip() for part in row[name].split(",")]
                if name == "maker" and row[name]
                else row[name]
                for name in ("maker", "year", "length", "audio", "season")
            },
        )
        for row in table
    ]


def test_content_is_embedded_as_training_embeds_it(model, monkeypatch) -> None:
    """An item of the corpus is its own row and its content. With its row it has its embedding."""
    items = features_of(model)
    embedder = ItemEmbedder(model, Where(model.prepared, None))
    numbers = model.prepared.item_ids().to_pylist()
    own = np.load(model.stage.path / "tables" / "item.npy")
    rows = np.array([own[numbers.index(item.id) + 1] for item in items])
    content_of = embedder._content

    def with_rows(items: list[AddedItem]) -> object:
        codes, values, content = content_of(items)
        return codes, values, content + rows

    monkeypatch.setattr(embedder, "_content", with_rows)
    found = np.array([one.embedding for one in embedder.embed(items)])
    places = [numbers.index(item.id) + 1 for item in items]
    width = model.vectors.width
    np.testing.assert_allclose(
        found[:, :width], model.candidates[places][:, :width], rtol=1e-4, atol=1e-5
    )
    # what nobody has played has no trend
    counts = model.prepared.item_counts()[places]
    assert (counts == 0).sum() == 20
    np.testing.assert_array_equal(
        found[counts == 0][:, width:], model.candidates[places][counts == 0][:, width:]
    )


def test_what_is_unknown_is_missing(model) -> None:
    embedder = ItemEmbedder(model, Where(model.prepared, None))
    told = [
        AddedItem(1),
        AddedItem(2, {"maker": "nobody", "year": None, "length": None, "audio": None}),
        AddedItem(3, {"maker": ["nobody", "ann"]}),
        AddedItem(4, {"maker": ["ann"], "year": []}),
        AddedItem(5, {"maker": ["ann", "ben", "cleo"]}),
        AddedItem(6, {"maker": ["cleo", "ben", "ann", "ann"]}),
    ]
    rows = embedder.embed(told)
    for one, other in ((0, 1), (2, 3), (4, 5)):
        np.testing.assert_array_equal(rows[one].embedding, rows[other].embedding)
    assert not np.array_equal(rows[0].embedding, rows[2].embedding)
    assert not np.array_equal(rows[2].embedding, rows[4].embedding)
    assert rows[1].values["maker"] == ("nobody",)
    assert len(rows[4].codes["maker"]) == 3, "all of them, though two enter the embedding"
    assert embedder.embed([]) == []


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"makr": "ann"}, r"no such item feature: item 77(?s:.)*makr(?s:.)*'maker'"),
        ({"maker": {"name": "ann"}}, "maker must be a value or a list of values: item 77"),
        ({"maker": [None]}, "maker must be a value or a list of values: item 77"),
        ({"length": "long"}, r"length can't be used: item 77(?s:.)*a finite number"),
        ({"length": float("inf")}, "length can't be used"),
        ({"audio": [1.0, 2.0]}, r"audio can't be used: item 77(?s:.)*4 finite numbers"),
        ({"audio": [1.0, 2.0, 3.0, 1e6]}, "audio can't be used"),
        ({"audio": [1.0, 2.0, 3.0, None]}, "audio can't be used"),
        ({"audio": "1234"}, "audio can't be used"),
        ({"audio": 3.0}, "audio can't be used"),
    ],
)
def test_features_that_cannot_be_read_are_refused_by_item(model, features, message) -> None:
    with pytest.raises(RequestError, match=message):
        ItemEmbedder(model, Where(model.prepared, None)).check([AddedItem(77, features)])


@pytest.fixture(params=[False, True], ids=["scan", "index"])
def load(request, tmp_path_factory, tmp_path) -> Iterator[Callable[[], Recommender]]:
    """A recommender of the small run, without an index and with one, and a store."""
    small = trained_model(tmp_path_factory)
    if request.param:
        run = Path(shutil.copytree(small.stage.path.parent, tmp_path / "small"))
        pipeline.index(run)
        small = replace(TrainedModel.load_run(run)).with_index(run / "index")
    opened = []

    def load() -> Recommender:
        opened.append(open_live(tmp_path / "live.sqlite"))
        return Recommender(small, opened[-1])

    yield load
    for store in opened:
        store.close()


def listed(recommender: Recommender, user: object = None, **more: object) -> list[object]:
    return [item.id for item in recommender.recommend(user, {"mood": "1"}, 200, **more).items]


def test_an_added_item_is_listed_at_once_and_after_a_restart(load) -> None:
    recommender = load()
    before = listed(recommender)
    recommender.add_items([AddedItem(NEW, {"maker": "ann", "length": 3}, "A new song")])
    after = recommender.recommend(None, {"mood": "1"}, 200)
    assert [item.id for item in after.items if item.id != NEW] == before
    (new,) = [item for item in after.items if item.id == NEW]
    assert new.title == "A new song"
    assert not new.had_before
    scores = [item.score for item in after.items]
    assert scores == sorted(scores, reverse=True)
    again = load()
    assert again.recommend(None, {"mood": "1"}, 200) == after
    # its score is the dot product, as everybody's
    shelf = again.shelf
    (number,) = shelf.numbers([NEW])
    assert number == ITEMS + 1
    assert shelf.ids(shelf.numbers([NEW, FIRST_ITEM])) == [NEW, FIRST_ITEM]


def test_conditions_hold_for_added_items_too(load) -> None:
    recommender = load()
    recommender.add_items(
        [
            AddedItem(NEW, {"maker": "ann", "year": 1990}),
            AddedItem(NEW + 1, {"maker": ["newcomer", "ben"], "year": 1991}),
            AddedItem(NEW + 2, {"maker": "newcomer"}),
        ]
    )
    assert NEW in listed(recommender, where={"maker": "ann"})
    assert NEW in listed(recommender, where={"maker": "ann", "year": 1990})
    assert NEW not in listed(recommender, where={"maker": "ben"})
    assert NEW + 1 in listed(recommender, where={"maker": "ben"})
    assert set(listed(recommender, where={"maker": "newcomer"})) == {NEW + 1, NEW + 2}
    assert len(listed(recommender, where={"maker": "newcomer"}, at_most={"maker": 1})) == 1
    assert listed(recommender, allow=[NEW + 2]) == [NEW + 2]
    assert NEW not in listed(recommender, deny=[NEW])
    with pytest.raises(RequestError, match="no item has this value"):
        recommender.recommend(where={"maker": "nobody"})
    like = recommender.similar(NEW, 5)
    assert len(like) == 5
    assert NEW not in [item.id for item in like]
    assert NEW in [item.id for item in recommender.similar(NEW + 1, 200)]


def test_an_added_item_that_was_heard_is_a_repeat(load) -> None:
    recommender = load()
    now_s = recommender.schema.held_out_start_s
    recommender.add_items([AddedItem(NEW, {"maker": "ann"})])
    recommender.append([LiveEvent(FIRST_USER, NEW, now_s, {"mood": "1"})])
    assert NEW in listed(recommender, FIRST_USER, mode="repeat")
    assert NEW not in listed(recommender, FIRST_USER, mode="discover")
    answer = recommender.recommend(FIRST_USER, {"mood": "1"}, 200, why=True)
    (item,) = [item for item in answer.items if item.id == NEW]
    assert item.had_before
    assert item.why is not None
    assert item.why.repeat != 0
    assert NEW in [past.id for past in item.why.past]
    assert listed(recommender, history=[NEW], mode="repeat") == [NEW]


def test_what_is_withdrawn_is_listed_by_nothing(load) -> None:
    recommender = load()
    recommender.add_items([AddedItem(NEW)])
    user = FIRST_USER
    mine = listed(recommender, user, mode="repeat")[0]
    gone = [NEW, mine]
    recommender.withdraw_items([*gone, 123_456])
    for one in (recommender, load()):
        for mode in ("all", "discover", "repeat"):
            assert not set(gone) & set(listed(one, user, mode=mode))
        assert listed(one, user, allow=gone) == []
        assert mine not in [item.id for item in one.similar(FIRST_ITEM + 3, 200)]
        # what was heard still says what the user likes
        assert one.recommend(user, why=True).items[0].why.past
    recommender.add_items([AddedItem(NEW, {"maker": "ann"})])
    assert NEW not in listed(recommender), "withdrawn stays withdrawn"
    recommender.restore_items(gone)
    assert set(gone) <= set(listed(recommender, user))


def test_the_log_knows_its_own_items_best(load) -> None:
    recommender = load()
    before = recommender.recommend(FIRST_USER, k=200)
    recommender.add_items([AddedItem(FIRST_ITEM, {"maker": "dan"}, "Another title")])
    assert recommender.recommend(FIRST_USER, k=200) == before


def test_an_item_that_is_added_again_is_replaced(load) -> None:
    recommender = load()
    recommender.add_items([AddedItem(NEW, {"maker": "ann"}, "One"), AddedItem(str(NEW))])
    recommender.add_items([AddedItem(f"0{NEW}", {"maker": "ben"}, "Two")])
    assert NEW in listed(recommender, where={"maker": "ben"})
    assert NEW not in listed(recommender, where={"maker": "ann"})
    assert recommender.live.counts()["added"] == 1


def test_a_wrong_item_adds_none(load) -> None:
    recommender = load()
    with pytest.raises(RequestError, match="item 9001"):
        recommender.add_items([AddedItem(NEW), AddedItem(NEW + 1, {"makr": 1})])
    assert recommender.live.counts()["added"] == 0
    assert NEW not in listed(recommender)


def test_kept_items_that_this_model_cannot_read_are_told_and_not_listed(load) -> None:
    recommender = load()
    recommender.live.add([AddedItem(str(NEW), {"tempo": 120}), AddedItem(str(NEW + 1))])
    assert recommender.refresh()
    assert recommender.unusable_items == (str(NEW),)
    assert NEW + 1 in listed(recommender)
    assert NEW not in listed(recommender)


def test_a_corpus_and_what_is_beside_it_are_searched_as_one() -> None:
    every = embeddings(0, 41)
    queries = queries_like(1, 6)
    left_out = exclusions([[3, 40, 33], [], [35], [1, 2], [99], [36]])
    for added in (0, 1, 8):
        few = every[: len(every) - added]
        corpus = Corpus(few, NumpyScan(few), every[len(few) :])
        assert corpus.item_count == 40
        for among in (
            None,
            Filter.allowing(np.array([2, 7, 34, 40])),
            Filter.denying(np.array([5, 33, 39])),
            Filter.allowing(np.array([2])),
            Filter.allowing(np.array([40])),
        ):
            for k in (1, 5, 60):
                found = corpus.top_k(queries, k, exclude=left_out, among=among)
                same(found, right(queries, every, k, left_out, among))
        numbers = np.array([[0, 40], [33, 1]], np.int32)
        np.testing.assert_array_equal(corpus.rows_of(numbers), every[numbers])


def test_the_model_folder_has_all_that_it_takes(model) -> None:
    """Nothing was added to what training saves: its manifest still says version 1."""
    stage = open_stage(model.stage.path)
    assert stage.manifest["format_version"] == 1
    assert "tables/item.maker.npy" in stage.manifest["files"]

"""The future changed: nothing that is learned, counted, tuned or answered may change with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import chain
from antiphon import pipeline
from antiphon.baselines import tune_baselines
from antiphon.config import Config
from antiphon.retrieval import TrainedModel
from antiphon.windows import held_out_window
from small_log import contents

BASELINES = ("most_popular", "context_popular", "own_history", "ease")


def write_with_another_future(folder: Path, source: Path, from_s: int) -> Path:
    """The log of `source` with every event from `from_s` on made up anew, but for its time.

    Times stay, since the split goes by the last one.
    """
    config = chain.write(folder)
    log = pq.read_table(source)
    rng = np.random.default_rng(1)
    late = np.flatnonzero(log.column("at").to_numpy() >= from_s)
    count = len(late)
    assert 100 < count < log.num_rows / 2
    made_up = {
        "who": rng.integers(chain.FIRST_USER, chain.FIRST_USER + chain.USERS + 50, count),
        "what": rng.integers(chain.FIRST_ITEM, chain.FIRST_ITEM + chain.ITEMS, count),
        "mood": np.ones(count, np.int64),
        "finished": np.ones(count, np.int64),
    }
    for name, values in made_up.items():
        column = log.column(name).to_pylist()
        for row, value in zip(late, values.tolist(), strict=True):
            column[row] = value
        log = log.set_column(log.column_names.index(name), name, pa.array(column))
    pq.write_table(log, folder / "log.parquet")
    return config


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainedModel, TrainedModel]:
    """The same config on the same past, each with a future of its own."""
    folder = tmp_path_factory.mktemp("leaks")

    def trained(path: Path, runs: Path) -> TrainedModel:
        config = Config.load(path, ["train.epochs=2"])
        pipeline.run(config, runs, until="train")
        return TrainedModel.load_run(runs / config.name)

    first = trained(chain.write(folder / "a"), folder / "a" / "runs")
    train_end_s = first.prepared.schema.train_end_s
    other = write_with_another_future(folder / "b", folder / "a" / "log.parquet", train_end_s)
    return first, trained(other, folder / "b" / "runs")


def test_the_future_did_change(runs: tuple[TrainedModel, TrainedModel]) -> None:
    first, other = (contents(model.prepared.stage.path / "held_out") for model in runs)
    assert first["item_number.npy"] != other["item_number.npy"]


def test_counts_vocabularies_and_histories_stay(runs: tuple[TrainedModel, TrainedModel]) -> None:
    first, other = (
        {
            name: data
            for name, data in contents(model.prepared.stage.path).items()
            if not name.startswith("held_out/") and name != "statistics.json"
        }
        for model in runs
    )
    assert {"events/item_number.npy", "items.parquet", "users.parquet"} <= set(first)
    assert first == other


def test_the_trained_model_stays(runs: tuple[TrainedModel, TrainedModel]) -> None:
    first, other = (
        {name: data for name, data in contents(model.stage.path).items() if name.endswith("y")}
        for model in runs
    )
    assert {"candidates.npy", "tables/user.npy", "tables/item.npy"} <= set(first)
    assert first == other
    dense = [np.load(model.stage.path / "dense.npz") for model in runs]
    assert dense[0].files == dense[1].files
    for name in dense[0].files:
        np.testing.assert_array_equal(dense[0][name], dense[1][name])


def test_answers_stay(runs: tuple[TrainedModel, TrainedModel]) -> None:
    """Of the model and of every quick baseline, tuned anew on each log."""
    section = runs[0].config.evaluate
    queries = held_out_window(runs[0].prepared, section).queries
    rankers = [
        {"antiphon": model, **tune_baselines(model.prepared, section, names=BASELINES)}
        for model in runs
    ]
    for name in rankers[0]:
        lists = [some[name].rank(queries, 50, exclude_heard=False) for some in rankers]
        np.testing.assert_array_equal(lists[0][0], lists[1][0], err_msg=name)
        np.testing.assert_array_equal(lists[0][1], lists[1][1], err_msg=name)
    for name in BASELINES:
        assert rankers[0][name].knobs == rankers[1][name].knobs

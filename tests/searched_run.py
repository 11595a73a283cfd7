"""A small run whose candidates have makers, years and lengths; trained once for all tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import chain
from antiphon import pipeline
from antiphon.config import Config
from antiphon.retrieval import TrainedModel

FEATURES = """
[[features.item]]
name = "maker"
kind = "categorical"
table = "{table}"
item_column = "id"
max_values = 2
separator = ","

[[features.item]]
name = "year"
kind = "categorical"
table = "{table}"
item_column = "id"

[[features.item]]
name = "length"
kind = "numeric"
table = "{table}"
item_column = "id"

[index]
queries = 60
"""
MAKERS = ("ann", "ben, ann", "cleo", "dan")

_made: dict[str, TrainedModel] = {}


def _make(log: Path, runs: Path) -> TrainedModel:
    config = chain.write(log)
    ids = np.arange(chain.FIRST_ITEM, chain.FIRST_ITEM + chain.ITEMS)
    table = {
        "id": ids,
        "maker": [MAKERS[n % 4] for n in range(chain.ITEMS)],
        "year": [1990 + n % 3 for n in range(chain.ITEMS)],
        "length": np.arange(chain.ITEMS) / 7,
    }
    pq.write_table(pa.table(table), log / "items.parquet")
    with config.open("a", encoding="utf-8") as file:
        file.write(FEATURES.format(table=log / "items.parquet"))
    trained = Config.load(config, ["train.epochs=1"])
    return TrainedModel.load_run(pipeline.run(trained, runs, until="train").path)


def trained_model(folders: pytest.TempPathFactory) -> TrainedModel:
    """The model of a run that ends with training."""
    if not _made:
        _made["model"] = _make(folders.mktemp("log"), folders.mktemp("runs"))
    return _made["model"]


def config_of(model: TrainedModel, *overrides: str) -> Config:
    """The run's config, some of it overridden."""
    return Config.load(model.stage.path.parent / "config.toml", overrides)

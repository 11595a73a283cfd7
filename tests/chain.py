"""A small log on disk with planted taste, and a chain over it that takes seconds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from antiphon import evaluation

USERS, ITEMS, ROWS = 200, 120, 6_000
FIRST_USER, FIRST_ITEM = 1001, 501
BASELINES = ("random", "most_popular", "context_popular")

CONFIG = """
[log]
events = "{events}"
user = "who"
item = "what"
time = "at"
positive = "finished = 1"
titles = "{titles}"
title_item_column = "id"

[[features.context]]
name = "mood"
kind = "categorical"
values = {{ "0" = "calm", "1" = "lively" }}

[split]
test_days = 1

[prepare]
memory_limit = "512MiB"

[model]
width = 8
history_length = 4

[train]
epochs = 6
global_batch_size = 64
sampled_negatives = 32

[evaluate]
resamples = 20
"""


def write(folder: Path, *, csv: bool = False) -> Path:
    """Write the log, titles and a config; returns the config's path.

    In each mood a user plays one kind of item nine times of ten. Some moods are unknown.
    """
    rng = np.random.default_rng(0)
    user = rng.integers(0, USERS, ROWS)
    favourite = rng.permuted(np.tile(np.arange(6), (USERS, 1)), axis=1)[:, :2]
    mood = rng.integers(0, 2, ROWS)
    kind = np.where(rng.random(ROWS) < 0.9, favourite[user, mood], rng.integers(0, 6, ROWS))
    item = kind * (ITEMS // 6) + rng.integers(0, ITEMS // 6, ROWS)
    log = pa.table(
        {
            "who": user + FIRST_USER,
            "what": item + FIRST_ITEM,
            "at": np.sort(1_700_000_000 + rng.integers(0, 10 * 86_400, ROWS)),
            "mood": pa.array(mood, mask=rng.random(ROWS) < 0.05),
            "finished": (rng.random(ROWS) < 0.9).astype(int),
        }
    )
    numbers = np.arange(FIRST_ITEM, FIRST_ITEM + ITEMS)
    titles = pa.table({"id": numbers, "title": [f"Song [{n}]" for n in numbers]})
    folder.mkdir(parents=True, exist_ok=True)
    suffix, save = ("csv", pyarrow.csv.write_csv) if csv else ("parquet", pq.write_table)
    save(log, folder / f"log.{suffix}")
    save(titles, folder / f"titles.{suffix}")
    config = folder / "small.toml"
    text = CONFIG.format(events=folder / f"log.{suffix}", titles=folder / f"titles.{suffix}")
    config.write_text(text, encoding="utf-8")
    return config


def few_baselines(names: Sequence[str] = BASELINES) -> mock._patch:
    """A patch under which only quick baselines are tuned; all of them take most of a minute."""
    return mock.patch.object(
        evaluation, "tune_baselines", partial(evaluation.tune_baselines, names=names)
    )

"""Training that goes on from another run: what its model knows, under the numbers of a newer log.

Numbers of users, items and values belong to one log. What they stand for is matched by the log's
ids and by the values themselves: a known row keeps its embedding and its accumulator, whatever its
number now, and a new one is as every row before training: close to nothing, so that an item is at
first what its content says. All other weights and their optimizer's state are carried over as they
are; steps are counted anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int32, Shaped

from antiphon.artifacts import Stage, open_stage
from antiphon.config import Config
from antiphon.encode import find_spelling, spell
from antiphon.errors import ArtifactError, ConfigError
from antiphon.model import TwoTower
from antiphon.model_files import dense_variables, read_dense, table_parts
from antiphon.npy import read_blocks
from antiphon.prepared import Prepared
from antiphon.schema import (
    FittedCategorical,
    FittedCyclic,
    FittedFeature,
    FittedNumeric,
    FittedVector,
)
from antiphon.tables import BLOCK_ROWS
from antiphon.vocabulary import Vocabulary

__all__ = ["Parent", "grow"]

# settings that say what weights mean, beyond their shapes
SAME = ("width", "repeats", "trend_half_lives", "context_trend_half_life")
# a mean may move by this many deviations, and a deviation become this many times as large or small
MOVED = 2.0

Places = Int32[np.ndarray, " rows"]
"""The new row of each old one, -1 where there is none."""


@dataclass(frozen=True)
class Parent:
    """The run that training goes on from."""

    path: Path
    config: Config
    prepared: Prepared
    model: Stage

    @classmethod
    def open(cls, path: Path) -> Parent:
        """Open and check a run that has a model.

        Raises:
            ArtifactError: a part is missing, damaged or of another run.
            ConfigError: its config can't be read.
        """
        prepared = Prepared.open(path / "prepared")
        model = open_stage(path / "model", inputs={"prepared": prepared.stage})
        return cls(path, Config.load(path / "config.toml"), prepared, model)


def grow(model: TwoTower, config: Config, prepared: Prepared, parent: Parent) -> str:
    """Give a new model what the parent's knows.

    Returns:
        What was carried over, in words.

    Raises:
        ConfigError: the models or their features differ in what can't be carried over.
        ArtifactError: the parent's model doesn't hold what it takes, or its log has no item of
            this one.
    """
    _check_settings(config, parent.config)
    old, new = parent.prepared, prepared
    for group in ("context", "item"):
        _check_features(group, getattr(old.schema, group), getattr(new.schema, group))
    users = _places_of_ids(old.user_ids(), new.user_ids())
    items = _places_of_ids(old.item_ids(), new.item_ids())
    known = _count(items)
    if not known:
        raise ArtifactError(
            f"{parent.path} has no item of this log",
            received=f"{len(items) - 1:,} items there, {new.schema.item_count:,} here",
            allowed="ids written as they are there",
            hint="is it the run of an earlier part of this log?",
        )
    places = {"user": users, "item": items}
    for feature in new.schema.item:
        if isinstance(feature, FittedCategorical):
            places[f"item.{feature.name}"] = _places_of_values(
                *(_listed(one.stage.path / "values", feature.name) for one in (old, new)),
            )
    _carry_tables(model, parent.model.path, places)
    _carry_dense(model, parent.model.path, _context_places(old, new))
    return (
        f"went on from {parent.path}: {known:,} of {new.schema.item_count:,} items and "
        f"{_count(users):,} of {new.schema.user_count:,} users were known there"
    )


def _check_settings(config: Config, before: Config) -> None:
    for key in SAME:
        mine, theirs = getattr(config.model, key), getattr(before.model, key)
        if mine != theirs:
            raise ConfigError(
                f"model.{key} isn't that of the run to go on from",
                received=mine,
                allowed=theirs,
                hint="set it as it was there, or train without train.continue_from",
            )


def _check_features(
    group: str, old: tuple[FittedFeature, ...], new: tuple[FittedFeature, ...]
) -> None:
    kinds = [[(feature.name, feature.kind) for feature in features] for features in (old, new)]
    if kinds[0] != kinds[1]:
        raise ConfigError(
            f"features.{group} aren't those of the run to go on from",
            received=_named(new),
            allowed=_named(old),
            hint="features, and their order, can't change on the way: train without "
            "train.continue_from",
        )
    for before, now in zip(old, new, strict=True):
        match before, now:
            case FittedCyclic(), FittedCyclic() if before.period != now.period:
                received, allowed = f"period {now.period}", f"period {before.period}"
            case FittedVector(), FittedVector() if before.size != now.size:
                received, allowed = f"size {now.size}", f"size {before.size}"
            case FittedNumeric(), FittedNumeric() if _has_moved(before, now):
                received, allowed = (
                    f"mean {one.mean:g}, deviation {one.deviation:g}" for one in (now, before)
                )
                allowed += f", up to {MOVED:g} deviations and {MOVED:g} times"
            case _:
                continue
        raise ConfigError(
            f"features.{group}.{now.name} isn't what it was in the run to go on from",
            received=received,
            allowed=allowed,
            hint="is its unit the same? train without train.continue_from if it has changed",
        )


def _has_moved(old: FittedNumeric, new: FittedNumeric) -> bool:
    by = abs(new.mean - old.mean) / old.deviation
    times = new.deviation / old.deviation
    return by > MOVED or not 1 / MOVED <= times <= MOVED


def _named(features: Iterable[FittedFeature]) -> str:
    return ", ".join(f"{feature.name} ({feature.kind})" for feature in features) or "none"


def _count(places: Places) -> int:
    """How many known rows have a place; row 0, the unknown one, isn't known."""
    return int((places[1:] >= 0).sum())


def _places_of_ids(old: pa.Array, new: pa.Array) -> Places:
    text = pa.types.is_string(old.type) or pa.types.is_large_string(old.type)
    ids: Any = old.to_pylist() if text else old.to_numpy()
    numbers = Vocabulary(new).numbers(ids)
    return np.concatenate([[0], np.where(numbers > 0, numbers, -1)]).astype(np.int32)


def _places_of_values(old: Mapping[str, int], new: Mapping[str, int]) -> Places:
    places = np.full(max(old.values(), default=0) + 1, -1, np.int32)
    places[0] = 0
    for value, code in old.items():
        places[code] = find_spelling(value, new) or places[code]
    return places


def _listed(folder: Path, name: str) -> dict[str, int]:
    """The codes of a categorical item feature's values."""
    table = pq.read_table(folder / f"{name}.parquet")
    values, codes = (table.column(column).to_pylist() for column in ("value", "code"))
    return {spell(value): code for value, code in zip(values, codes, strict=True)}


def _context_places(old: Prepared, new: Prepared) -> dict[str, Places]:
    """Places in the dense tables of categorical context features, by the path of the table."""
    places = {}
    for before, now in zip(old.schema.context, new.schema.context, strict=True):
        if isinstance(before, FittedCategorical) and isinstance(now, FittedCategorical):
            listed = (
                {value: code for code, value in enumerate(one.values or (), 1)}
                for one in (before, now)
            )
            places[f"feature_{now.name}/table"] = _places_of_values(*listed)
    return places


def _carry_tables(model: TwoTower, folder: Path, places: Mapping[str, Places]) -> None:
    for name, (table, part) in table_parts(model).items():
        at, start, dropped = places[name.removesuffix(".accumulator")], 0, table.rows
        for block in read_blocks(folder / "tables" / f"{name}.npy", BLOCK_ROWS):
            rows = at[start : start + len(block)]
            table.put(part, np.where(rows < 0, dropped, rows).astype(np.int32), block)
            start += len(block)


def _carry_dense(model: TwoTower, folder: Path, places: Mapping[str, Places]) -> None:
    slots = {path.replace("/", "_"): at for path, at in places.items()}
    for file, variables in dense_variables(model).items():
        if not (folder / file).exists():
            raise ArtifactError(
                f"{folder / file} is missing",
                hint="an older version wrote this model: train it again to go on from it",
            )
        arrays = read_dense(folder / file)
        for path, variable in variables.items():
            if path in ("learning_rate", "iteration"):  # the config's, and this training's
                continue
            at = places.get(path)
            for slot in ("_momentum", "_velocity"):
                if path.endswith(slot):
                    at = slots.get(path.removesuffix(slot))
            _carry(variable, arrays.get(path), at, path)


def _carry(
    variable: keras.Variable,
    old: Shaped[np.ndarray, "..."] | None,
    places: Places | None,
    path: str,
) -> None:
    if old is not None and places is not None:
        carried = np.array(variable.value)
        carried[places[places >= 0]] = old[places >= 0]
        old = carried
    if old is None or old.shape != tuple(variable.shape):
        raise ArtifactError(
            f"the weight {path} can't be carried over from the run to go on from",
            received=None if old is None else f"shape {old.shape}",
            allowed=f"shape {tuple(variable.shape)}",
            hint="another version of antiphon trained it: train without train.continue_from",
        )
    variable.assign(old)

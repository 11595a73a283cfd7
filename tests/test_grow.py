"""Training that goes on from another run: what is known keeps its rows, under its new numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from antiphon import pipeline
from antiphon.artifacts import open_stage
from antiphon.config import Config
from antiphon.errors import AntiphonError, ArtifactError, ConfigError
from antiphon.grow import Parent, grow
from antiphon.model import TwoTower
from antiphon.model_files import dense_variables, read_dense, table_parts
from antiphon.prepared import Prepared
from antiphon.schema import FittedNumeric

DAY = 86_400
KINDS = 4
MOODS = ("calm", "lively", "loud")
CONFIG = """
name = "{name}"
[log]
events = "{folder}/log.parquet"
user = "who"
item = "what"
time = "moment"
[[features.context]]
name = "mood"
kind = "categorical"
[[features.context]]
name = "hour"
kind = "cyclic"
period = 24
sql = "floor(moment / 3600) % 24"
[[features.item]]
name = "artist"
kind = "categorical"
table = "{folder}/items.parquet"
max_values = 2
[[features.item]]
name = "length"
kind = "numeric"
table = "{folder}/items.parquet"
[[features.item]]
name = "sound"
kind = "vector"
size = 3
table = "{folder}/items.parquet"
[model]
width = 8
history_length = 4
[train]
epochs = 4
global_batch_size = 64
sampled_negatives = 16
"""


def write(folder: Path, days: int, users: int, items: int, moods: int, name: str) -> Path:
    """A log in which users play one kind of item; the later an item, the more it is played.

    More days, users, items and moods leave none of the earlier ones out, but all numbers change.
    """
    rng = np.random.default_rng(days)
    rows = days * 600
    user = rng.integers(0, users, rows)
    kind = np.where(rng.random(rows) < 0.9, user % KINDS, rng.integers(0, KINDS, rows))
    place = items // KINDS - 1 - (rng.geometric(0.15, rows) - 1) % (items // KINDS)
    mood = moods - 1 - (rng.geometric(0.6, rows) - 1) % moods
    log = {
        "who": [f"u{number * 37 % 101}" for number in user],
        "what": place * KINDS + kind + 500,
        "moment": np.sort(rng.integers(0, days * DAY, rows)),
        "mood": [MOODS[number] for number in mood],
    }
    numbers = np.arange(items)
    about = {
        "what": numbers + 500,
        "artist": [[f"by {n // 3}", f"by {(n * 7) % (items // 3)}"] for n in numbers],
        "length": 100.0 + numbers,
        "sound": rng.random((items, 3)).tolist(),
    }
    folder.mkdir(parents=True)
    pq.write_table(pa.table(log), folder / "log.parquet")
    pq.write_table(pa.table(about), folder / "items.parquet")
    path = folder / f"{name}.toml"
    path.write_text(CONFIG.format(folder=folder, name=name), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def old(runs) -> Path:
    path = write(runs / "log1", days=4, users=40, items=32, moods=2, name="first")
    return pipeline.run(Config.load(path), runs, until="train").path


@pytest.fixture(scope="module")
def later(runs) -> Path:
    return write(runs / "log2", days=6, users=60, items=48, moods=3, name="second")


@pytest.fixture(scope="module")
def prepared(runs, later) -> Prepared:
    config = Config.load(later, ["name=only-prepared"])
    return Prepared.open(pipeline.run(config, runs, until="prepare").path / "prepared")


@pytest.fixture(scope="module")
def carried(old, later, prepared) -> tuple[TwoTower, TwoTower, str]:
    """A model as training starts with it, the same one grown, and what was said of it."""
    config = Config.load(later)
    fresh, grown = (TwoTower(prepared.schema, config.model, config.train, 9) for _ in range(2))
    return fresh, grown, grow(grown, config, prepared, Parent.open(old))


def _ids(prepared: Prepared, name: str) -> list:
    """What each row of a table stands for; row 0 is the unknown one."""
    if name in ("user", "item"):
        ids = prepared.user_ids() if name == "user" else prepared.item_ids()
        return [None, *ids.to_pylist()]
    values = pq.read_table(prepared.stage.path / f"values/{name.removeprefix('item.')}.parquet")
    assert values.column("code").to_pylist() == list(range(1, len(values) + 1))
    return [None, *values.column("value").to_pylist()]


@pytest.mark.parametrize("table", ["user", "item", "item.artist"])
def test_known_rows_keep_their_bits_and_new_ones_start_as_training_does(
    old, prepared, carried, table
) -> None:
    fresh, grown, _ = carried
    before, now = _ids(Prepared.open(old / "prepared"), table), _ids(prepared, table)
    assert before[1:20] != now[1:20], "numbers have changed"
    known = [now.index(one) for one in before if one in now]
    assert len(known) == len(before)
    assert len(now) > len(before)
    for name in (table, f"{table}.accumulator"):
        kept = np.load(old / "model/tables" / f"{name}.npy")
        rows = np.asarray(table_parts(grown)[name][1].value)
        start = np.asarray(table_parts(fresh)[name][1].value)
        for row, one in enumerate(now):
            expected = kept[before.index(one)] if one in before else start[row]
            assert rows[row].tobytes() == expected.tobytes(), (name, one)


def test_other_weights_and_their_optimizer_are_carried_too(old, prepared, carried) -> None:
    fresh, grown, _ = carried
    before, now = (
        [None, *one.schema.context[0].values] for one in (Prepared.open(old / "prepared"), prepared)
    )
    assert now[1:] == ["loud", "lively", "calm"], "the commonest first"
    assert set(before) < set(now)
    for file, variables in dense_variables(grown).items():
        kept = read_dense(old / "model" / file)
        assert set(kept) == set(variables)
        for path, variable in variables.items():
            if path == "iteration":
                continue
            value, old_value = np.asarray(variable.value), kept[path]
            if "feature_mood" in path:
                start = np.asarray(dense_variables(fresh)[file][path].value)
                old_value = np.stack(
                    [
                        old_value[before.index(one)] if one in before else start[row]
                        for row, one in enumerate(now)
                    ]
                )
            assert value.tobytes() == old_value.tobytes(), path
    assert read_dense(old / "model/optimizer.npz")["iteration"] > 50
    steps = dense_variables(grown)["optimizer.npz"]["iteration"].value
    assert np.asarray(steps) == 0, "the learning rate falls anew"


def test_what_was_known_is_told(old, carried) -> None:
    # the tables of features know all of the 48 items, of which the old run knew its 32
    assert carried[2] == f"went on from {old}: 32 of 48 items and 40 of 60 users were known there"


@pytest.fixture(scope="module")
def continued(runs, old, later) -> pipeline.Run:
    config = Config.load(later, [f"train.continue_from={json.dumps(str(old))}", "train.epochs=2"])
    return pipeline.run(config, runs, until="train")


def test_learning_goes_on(runs, later, continued, old) -> None:
    fresh = pipeline.run(Config.load(later, ["name=fresh", "train.epochs=2"]), runs, until="train")
    begin = {run.path.name: run.summary["loss"] for run in (fresh, continued)}
    chance = begin["fresh"]["chance"]
    gained = json.loads((old / "model/training.json").read_text())
    learned = gained["chance"][-1] - gained["loss"][-1]
    assert learned > 0.3
    assert begin["fresh"]["first"] > chance - 0.3
    assert begin["second"]["first"] < begin["fresh"]["first"] - learned / 2
    assert begin["second"]["last"] < begin["second"]["first"]


def test_the_manifest_names_the_parent(continued, old) -> None:
    parent = open_stage(old / "model")
    model = open_stage(continued.path / "model", inputs={"parent": parent})
    assert set(model.manifest["inputs"]) == {"prepared", "parent"}
    training = json.loads((continued.path / "model/training.json").read_text())
    assert training["notes"][0].startswith(f"went on from {old}: ")
    assert continued.summary["notes"] == training["notes"]


def test_it_is_done_while_the_parent_is_the_same_or_gone(runs, continued, old) -> None:
    config = Config.load(continued.path / "config.toml")
    assert pipeline.run(config, runs, until="train").skipped == ("prepare", "train")
    hidden = old.rename(old.with_name("elsewhere"))
    try:
        assert pipeline.run(config, runs, until="train").skipped == ("prepare", "train")
    finally:
        hidden.rename(old)


def test_a_run_cannot_go_on_from_itself(runs, old, later) -> None:
    config = Config.load(later, ["name=first", f"train.continue_from={json.dumps(str(old))}"])
    with pytest.raises(ConfigError, match="can't go on from itself") as caught:
        pipeline.run(config, runs, until="train")
    assert "--set name=first-2" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("model.width=12", "model.width isn't that"),
        ("model.repeats=false", "model.repeats isn't that"),
        ("model.trend_half_lives=[1.0]", "model.trend_half_lives isn't that"),
        ("model.context_trend_half_life=2.0", "model.context_trend_half_life isn't that"),
    ],
)
def test_a_model_of_another_form_is_refused(old, later, prepared, override, words) -> None:
    config = Config.load(later, [override])
    model = TwoTower(prepared.schema, config.model, config.train)
    with pytest.raises(ConfigError, match=words) as caught:
        grow(model, config, prepared, Parent.open(old))
    assert caught.value.allowed is not None


def _with(prepared: Prepared, **changes) -> Prepared:
    schema = prepared.schema.model_copy(update=changes)
    return Prepared(prepared.stage, schema, prepared.events, prepared.held_out)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: {"context": s.context[:1]}, r"features\.context aren't those"),
        (lambda s: {"context": s.context[::-1]}, r"features\.context aren't those"),
        (lambda s: {"item": s.item[:1]}, r"features\.item aren't those"),
        (
            lambda s: {"context": (s.context[0], s.context[1].model_copy(update={"period": 7.0}))},
            r"features\.context\.hour isn't what it was",
        ),
        (
            lambda s: {"item": (*s.item[:2], s.item[2].model_copy(update={"size": 5}))},
            r"features\.item\.sound isn't what it was",
        ),
        (
            lambda s: {
                "item": (
                    s.item[0],
                    FittedNumeric(name="length", mean=1e5, deviation=1e4),  # milliseconds now
                    s.item[2],
                )
            },
            r"features\.item\.length isn't what it was",
        ),
    ],
)
def test_other_features_are_refused(old, later, prepared, change, words) -> None:
    config = Config.load(later)
    other = _with(prepared, **change(prepared.schema))
    model = TwoTower(other.schema, config.model, config.train)
    with pytest.raises(ConfigError, match=words) as caught:
        grow(model, config, other, Parent.open(old))
    assert caught.value.received is not None
    assert "train.continue_from" in str(caught.value.hint)


def test_a_run_of_another_log_is_refused(runs, old, later, prepared, monkeypatch) -> None:
    config = Config.load(later)
    model = TwoTower(prepared.schema, config.model, config.train)
    parent = Parent.open(old)
    foreign = pa.array(np.arange(32) + 10_000)
    monkeypatch.setattr(type(parent.prepared), "item_ids", lambda self: foreign)
    monkeypatch.setattr(type(prepared), "item_ids", lambda self: foreign, raising=True)
    other = pa.array(np.arange(48))
    monkeypatch.setattr(
        type(prepared), "item_ids", lambda self: other if self is prepared else foreign
    )
    with pytest.raises(ArtifactError, match="has no item of this log"):
        grow(model, config, prepared, parent)


def test_a_run_without_a_model_is_refused(runs, later) -> None:
    config = Config.load(later, ["name=orphan", 'train.continue_from="nowhere"'])
    with pytest.raises(AntiphonError, match="no complete 'prepared' stage"):
        pipeline.run(config, runs, until="train")
    assert not (runs / "orphan/model").exists()


def test_a_model_of_an_older_version_is_refused(old, later, prepared, tmp_path) -> None:
    config = Config.load(later)
    model = TwoTower(prepared.schema, config.model, config.train)
    parent = Parent.open(old)
    (tmp_path / "model").symlink_to(old / "model")
    for path in (old / "model").iterdir():
        if path.name != "optimizer.npz":
            (tmp_path / path.name).symlink_to(path)
    stage = type(parent.model)(tmp_path, parent.model.manifest)
    with pytest.raises(ArtifactError, match=r"optimizer\.npz is missing"):
        grow(model, config, prepared, Parent(old, parent.config, parent.prepared, stage))

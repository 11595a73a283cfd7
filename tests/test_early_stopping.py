"""A first training tells how long the one that is kept should last."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import chain
import planted
from antiphon import pipeline
from antiphon.config import Config
from antiphon.early_stopping import (
    choose_epochs,
    epochs_note,
    refuse_several_processes,
    with_chosen_epochs,
)
from antiphon.errors import ConfigError
from antiphon.model import TwoTower
from antiphon.prepared import Prepared
from antiphon.train import train_model
from antiphon.validation import Validation
from antiphon.windows import validation_window


def test_it_ends_when_nothing_better_has_come_for_a_while(prepared) -> None:
    scores = iter([0.1, 0.3, 0.2, 0.4, 0.4, 0.3, 0.35])
    watched = Validation(lambda _: next(scores), every=5, patience=3)
    assert [step for step in range(1, 12) if watched.due(step)] == [5, 10]
    config = planted.config()
    model = TwoTower(prepared.schema, config.model, config.train)
    ends = [watched.look(model) for _ in range(7)]
    # the best, .4, is first seen at the fourth look; three looks later it's over
    assert ends == [False] * 6 + [True]
    assert watched.best == 4


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Prepared:
    return planted.moods(tmp_path_factory.mktemp("log") / "prepared")


def test_each_look_is_at_the_model_as_far_as_it_has_come(prepared) -> None:
    config = planted.config(train__epochs=1.0)
    window = validation_window(prepared, config.evaluate)
    steps = config.train.steps(window.known.count)
    seen = []

    def score(model: TwoTower) -> float:
        seen.append(np.array(model.tables["item"].table.value))
        return -len(seen) if len(seen) > 1 else 0.0

    watched = Validation(score, every=10, patience=2)
    model, _, training = train_model(
        config, prepared, window.known, window.item_counts, validation=watched
    )
    assert len(seen) == 3, "the first is the best, two more follow"
    assert training.steps == steps > 40
    # it ended after step 30: as a training does that is as long, its rates falling as slowly
    np.testing.assert_array_equal(seen[-1], np.array(model.tables["item"].table.value))
    assert not (seen[0] == seen[1]).all()
    assert not (seen[1] == seen[2]).all()


def _noise(folder: Path) -> Prepared:
    """Every play is drawn at random: whatever is learned of a user is learned by heart."""
    rng = np.random.default_rng(3)
    users, items, each = 60, 300, 30
    time = np.sort(rng.integers(0, 10 * planted.DAY, (users, each)), axis=1).ravel()
    user = np.repeat(np.arange(1, users + 1), each)
    item = rng.integers(1, items + 1, users * each)
    mood = rng.integers(1, 3, users * each)
    return planted.write(folder, user, item, time, {"mood": mood}, users, items, 9 * planted.DAY)


def test_what_is_learned_by_heart_ends_early(tmp_path: Path) -> None:
    config = planted.config(train__epochs=60.0, train__early_stopping=True)
    choose_epochs(config, _noise(tmp_path / "prepared"), tmp_path / "epochs")
    found = json.loads((tmp_path / "epochs/epochs.json").read_text(encoding="utf-8"))
    scores = found["ndcg_at_10"]
    best = int(np.argmax(scores)) + 1
    assert len(scores) == best + 3, "it ended three looks after the best"
    assert found["epochs"] == pytest.approx(best * found["epochs_between_looks"])
    chosen = with_chosen_epochs(config, tmp_path / "epochs")
    assert chosen.train.epochs == found["epochs"] < 30
    assert not chosen.train.early_stopping
    assert "of 60 epochs" in epochs_note(tmp_path / "epochs")


def test_a_short_training_goes_on_to_its_end(prepared, tmp_path: Path) -> None:
    choose_epochs(planted.config(train__epochs=1.0), prepared, tmp_path / "short")
    found = json.loads((tmp_path / "short/epochs.json").read_text(encoding="utf-8"))
    assert found["epochs_at_most"] == 1.0
    looks = int(np.argmax(found["ndcg_at_10"])) + 1
    assert looks > 5, "taste takes all of it"
    assert found["epochs"] == pytest.approx(looks * found["epochs_between_looks"])


def test_a_run_trains_as_long_as_was_chosen_and_does_nothing_twice(tmp_path: Path) -> None:
    path = chain.write(tmp_path / "log")
    config = Config.load(path, ["train.early_stopping=true", "split.validation_days=1"])
    first = pipeline.run(config, tmp_path / "runs", until="train")
    assert first.skipped == ()
    assert list(first.summary["stages"]) == ["prepare", "epochs", "train"]
    found = json.loads((first.path / "epochs/epochs.json").read_text(encoding="utf-8"))
    training = json.loads((first.path / "model/training.json").read_text(encoding="utf-8"))
    events = Prepared.open(first.path / "prepared").events.count
    assert training["steps"] == round(found["epochs"] * round(events / 64))
    assert any("epochs, after which" in note for note in first.summary["notes"])
    assert pipeline.run(config, tmp_path / "runs", until="train").skipped == (
        *("prepare", "epochs", "train"),
    )
    # the same number of epochs, stated: the model is the one that there is
    stated = Config.load(path, [f"train.epochs={found['epochs']}", "split.validation_days=1"])
    again = pipeline.run(stated, tmp_path / "runs", until="train")
    assert again.skipped == ("prepare", "train")
    assert list(again.summary["stages"]) == ["prepare", "train"]
    assert not again.summary["notes"]


def test_several_processes_are_told_to_choose_beforehand() -> None:
    refuse_several_processes(planted.config())
    with pytest.raises(ConfigError, match=r"(?s)train.early_stopping = true.*epochs\.json"):
        refuse_several_processes(planted.config(train__early_stopping=True))

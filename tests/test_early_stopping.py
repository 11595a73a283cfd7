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
from antiphon.prepared import Prepared
from antiphon.train import train_model
from antiphon.validation_loss import ValidationLoss, validation_batches
from antiphon.windows import validation_window


class Falling:
    """A model whose loss is known beforehand."""

    def __init__(self, losses) -> None:
        self.losses = iter(losses)

    def mean_loss(self, _) -> float:
        return next(self.losses)


def test_it_ends_when_the_loss_has_not_been_less_for_a_while() -> None:
    watched = ValidationLoss([{}], every=5, patience=3)
    assert [step for step in range(1, 12) if watched.due(step)] == [5, 10]
    model = Falling([3.0, 2.0, 2.5, 1.9, 1.9, 2.2, 2.0])
    ends = [watched.look(model) for _ in range(7)]
    # the least, 1.9, is first seen at the fourth look; three looks later it's over
    assert ends == [False] * 6 + [True]
    assert watched.best == 4


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Prepared:
    return planted.moods(tmp_path_factory.mktemp("log") / "prepared")


def test_batches_ask_at_the_windows_start_about_what_is_played_in_it(prepared) -> None:
    config = planted.config()
    window = validation_window(prepared, config.evaluate)
    batches = validation_batches(config, prepared, window)
    start_s, end_s = 8 * planted.DAY, 9 * planted.DAY
    events = prepared.events
    times_s, rows = events.timestamp_s, events.rows()
    inside = rows[(times_s[rows] >= start_s) & (times_s[rows] < end_s)]
    users = np.searchsorted(events.starts, inside, side="right") - 1
    played = set(zip(users.tolist(), events.item_number[inside].tolist(), strict=True))
    before = rows[times_s[rows] < start_s]
    asked = set()
    for batch in batches:
        user = batch["rows"]["user"][batch["user"]]
        item = batch["rows"]["item"]
        assert (user > 0).all(), "nobody is hidden"
        assert (batch["context"]["mood"] > 0).all(), "nor any context"
        for row, targets in zip(user.tolist(), item[batch["positive"]].tolist(), strict=True):
            assert all((row, one) in played for one in targets)
            asked |= {(row, one) for one in targets}
            had = set(events.item_number[before[_owner(events, before) == row]].tolist())
            heard = batch["history"]["item"][user == row]
            there = batch["history"]["age"][user == row] >= 0
            assert set(item[heard[there]].tolist()) <= had
    assert len(asked) > 0.9 * len(played), "all of the window is asked about"


def _owner(events, rows: np.ndarray) -> np.ndarray:
    return np.searchsorted(events.starts, rows, side="right") - 1


def test_the_loss_looked_at_is_that_of_training(prepared) -> None:
    config = planted.config(train__epochs=1.0, train__stranger_share=0.0)
    window = validation_window(prepared, config.evaluate)
    batches = validation_batches(config, prepared, window)[:2]
    watched = ValidationLoss(batches, every=20, patience=9)
    model = train_model(config, prepared, window.known, window.item_counts, validation=watched)[0]
    assert len(watched.seen) == 3  # 60 steps and a few
    assert watched.seen[-1] < watched.seen[0]
    # one more step on such a batch reports the loss that was before it
    expected = model.mean_loss(batches[0])
    logs = model.fit(
        ((batch,) for batch in batches[:1]), steps_per_epoch=1, shuffle=False, verbose=0
    )
    assert logs.history["loss"][0] == pytest.approx(expected, rel=1e-5)


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
    losses = found["validation_loss"]
    least = int(np.argmin(losses)) + 1
    assert len(losses) == least + 3, "it ended three looks after the least"
    assert losses[-1] > min(losses) + 0.1
    assert found["epochs"] == pytest.approx(least * found["epochs_between_looks"])
    chosen = with_chosen_epochs(config, tmp_path / "epochs")
    assert chosen.train.epochs == found["epochs"] < 30
    assert not chosen.train.early_stopping
    assert "of 60 epochs" in epochs_note(tmp_path / "epochs")


def test_a_short_training_goes_on_to_its_end(prepared, tmp_path: Path) -> None:
    choose_epochs(planted.config(train__epochs=1.0), prepared, tmp_path / "short")
    found = json.loads((tmp_path / "short/epochs.json").read_text(encoding="utf-8"))
    assert len(found["validation_loss"]) == 10
    assert found["epochs"] == pytest.approx(1.0, abs=0.11)


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
    assert "train" in pipeline.run(stated, tmp_path / "runs", until="train").skipped


def test_several_processes_are_told_to_choose_beforehand() -> None:
    refuse_several_processes(planted.config())
    with pytest.raises(ConfigError, match=r"(?s)train.early_stopping = true.*epochs\.json"):
        refuse_several_processes(planted.config(train__early_stopping=True))

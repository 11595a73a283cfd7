"""A training that was broken off goes on from its last good checkpoint, to the same bits."""

from __future__ import annotations

import errno
import json
import os
import signal
import threading
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

import planted
from antiphon import checkpoints as checkpoints_module
from antiphon.artifacts import hash_file
from antiphon.checkpoints import Checkpoints
from antiphon.errors import ArtifactError, StoppedError
from antiphon.interrupt import asked_to_stop
from antiphon.model import TwoTower
from antiphon.model_files import dense_variables, table_parts
from antiphon.prepared import Prepared
from antiphon.train import train, train_model, training_inputs
from antiphon.watch import Training

STEPS = 12


def config(**changes):
    # 64 examples a step; 120 users of 40 plays, nine days of ten: 4,320 events or so, 68 steps
    return planted.config(**{"train__epochs": STEPS / 68} | changes)


@pytest.fixture(scope="module", autouse=True)
def _compiled_once(tmp_path_factory):
    """Each training compiles the same program, as a process of its own would: keep it."""
    settings = {
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("compiled")),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
    }
    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Prepared:
    return planted.moods(tmp_path_factory.mktemp("log") / "prepared")


def state(model: TwoTower) -> dict[str, np.ndarray]:
    named = {name: part for name, (_, part) in table_parts(model).items()} | {
        f"{file}:{path}": variable
        for file, variables in dense_variables(model).items()
        for path, variable in variables.items()
    }
    assert len(named) == len(model.variables) + len(model.optimizer.variables)
    return {name: np.asarray(variable.value) for name, variable in named.items()}


class KilledError(Exception):
    """Stands for the end of the process."""


def run(prepared, folder: Path, settings=None, *, kill_at=None, every_s=1e-9):
    """Train with checkpoints in `folder`, until the step `kill_at` is done."""
    settings = settings or config()
    kept = Checkpoints(folder, training_inputs(settings), {"prepared": prepared.stage}, every_s)

    def progress(step: int, steps: int, words: str) -> None:
        if kill_at is not None and step >= kill_at:
            raise KilledError

    arguments = (settings, prepared, prepared.events, prepared.item_counts(), progress)
    try:
        model, _, training = train_model(*arguments, checkpoints=kept)
    finally:
        kept.wait()
    return state(model), training


@pytest.fixture(scope="module")
def uninterrupted(prepared):
    model, _, training = train_model(config(), prepared, prepared.events, prepared.item_counts())
    assert training.steps == STEPS
    return state(model), training


def test_resumed_at_any_step_it_ends_with_the_same_bits(prepared, uninterrupted, tmp_path) -> None:
    expected, undisturbed = uninterrupted
    for kill_at in (2, 5, 11):
        with pytest.raises(KilledError):
            run(prepared, tmp_path, kill_at=kill_at)
    found, training = run(prepared, tmp_path)
    assert list(found) == list(expected)
    for path, values in expected.items():
        assert found[path].dtype == values.dtype
        assert found[path].tobytes() == values.tobytes(), path
    assert training.notes == [f"went on from step {step} of {STEPS}" for step in (1, 4, 10)]
    assert (training.step, training.loss) == (undisturbed.step, undisturbed.loss)
    assert training.examples == undisturbed.examples


def test_the_last_two_stay_and_hold_all_that_is_needed(prepared, tmp_path) -> None:
    run(prepared, tmp_path)
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == [f"step-{step:010d}" for step in (STEPS - 1, STEPS)]
    files = {
        path.relative_to(tmp_path / kept[1]).as_posix()
        for path in (tmp_path / kept[1]).rglob("*")
        if path.is_file()
    }
    tables = {f"tables/{n}{end}" for n in ("user", "item") for end in (".npy", ".accumulator.npy")}
    assert files == tables | {"dense.npz", "optimizer.npz", "training.json", "manifest.json"}


def test_none_are_written_where_none_are_wanted(prepared, tmp_path) -> None:
    run(prepared, tmp_path / "kept", every_s=0.0)
    assert not list(tmp_path.rglob("step-*"))


def _truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def _flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: _truncate(path / "tables/item.npy"), "item.npy is truncated"),
        (lambda path: _flip_a_bit(path / "tables/user.accumulator.npy"), "npy is damaged"),
        (lambda path: (path / "optimizer.npz").unlink(), "optimizer.npz is missing"),
        (lambda path: (path / "manifest.json").unlink(), "no complete"),
        (lambda path: (path / "manifest.json").write_text("{"), "manifest.json is damaged"),
    ],
)
def test_a_damaged_checkpoint_is_told_of_and_the_one_before_is_used(
    prepared, uninterrupted, tmp_path, damage, words
) -> None:
    with pytest.raises(KilledError):
        run(prepared, tmp_path, kill_at=6)
    damage(tmp_path / "step-0000000005")
    found, training = run(prepared, tmp_path)
    assert words in training.notes[0]
    assert "step-0000000005 is left out" in training.notes[0]
    assert training.notes[1] == f"went on from step 4 of {STEPS}"
    for path, values in uninterrupted[0].items():
        assert found[path].tobytes() == values.tobytes(), path


def test_with_all_damaged_it_begins_anew_and_says_so(prepared, uninterrupted, tmp_path) -> None:
    with pytest.raises(KilledError):
        run(prepared, tmp_path, kill_at=3)
    for path in tmp_path.iterdir():
        _flip_a_bit(path / "dense.npz")
    found, training = run(prepared, tmp_path)
    assert len(training.notes) == 2
    assert all("left out" in note for note in training.notes)
    assert all(found[p].tobytes() == v.tobytes() for p, v in uninterrupted[0].items())


def test_checkpoints_of_another_training_are_left_out(prepared, tmp_path) -> None:
    with pytest.raises(KilledError):
        run(prepared, tmp_path / "kept", kill_at=3)
    other = config(train__seed=1)  # the same program, so nothing compiles
    with pytest.raises(KilledError):
        run(prepared, tmp_path / "kept", other, kill_at=2)
    assert (tmp_path / "kept/step-0000000001").is_dir()
    expected = state(train_model(other, prepared, prepared.events, prepared.item_counts())[0])
    found, training = run(prepared, tmp_path / "kept", other)
    assert "is of a training with other settings" in training.notes[0]
    assert all(found[path].tobytes() == values.tobytes() for path, values in expected.items())

    grown = planted.moods(tmp_path / "prepared", seed=1)
    with pytest.raises(KilledError):
        run(grown, tmp_path / "kept", kill_at=3)
    manifest = json.loads((tmp_path / "kept/step-0000000002/manifest.json").read_text())
    assert manifest["inputs"] == {"prepared": grown.stage.hash}


def _full(after: int):
    """Writing fails as on a full disk, once this much has been written."""
    real, written = checkpoints_module.save_state, 0

    def save_state(model, folder: Path) -> None:
        nonlocal written
        written += 1
        if written > after:
            (folder / "half").write_text("half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "user.npy")
        real(model, folder)

    return save_state


def test_a_full_disk_ends_training_and_leaves_the_checkpoint_before(
    prepared, uninterrupted, tmp_path, monkeypatch
) -> None:
    with monkeypatch.context() as full:
        full.setattr(checkpoints_module, "save_state", _full(after=4))
        with pytest.raises(ArtifactError, match="No space left on device") as caught:
            run(prepared, tmp_path)
    assert "free some space" in str(caught.value.hint)
    assert "step-0000000004 is good" in str(caught.value.hint)
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"step-{n:010d}" for n in (3, 4)]
    found, training = run(prepared, tmp_path)
    assert training.notes == [f"went on from step 4 of {STEPS}"]
    assert all(found[p].tobytes() == v.tobytes() for p, v in uninterrupted[0].items())


def test_a_disk_that_fills_up_while_syncing_is_told_of_too(prepared, tmp_path, monkeypatch) -> None:
    """What is left to do beside the next steps fails: training ends at the next checkpoint."""
    real = os.fsync
    main = threading.current_thread()

    def fsync(descriptor: int) -> None:
        if threading.current_thread() is not main:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr("os.fsync", fsync)
    with pytest.raises(ArtifactError, match="No space left on device"):
        run(prepared, tmp_path)
    assert not list(tmp_path.iterdir())


def test_sigterm_ends_with_a_checkpoint(prepared, uninterrupted, tmp_path) -> None:
    kept = Checkpoints(tmp_path, training_inputs(config()), {"prepared": prepared.stage}, 0.0)

    def progress(step: int, steps: int, words: str) -> None:
        if step == 5:
            signal.raise_signal(signal.SIGTERM)

    arguments = (config(), prepared, prepared.events, prepared.item_counts(), progress)
    with pytest.raises(StoppedError, match=rf"at step \d of {STEPS}") as caught:
        train_model(*arguments, checkpoints=kept)
    assert caught.value.exit_code == 75
    assert "run the same command again" in str(caught.value.hint)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert len(list(tmp_path.iterdir())) == 1
    found, training = run(prepared, tmp_path, every_s=0.0)
    assert training.notes[0].startswith("went on from step ")
    assert all(found[p].tobytes() == v.tobytes() for p, v in uninterrupted[0].items())


def test_a_request_to_stop_that_nobody_met_is_made_again() -> None:
    heard = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append("again"))
    try:
        with asked_to_stop() as stop:
            signal.raise_signal(signal.SIGTERM)
            assert stop.is_set()
            assert not heard
        assert heard == ["again"]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_in_another_thread_signals_are_left_alone(prepared, tmp_path) -> None:
    found = []

    def work() -> None:
        found.append(run(prepared, tmp_path, kill_at=None, every_s=0.0))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(found) == 1


def test_the_stage_removes_its_checkpoints_and_what_killed_ones_left(prepared, tmp_path) -> None:
    kept = tmp_path / "checkpoints"
    (kept / ".step-0000000003.new-999999999").mkdir(parents=True)
    settings = config(train__checkpoint_seconds=1e-9)
    swept = []

    def note_leftovers(*_: object) -> None:
        swept.append(list(kept.glob(".*-999999999")))

    train(settings, prepared, tmp_path / "model", note_leftovers)
    assert swept
    assert not any(swept)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    training = json.loads((tmp_path / "model/training.json").read_text())
    assert training["checkpoint_seconds"] > 0


def test_when_checkpoints_are_written_changes_nothing_of_the_model(prepared, tmp_path) -> None:
    often, never = (config(train__checkpoint_seconds=seconds) for seconds in (1e-9, 0.0))
    assert training_inputs(often) == training_inputs(never)
    for name, settings in (("often", often), ("never", never)):
        train(settings, prepared, tmp_path / name / "model")
    for path in (tmp_path / "often/model").rglob("*.np?"):
        other = tmp_path / "never" / path.relative_to(tmp_path / "often")
        assert hash_file(path) == hash_file(other), path


def test_a_checkpoint_of_a_model_of_another_form_is_left_out(prepared, tmp_path) -> None:
    """The code may change while the settings don't."""
    with pytest.raises(KilledError):
        run(prepared, tmp_path, kill_at=3)
    kept = Checkpoints(tmp_path, training_inputs(config()), {"prepared": prepared.stage}, 0.0)
    wide = config(model__width=24)
    model = TwoTower(prepared.schema, wide.model, wide.train)
    before = state(model)
    training = kept.resume(model, Training(STEPS))
    assert training.done == 0
    assert "is of a model of another form" in training.notes[0]
    assert all(state(model)[path].tobytes() == values.tobytes() for path, values in before.items())


def test_time_spent_waiting_for_input_is_part_of_the_time_of_steps(uninterrupted) -> None:
    training = uninterrupted[1]
    assert 0 < training.input_seconds < training.seconds
    assert training.compile_seconds > 0
    assert training.checkpoint_seconds == 0

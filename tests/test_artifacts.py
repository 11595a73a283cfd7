from __future__ import annotations

import errno
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.artifacts import (
    FORMAT_VERSION,
    Stage,
    fingerprint,
    hash_file,
    is_complete,
    open_stage,
    write_json,
    write_stage,
)
from antiphon.errors import ArtifactError


def _write(path: Path, text: str = "hello", **inputs: Stage) -> Stage:
    with write_stage(path, made_from={"text": text}, inputs=inputs) as folder:
        (folder / "part.txt").write_text(text)
        (folder / "more").mkdir()
        (folder / "more/part.bin").write_bytes(bytes(range(256)))
    return open_stage(path, inputs=inputs)


def test_a_stage_is_written_whole(tmp_path: Path) -> None:
    stage = _write(tmp_path / "run/prepared")
    assert stage.manifest["stage"] == "prepared"
    assert stage.manifest["format_version"] == FORMAT_VERSION
    assert set(stage.manifest["files"]) == {"part.txt", "more/part.bin"}
    part = stage.manifest["files"]["part.txt"]
    # sha256sum of the five bytes "hello"
    digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    assert part == {"bytes": 5, "sha256": digest}
    assert hash_file(stage.path / "part.txt") == digest
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["prepared"]


def test_equal_stages_have_equal_hashes(tmp_path: Path) -> None:
    first = _write(tmp_path / "a/prepared")
    assert _write(tmp_path / "b/prepared").hash == first.hash
    assert _write(tmp_path / "b/prepared", "other").hash != first.hash


@given(st.dictionaries(st.text(), st.integers() | st.lists(st.text())))
def test_a_fingerprint_does_not_know_the_order_of_keys(value: dict[str, object]) -> None:
    turned = dict(reversed(list(value.items())))
    assert fingerprint(value) == fingerprint(turned)
    assert fingerprint(value) != fingerprint([value])


def test_an_error_leaves_nothing_new(tmp_path: Path) -> None:
    path = tmp_path / "prepared"

    def fail() -> None:
        with write_stage(path, made_from=0) as folder:
            (folder / "part.txt").write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not list(tmp_path.iterdir())
    _write(path, "old")
    with pytest.raises(ZeroDivisionError):
        fail()
    assert (open_stage(path).path / "part.txt").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("where", ["block", "pathlib.Path.replace", "os.fsync"])
def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "part.txt")

    if where != "block":
        monkeypatch.setattr(where, full)

    def write() -> None:
        with write_stage(tmp_path / "run/model", made_from=0) as folder:
            (folder / "part.txt").write_text("half")
            if where == "block":
                full()

    with pytest.raises(ArtifactError, match="No space left on device") as caught:
        write()
    assert caught.value.hint is not None
    assert not list((tmp_path / "run").iterdir())


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(ArtifactError, match="can't be written") as caught:
        write_json(tmp_path / "runs/demo/summary.json", {})
    assert caught.value.received == str(tmp_path / "runs/demo")
    with (
        pytest.raises(ArtifactError, match="can't be written"),
        write_stage(tmp_path / "runs/demo/model", made_from=0),
    ):
        pytest.fail("there is no folder to write into")


def test_damage_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "prepared"
    other = _write(tmp_path / "other/prepared", "jello")
    for damage, message in (
        (lambda part: part.write_text("hell"), r"part\.txt is truncated or swapped"),
        (
            lambda part: part.write_bytes((other.path / "part.txt").read_bytes()),
            r"part\.txt is damaged",
        ),
        (lambda part: part.unlink(), r"part\.txt is missing"),
        (lambda part: (path / "manifest.json").unlink(), "no complete 'prepared' stage"),
        (lambda part: (path / "manifest.json").write_text("{"), r"manifest\.json is damaged"),
    ):
        _write(path)
        damage(path / "part.txt")  # type: ignore[no-untyped-call]
        with pytest.raises(ArtifactError, match=message):
            open_stage(path)
        assert not is_complete(path, made_from={"text": "hello"}, inputs={})


def test_another_version_is_refused(tmp_path: Path) -> None:
    stage = _write(tmp_path / "prepared")
    write_json(stage.path / "manifest.json", dict(stage.manifest) | {"format_version": 99})
    with pytest.raises(ArtifactError, match="another format version") as caught:
        open_stage(stage.path)
    assert (caught.value.received, caught.value.allowed) == (99, FORMAT_VERSION)


def test_another_stage_is_refused(tmp_path: Path) -> None:
    _write(tmp_path / "model").path.rename(tmp_path / "index")
    with pytest.raises(ArtifactError, match="holds another stage") as caught:
        open_stage(tmp_path / "index")
    assert (caught.value.received, caught.value.allowed) == ("model", "index")


def test_parts_of_different_runs_do_not_mix(tmp_path: Path) -> None:
    prepared = _write(tmp_path / "a/prepared")
    foreign = _write(tmp_path / "b/prepared", "other")
    model = _write(tmp_path / "a/model", prepared=prepared)
    assert model.manifest["inputs"] == {"prepared": prepared.hash}
    with pytest.raises(ArtifactError, match="was not computed from"):
        open_stage(model.path, inputs={"prepared": foreign})


def test_complete_means_made_from_the_same_things(tmp_path: Path) -> None:
    prepared = _write(tmp_path / "prepared")
    model = _write(tmp_path / "model", prepared=prepared)
    inputs = {"prepared": prepared}
    assert is_complete(model.path, made_from={"text": "hello"}, inputs=inputs)
    assert not is_complete(model.path, made_from={"text": "jello"}, inputs=inputs)
    newer = _write(tmp_path / "prepared", "newer")
    assert not is_complete(model.path, made_from={"text": "hello"}, inputs={"prepared": newer})
    assert not is_complete(tmp_path / "index", made_from={}, inputs={})


def test_json_is_the_old_one_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run/summary.json"
    write_json(path, {"a": 1})
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    with pytest.raises(ArtifactError):
        write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [file.name for file in path.parent.iterdir()] == ["summary.json"]


_WRITER = """
import itertools, sys
from pathlib import Path
from antiphon.artifacts import write_stage
path = Path(sys.argv[1])
for turn in itertools.count():
    with write_stage(path, made_from=turn) as folder:
        for part in range(8):
            (folder / f"{part}.bin").write_bytes(bytes([turn % 256]) * 50_000)
    print(turn, flush=True)
"""


def test_killed_at_any_point_a_stage_is_absent_or_complete(tmp_path: Path) -> None:
    path = tmp_path / "run/prepared"
    chance = random.Random(0)
    complete = absent = 0
    for _ in range(12):
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        writer.stdout.readline()  # from here on it writes all the time
        time.sleep(chance.random() * 0.05)
        writer.kill()
        writer.wait()
        writer.stdout.close()
        if not path.exists():  # between the old one's leaving and the new one's coming
            absent += 1
            continue
        complete += 1
        open_stage(path)
        assert len({(path / f"{part}.bin").read_bytes()[0] for part in range(8)}) == 1
    assert complete > absent
    # the next one to write sweeps up what the killed ones left
    _write(path)
    assert [file.name for file in path.parent.iterdir()] == ["prepared"]


def test_what_a_living_process_writes_is_not_swept(tmp_path: Path) -> None:
    other = tmp_path / f".prepared.new-{os.getppid()}"
    other.mkdir()
    _write(tmp_path / "prepared")
    assert other.is_dir()

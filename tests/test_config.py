from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from antiphon.config import Config, expand
from antiphon.errors import ConfigError
from antiphon.sections import TrainSection

CONFIGS = Path(__file__).parents[1] / "configs"
MINIMAL = """
[log]
events = "log.parquet"
user = "uid"
item = "item_id"
time = "timestamp"
"""


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(MINIMAL)
    return path


def test_a_minimal_config_takes_its_name_from_the_file(toml: Path) -> None:
    config = Config.load(toml)
    assert config.name == "mine"
    assert config.log.events == ("log.parquet",)
    assert config.split.gap_s == 1800


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_configs(path: Path) -> None:
    config = Config.load(path)
    assert config.name == path.stem
    head = path.read_text().split("name =")[0]
    assert all(line.startswith("#") for line in head.splitlines())
    for said in ("    antiphon ", "Machine:", "Time:", "Expected result:"):
        assert said in head, said


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_a_resolved_config_reads_back_as_itself(path: Path, tmp_path: Path) -> None:
    config = Config.load(path, ["train.seed=7"])
    resolved = tmp_path / "config.toml"
    resolved.write_text(config.to_toml())
    assert Config.load(resolved) == config
    assert Config.load(resolved).to_toml() == config.to_toml()
    assert tomllib.loads(config.to_toml())["model"]["width"] == config.model.width


def test_overrides(toml: Path) -> None:
    config = Config.load(
        toml,
        [
            "train.learning_rate=0.5",
            "name=other",
            "log.positive=x = 1",
            "log.catalogue=false",
            'log.events=["a.parquet", "b.parquet"]',
            "prepare.memory_limit=4GiB",
        ],
    )
    assert config.train.learning_rate == 0.5
    assert config.name == "other"
    assert config.log.positive == "x = 1"
    assert config.log.catalogue is False
    assert config.log.events == ("a.parquet", "b.parquet")
    assert config.prepare.memory_limit == "4GiB"


@pytest.mark.parametrize("override", ["train.seed", "=3", "train..seed=3", "name.first=x"])
def test_overrides_that_cannot_be_read(toml: Path, override: str) -> None:
    toml.write_text('name = "a"\n' + MINIMAL)
    with pytest.raises(ConfigError):
        Config.load(toml, [override])


@pytest.mark.parametrize(
    ("override", "key", "hint"),
    [
        ("train.learning_rat=1", "train.learning_rat", "'learning_rate'"),
        ("trian.seed=1", "trian", "'train'"),
        ("log.usr='uid'", "log.usr", "'user'"),
        ("split.test_day=1", "split.test_day", "'test_days'"),
    ],
)
def test_unknown_keys_are_refused_with_a_suggestion(
    toml: Path, override: str, key: str, hint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        Config.load(toml, [override])
    assert f"unknown key {key}" in caught.value.what
    assert hint in str(caught.value.hint)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("train.learning_rate=-1", "train.learning_rate"),
        ("train.seed=x", "train.seed"),
        ("model.trend_half_lives=[2.0, 0.0]", "model.trend_half_lives"),
        ("model.trend_half_lives=[inf]", "model.trend_half_lives"),
        ("prepare.memory_limit=lots", "prepare.memory_limit"),
        ("log.sample_users=0", "log.sample_users"),
        ("log.time_unit=minutes", "log.time_unit"),
        ("log.events=[]", "log.events"),
        ("name=a/b", "name"),
    ],
)
def test_values_that_are_not_allowed(toml: Path, override: str, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Config.load(toml, [override])
    assert key in caught.value.what
    assert caught.value.received is not None


def test_what_is_missing_is_named(toml: Path) -> None:
    toml.write_text(MINIMAL.replace('user = "uid"\n', ""))
    with pytest.raises(ConfigError, match=r"log\.user is missing"):
        Config.load(toml)


def test_files_that_are_not_configs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such config file"):
        Config.load(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("[log\n")
    with pytest.raises(ConfigError, match="isn't valid TOML"):
        Config.load(tmp_path / "bad.toml")


def _features(**features: Any) -> dict[str, Any]:
    log = {"events": "e", "user": "u", "item": "i", "time": "t"}
    return {"name": "x", "log": log, "features": features}


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"context": [{"name": "a", "kind": "cyclic"}]}, "period"),
        ({"context": [{"name": "a", "kind": "cyclical", "period": 3}]}, "features.context.0"),
        ({"context": [{"name": "a b", "kind": "numeric"}]}, "name"),
        ({"context": [{"name": "a", "kind": "numeric", "table": "t"}]}, "can't have a table"),
        ({"context": [{"name": "a", "kind": "numeric"}] * 2}, "two features are called 'a'"),
        ({"item": [{"name": "a", "kind": "numeric"}]}, "needs a table"),
        ({"item": [{"name": "a", "kind": "vector", "table": "t", "sise": 3}]}, "sise"),
    ],
)
def test_features_that_are_wrong(features: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Config.parse(_features(**features))
    assert message in str(caught.value)


def test_a_frozen_section_stays_as_it_is(toml: Path) -> None:
    config = Config.load(toml)
    with pytest.raises(ValueError, match="frozen"):
        config.train.seed = 3  # type: ignore[misc]


def test_paths_are_filled_in_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA", "/data")
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.setenv("HOME", "/root-of-ada")
    assert expand("${DATA}/a/${DATA:-x}.csv") == "/data/a//data.csv"
    assert expand("${EMPTY:-../shared}/b") == "../shared/b"
    assert expand("~/c") == "/root-of-ada/c"
    assert expand("plain/*.parquet") == "plain/*.parquet"
    with pytest.raises(ConfigError, match="environment variable NONE_SUCH") as caught:
        expand("${NONE_SUCH}/d")
    assert "export NONE_SUCH" in str(caught.value.hint)


def test_training_lasts_five_epochs_or_400_steps_unless_told() -> None:
    default = TrainSection()
    assert default.steps_per_epoch(1_000_000) == 977  # of 1,024 examples
    assert default.steps(1_000_000) == 5 * 977
    assert default.steps(20_000) == 400  # five epochs would be 100
    told = TrainSection(epochs=2.5)
    assert told.steps(20_000) == round(2.5 * 20)
    assert told.steps(1) == 2  # an epoch has a step at least

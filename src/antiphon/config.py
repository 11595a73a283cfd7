"""The one declaration: a TOML file, read and checked; unknown keys are refused."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import BaseModel, Field, ValidationError

from antiphon.errors import ConfigError, did_you_mean
from antiphon.log_sections import FeaturesSection, LogSection, PrepareSection, SplitSection
from antiphon.schema import CategoricalFeature, CyclicFeature, NumericFeature, VectorFeature
from antiphon.sections import (
    EvaluateSection,
    GatesSection,
    IndexSection,
    ModelSection,
    Section,
    TrainSection,
)

__all__ = ["Config", "expand"]


class Config(Section):
    """The whole declaration: one TOML file."""

    name: str = Field(pattern=r"^[A-Za-z0-9._-]+$", description="the run's folder: runs/NAME")
    log: LogSection
    features: FeaturesSection = FeaturesSection()
    split: SplitSection = SplitSection()
    prepare: PrepareSection = PrepareSection()
    model: ModelSection = ModelSection()
    train: TrainSection = TrainSection()
    evaluate: EvaluateSection = EvaluateSection()
    gates: GatesSection = GatesSection()
    index: IndexSection = IndexSection()

    @classmethod
    def load(cls, path: str | Path, overrides: Sequence[str] = ()) -> Config:
        """Read a TOML file and apply `section.key=value` overrides.

        Raises:
            ConfigError: the file is missing or isn't TOML, a key is unknown, a value isn't
                allowed, or an override can't be read.
        """
        path = Path(path)
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ConfigError(
                "there is no such config file", received=path, hint="configs/ has examples"
            ) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} isn't valid TOML: {error}") from None
        document.setdefault("name", path.stem)
        for override in overrides:
            _override(document, override)
        return cls.parse(document, origin=str(path))

    @classmethod
    def parse(cls, document: dict[str, Any], origin: str = "the config") -> Config:
        """Check a parsed document.

        Raises:
            ConfigError: names the key, the value received and what is allowed.
        """
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            raise _explain(error, origin) from None

    def to_toml(self) -> str:
        """The resolved config, every default spelled out."""
        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))


def expand(path: str) -> str:
    """Fill in `${NAME}` and `${NAME:-default}` from the environment, and `~`.

    Raises:
        ConfigError: a variable without a default isn't set.
    """

    def fill(match: re.Match[str]) -> str:
        value = os.environ.get(match["name"]) or match["default"]
        if value is None:
            raise ConfigError(
                f"the path needs the environment variable {match['name']}",
                received=path,
                hint=f"export {match['name']}=..., or write the path out",
            )
        return value

    filled = re.sub(r"\$\{(?P<name>\w+)(?::-(?P<default>[^}]*))?\}", fill, path)
    return str(Path(filled).expanduser()) if filled.startswith("~") else filled


def _override(document: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    parts = key.strip().split(".")
    if not separator or not all(parts):
        raise ConfigError(
            "an override can't be read",
            received=override,
            allowed="section.key=value, as in train.learning_rate=0.1",
        )
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text  # a bare word is a string
    node = document
    for part in parts[:-1]:
        node = node.setdefault(part, {})
        if not isinstance(node, dict):
            raise ConfigError("an override goes below a value", received=override)
    node[parts[-1]] = value


def _explain(error: ValidationError, origin: str) -> ConfigError:
    # a misspelt key is both unknown and missing: the unknown one tells more
    problems = sorted(
        error.errors(include_url=False), key=lambda problem: problem["type"] != "extra_forbidden"
    )
    first = problems[0]
    location = [part for part in first["loc"] if part not in _KINDS]
    key = ".".join(str(part) for part in location)
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    if first["type"] == "extra_forbidden":
        known = _known_keys(location[:-1])
        return ConfigError(
            f"{origin}: unknown key {key}{more}",
            received=f"{key} = {first['input']!r}",
            allowed=", ".join(sorted(known)) or None,
            hint=did_you_mean(str(location[-1]), known) or "see docs/configuration.md",
        )
    if first["type"] == "missing":
        return ConfigError(f"{origin}: {key} is missing{more}", hint="see docs/configuration.md")
    return ConfigError(
        f"{origin}: {key}: {first['msg']}{more}",
        received=repr(first["input"]),
        hint="see docs/configuration.md",
    )


_KINDS = frozenset({"categorical", "cyclic", "numeric", "vector"})


def _known_keys(location: Sequence[object]) -> set[str]:
    """The keys allowed at a place of the config."""
    if location and location[0] == "features" and len(location) > 1:
        kinds = (CategoricalFeature, CyclicFeature, NumericFeature, VectorFeature)
        return {name for kind in kinds for name in kind.model_fields}
    model: type[BaseModel] = Config
    for part in location:
        annotation = model.model_fields[str(part)].annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            model = annotation
    return set(model.model_fields)

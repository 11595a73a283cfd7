"""Write docs/configuration.md from the config's own descriptions and defaults.

python scripts/configuration_page.py
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import BaseModel

from antiphon.config import Config
from antiphon.schema import CategoricalFeature, CyclicFeature, NumericFeature, VectorFeature

PAGE = Path(__file__).resolve().parent.parent / "docs" / "configuration.md"

KINDS = (CategoricalFeature, CyclicFeature, NumericFeature, VectorFeature)

START = """\
# Configuration

*Generated from the config's own descriptions by `make docs`; edit those instead.*

One TOML file declares what the log is, what it means and what to do with it; `configs/` has
examples. Every key below may be left out unless it is *required*. A key that isn't here is refused,
with the nearest one that is. The resolved config, every default spelled out, is kept in the run as
`config.toml`.

- `--set section.key=value` overrides one key for one run, as in `--set train.epochs=1`; the value
  is written as in TOML, and a bare word is text.
- Paths are relative to the working directory. `${NAME}` and `${NAME:-default}` in a path are
  filled in from the environment, and `~` is the home folder. Globs stand for all files that match.
  Where a list of paths is asked for, a single one needs no brackets.
- SQL is that of DuckDB, over the columns of the log (or, for item features, of their table).
"""


def page() -> str:
    """The whole page."""
    lines = [START]
    top = Config.model_json_schema()
    sections = {name: _section(name) for name in top["properties"]}
    plain = [name for name, model in sections.items() if model is None]
    lines += ["## Top of the file\n", *_table(Config, plain)]
    for name, model in sections.items():
        if model is None:
            continue
        lines += [f"## `[{name}]`\n", f"{_summary(model)}\n"]
        if name == "features":
            lines += _features()
        else:
            lines += _table(model, list(model.model_fields))
    return "\n".join(lines)


def _section(name: str) -> type[BaseModel] | None:
    annotation = Config.model_fields[name].annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return None


def _features() -> Iterator[str]:
    common = [name for name in KINDS[0].model_fields if all(name in k.model_fields for k in KINDS)]
    common.remove("kind")
    yield (
        "Any number of `[[features.context]]` (the moment of a request) and `[[features.item]]` "
        "tables, each of one `kind`; [features.md](features.md) has examples.\n"
    )
    yield "Every kind has:\n"
    yield from _table(KINDS[0], common)
    for kind in KINDS:
        (name,) = kind.model_json_schema()["properties"]["kind"].get("enum") or [
            kind.model_json_schema()["properties"]["kind"]["const"]
        ]
        yield f'### `kind = "{name}"`\n'
        yield f"{_summary(kind)}\n"
        own = [field for field in kind.model_fields if field not in (*common, "kind")]
        if own:
            yield from _table(kind, own)


def _table(model: type[BaseModel], names: list[str]) -> Iterator[str]:
    schema = model.model_json_schema()
    required = schema.get("required", ())
    yield "| key | value | default | meaning |"
    yield "|---|---|---|---|"
    for name in names:
        described = schema["properties"][name]
        default = "*required*" if name in required else _default(described.get("default"))
        if model is Config and name == "name":
            default = "the file's name"  # Config.load's doing, so pydantic can't know
        cells = [f"`{name}`", _type(described), default, described.get("description", "")]
        yield "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"
    yield ""


def _default(value: object) -> str:
    if value is None:
        return ""
    if value in ([], {}):
        return "none"
    items = value if isinstance(value, list) else [value]
    written = [tomli_w.dumps({"x": item}).removeprefix("x = ").strip() for item in items]
    return f"`[{', '.join(written)}]`" if isinstance(value, list) else f"`{written[0]}`"


def _type(described: dict[str, Any]) -> str:
    if "anyOf" in described:
        options = [option for option in described["anyOf"] if option.get("type") != "null"]
        return " or ".join(_type(option) for option in options)
    if "enum" in described:
        return ", ".join(f'`"{value}"`' for value in described["enum"])
    match described.get("type"):
        case "array":
            return f"list of {_type(described['items'])}"
        case "object":
            return f"table of {_type(described['additionalProperties'])}"
        case "string":
            return f"text like `{described['pattern']}`" if "pattern" in described else "text"
        case "boolean":
            return "`true`, `false`"
        case "integer":
            return "whole number" + _range(described)
        case "number":
            return "number" + _range(described)
        case other:
            raise ValueError(f"no words for the JSON type {other!r}: {described}")


def _range(described: dict[str, Any]) -> str:
    words = {
        "minimum": "≥",
        "exclusiveMinimum": ">",
        "maximum": "≤",
        "exclusiveMaximum": "<",
    }
    bounds = [f"{sign} {described[key]:g}" for key, sign in words.items() if key in described]
    return " " + ", ".join(bounds) if bounds else ""


def _summary(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

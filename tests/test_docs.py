"""The docs say what is so: commands, configs, links, generated pages, the module tree."""

from __future__ import annotations

import re
import runpy
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from antiphon.baselines.recipes import RECIPES
from antiphon.cli import app
from antiphon.config import Config
from report_sample import sample

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
CONFIGS = sorted((ROOT / "configs").glob("*.toml"))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def file_name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def read(path: Path | str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def blocks(path: Path, language: str) -> list[str]:
    """The fenced blocks of a page in a language."""
    return [text for name, text in FENCE.findall(read(path)) if name == language]


# --- the command line


def commands() -> dict[str, TyperCommand]:
    """Every command that does something, by its words: `download yambda`."""

    def below(words: str, command: object) -> Iterator[tuple[str, TyperCommand]]:
        if isinstance(command, TyperGroup):
            for name, child in command.commands.items():
                yield from below(f"{words} {name}".strip(), child)
        elif isinstance(command, TyperCommand):
            yield words, command

    return dict(below("", get_command(app)))


def option_names(command: TyperCommand) -> set[str]:
    names = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
    return {name for name in names if name.startswith("-")} | {"--help"}


def mistake(line: str) -> str | None:
    """What is wrong with an `antiphon ...` command line, if anything."""
    words = shlex.split(line, comments=True)[1:]
    known = commands()
    chosen = next((n for n in (2, 1) if " ".join(words[:n]) in known), None)
    if chosen is None:
        is_group = any(name.startswith(f"{words[0]} ") for name in known)
        return None if is_group and len(words) == 1 else f"no such command: {line}"
    command = known[" ".join(words[:chosen])]
    options = {word.partition("=")[0] for word in words[chosen:] if re.match("-{1,2}[a-z]", word)}
    unknown = options - option_names(command)
    return f"{sorted(unknown)} in {line}" if unknown else None


@pytest.mark.parametrize("words", commands())
def test_every_command_is_documented(words: str) -> None:
    page = read("docs/pipeline.md")
    assert re.search(rf"^#+ .*`antiphon {words}`", page, re.MULTILINE), "a heading in pipeline.md"
    mentioned = set(re.findall(r"`(-{1,2}[a-z-]+)", page))
    undocumented = option_names(commands()[words]) - mentioned - {"--help"}
    assert not undocumented


@pytest.mark.parametrize("words", commands())
def test_every_command_has_help_with_an_example(words: str) -> None:
    command = commands()[words]
    assert command.help
    example = (command.epilog or "").removeprefix("Example: ")
    assert example.startswith(f"antiphon {words}")
    assert mistake(example) is None
    assert all(getattr(option, "help", None) for option in command.params)


@pytest.mark.parametrize("path", [*PAGES, *CONFIGS], ids=file_name)
def test_commands_shown_exist(path: Path) -> None:
    text = "\n".join(blocks(path, "sh")) if path.suffix == ".md" else read(path)
    text = re.sub(r"\\\n[#\s]*", "", text)  # lines continued
    shown = re.findall(r"^(?:#\s+|\$ )?(antiphon [a-z].*?)(?:  .*)?$", text, re.MULTILINE)
    shown += re.findall(r"`(antiphon [a-z][^`]*)`", read(path))
    assert not [wrong for line in shown if (wrong := mistake(line))]


def test_make_targets_shown_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE))
    for path in PAGES:
        code = " ".join(re.findall(r"`([^`\n]+)`", read(path)) + blocks(path, "sh"))
        assert set(re.findall(r"\bmake ([a-z]+)", code)) <= targets, path


# --- configs


@pytest.mark.parametrize("path", CONFIGS, ids=file_name)
def test_configs_parse_and_open_with_their_command(path: Path) -> None:
    config = Config.load(path)
    assert config.name == path.stem
    opening = re.match(r"(?:#.*\n)*", read(path))[0]
    expected = "antiphon demo" if path.stem == "demo" else f"antiphon run {file_name(path)}"
    assert expected in opening
    for word in ("Machine:", "Time:", "Expected result:"):
        assert word in opening


def examples() -> list[tuple[Path, str]]:
    return [(path, text) for path in PAGES for text in blocks(path, "toml")]


@pytest.mark.parametrize(("path", "text"), examples(), ids=lambda value: getattr(value, "stem", ""))
def test_toml_in_the_docs_is_a_config(path: Path, text: str) -> None:
    log = {"events": "log.parquet", "user": "user", "item": "item", "time": "time"}
    document = {"name": "example", **tomllib.loads(text)}
    document["log"] = {**log, **document.get("log", {})}
    Config.parse(document, origin=file_name(path))


# --- pages


def documented_parts() -> dict[str, str]:
    """The rows of the table of evaluation.json: the path, as code, and what it says."""
    section = read("docs/evaluation.md").partition("## evaluation.json")[2]
    return dict(re.findall(r"^\| `([^`]+)` \| (.*) \|$", section, re.MULTILINE))


def test_every_part_of_evaluation_json_is_documented() -> None:
    evaluation = sample()
    rows = documented_parts()
    assert {re.split(r"[.\[]", path)[0] for path in rows} == set(evaluation)
    assert rows["format_version"] == str(evaluation["format_version"])
    assert coded(rows["protocol"]) == set(evaluation["protocol"])
    assert coded(rows["slices.<slice>"]) == set(evaluation["slices"]["all"])
    assert coded(rows["baselines.<name>"]) > set(evaluation["baselines"]["item_knn"])
    assert coded(rows["hashes"]) == set(evaluation["hashes"])
    assert set(evaluation["loss"]) == {one.removesuffix("[]") for one in coded(rows["loss"])}
    cell = evaluation["comparisons"]["best_baseline"]["all"]["ndcg_at_10"]
    assert coded(rows["comparisons.<baseline>.<slice>.<metric>"]) == set(cell) - {"baseline"}
    ways = "on, unknown, shuffled, flipped"
    assert f"context.<{ways}>.<slice>.<metric>" in rows
    assert list(evaluation["context"]) == ways.split(", ")
    assert set(evaluation["context_lift"]) < set(evaluation["context"])
    cold = evaluation["cold"]
    ranked = {*cold["models"], *cold["models"]["antiphon"]}
    assert coded(rows["cold"]) >= set(cold) - {"models", "comparisons"} | {"recall_at_100"}
    assert all(name in rows["cold"] for name in (*cold, *ranked))
    names = rows["models.<name>.<slice>.<metric>"]
    assert set(evaluation["models"]) <= {name.strip(" .") for name in re.split("[:,.]", names)}
    for name in (*RECIPES, "antiphon", "oracle"):
        assert name in names


def test_every_metric_and_slice_is_documented() -> None:
    evaluation, page = sample(), coded(read("docs/evaluation.md"))
    for name in evaluation["slices"]:
        if not name.startswith("tab="):  # the log's own feature
            assert {name, name.removeprefix("history=")} & page, name
    stems = {name.rpartition("_at_")[0] for name in evaluation["models"]["antiphon"]["all"]}
    for stem in stems:
        assert re.search(rf"\b{stem}(_at_k|@k +=)", read("docs/evaluation.md")), stem


def coded(text: str) -> set[str]:
    """What stands in code style."""
    return set(re.findall(r"`([^`\n]+)`", text))


def test_every_baseline_and_its_knobs_are_documented() -> None:
    rows = re.findall(r"^\| `(\w+)` \|.*\|(.*)\|$", read("docs/evaluation.md"), re.MULTILINE)
    documented = {name: set(re.findall(r"`(\w+)`", knobs)) for name, knobs in rows}
    for name, recipe in RECIPES.items():
        assert documented[name] == set(recipe.grid(("tab",)))


def test_the_configuration_page_is_up_to_date() -> None:
    """Where this fails, run `make docs`."""
    page = runpy.run_path(str(ROOT / "scripts" / "configuration_page.py"))["page"]()
    assert read("docs/configuration.md") == page


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as forges make them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", path.read_text("utf-8")), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()).replace(" ", "-")
        for heading in headings
    }


@pytest.mark.parametrize("path", PAGES, ids=file_name)
def test_relative_links_resolve(path: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", read(path))):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        file = (path.parent / target).resolve() if target else path
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(link)
    assert not broken


def test_the_module_tree_is_the_real_one() -> None:
    """docs/design.md draws every module and package, and no other."""
    (tree,) = (text for text in blocks(ROOT / "docs" / "design.md", "text") if "antiphon/" in text)
    drawn = set(re.findall(r"^ +([a-z_]+)(?:\.py|/)  ", tree, re.MULTILINE))
    package = ROOT / "src" / "antiphon"
    real = {path.stem for path in package.glob("*.py")} - {"__init__"}
    real |= {path.parent.name for path in package.glob("*/__init__.py")}
    assert drawn == real


def test_every_page_is_reached_from_the_readme() -> None:
    reached, ahead = set(), [ROOT / "README.md"]
    while ahead:
        path = ahead.pop()
        if path in reached or path.suffix != ".md":
            continue
        reached.add(path)
        links = re.findall(r"\]\(([^)\s#]+)", read(path))
        ahead += [file for link in links if (file := (path.parent / link).resolve()).is_file()]
    assert set(PAGES) - reached == set()

"""The project itself: who imports whom, what is pinned, what is shipped, what files look like."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "antiphon"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MODULES = sorted(PACKAGE.rglob("*.py"))
PINNED = ("demo", "dev", "bench", "audit")


def run(command: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command's output, both streams together."""
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def own_files() -> list[Path]:
    """Files of the project: tracked, or new and not ignored."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = run(command, ROOT)
    assert listed.returncode == 0, listed.stdout
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


# --- imports


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"]
    options = ["--no-logo", "--no-cache", "--config", str(folder / "pyproject.toml")]
    return run([*command, *options], folder, PYTHONPATH=str(folder / "src"))


def test_imports_point_downwards() -> None:
    checked = lint_imports(ROOT)
    assert checked.returncode == 0, checked.stdout


def test_imports_that_point_elsewhere_are_seen(tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "src" / "antiphon")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for module, line in {
        "errors.py": "from antiphon import cli",  # upwards
        "train.py": "from antiphon.prepare import prepare",  # between stages
        "metrics.py": "import jax.numpy as jnp",  # JAX where no tower is
        "files.py": "import duckdb",
        "events.py": "import pyspark",
        "cli.py": "from huggingface_hub import hf_hub_url",
        "somewhere.py": "",  # a module without a layer
    }.items():
        with (tmp_path / "src" / "antiphon" / module).open("a", encoding="utf-8") as file:
            file.write(f"\n{line}\n")
    checked = lint_imports(tmp_path)
    assert checked.returncode == 1, checked.stdout
    for expected in (
        "antiphon.errors -> antiphon.cli",
        "antiphon.train -> antiphon.prepare",
        "antiphon.metrics -> jax",
        "antiphon.files -> duckdb",
        "antiphon.events -> pyspark",
        "antiphon.cli -> huggingface_hub",
        "antiphon.somewhere",
    ):
        assert expected in checked.stdout, checked.stdout


def imported(path: Path) -> Iterator[tuple[str, str | None]]:
    """Modules a file imports, each with the name taken from it, if any."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from ((str(node.module), alias.name) for alias in node.names)


# --- what a module offers


def public_names(path: Path) -> set[str] | None:
    """`__all__`, or None where there is none."""
    for node in tree_of(path).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return None


def defined_names(path: Path) -> set[str]:
    """Names that a module's own top level binds; imports count in a package's `__init__`."""
    names: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.ImportFrom) and path.name == "__init__.py":
            names.update(alias.asname or alias.name for alias in node.names)
    return names


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_all_names_what_the_module_defines(path: Path) -> None:
    public = public_names(path)
    if public is None:
        assert path.name in ("__init__.py", "__main__.py"), (
            "a module says what it offers in __all__"
        )
        return
    assert public <= defined_names(path)


def test_modules_use_of_each_other_only_what_all_names() -> None:
    offers = {name_of(path): public_names(path) for path in MODULES}
    hidden = [
        f"{name_of(path)} imports {name} of {module}"
        for path in MODULES
        for module, name in imported(path)
        if name is not None
        and f"{module}.{name}" not in offers
        and name not in (offers.get(module) or {name})
    ]
    assert not hidden


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nothing_is_pickled(path: Path) -> None:
    """Reading a pickle would run whatever it says. (numpy reads none unless it is told to.)"""
    pickles = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
    assert not {module.partition(".")[0] for module, _ in imported(path)} & pickles
    given = [word for word in ast.walk(tree_of(path)) if isinstance(word, ast.keyword)]
    assert {ast.unparse(word.value) for word in given if word.arg == "allow_pickle"} <= {"False"}


# --- dependencies


def distributions(requirements: list[str | dict[str, str]]) -> dict[str, Requirement]:
    """Requirements by canonical name, included groups too."""
    found: dict[str, Requirement] = {}
    for entry in requirements:
        if isinstance(entry, dict):
            found |= distributions(PROJECT["dependency-groups"][entry["include-group"]])
        else:
            requirement = Requirement(entry)
            found[canonicalize_name(requirement.name)] = requirement
    return found


def runtime() -> dict[str, Requirement]:
    return distributions(PROJECT["project"]["dependencies"])


def with_extras() -> dict[str, Requirement]:
    extras = PROJECT["project"]["optional-dependencies"].values()
    return runtime() | distributions([line for extra in extras for line in extra])


def group(name: str) -> dict[str, Requirement]:
    return distributions(PROJECT["dependency-groups"][name])


def imported_distributions(folder: Path) -> dict[str, str]:
    """Third-party distributions imported below a folder, each with a file that does."""
    known = packages_distributions()
    local = {path.stem for path in (ROOT / folder).rglob("*")}
    found = {}
    for path in (ROOT / folder).rglob("*.py"):
        for module, _ in imported(path):
            top = module.partition(".")[0]
            if top not in sys.stdlib_module_names and top not in {"antiphon", *local}:
                for name in known.get(top, [top]):
                    found[canonicalize_name(name)] = str(path.relative_to(ROOT))
    return found


@pytest.mark.parametrize("folder", ["src", "scripts", "tests", "benchmarks"])
def test_every_import_is_declared(folder: str) -> None:
    declared = with_extras()
    if folder != "src":
        declared |= group("bench" if folder == "benchmarks" else "dev")
    undeclared = imported_distributions(Path(folder)).items()
    assert not {name: where for name, where in undeclared if name not in declared}


def test_every_dependency_is_imported() -> None:
    unused = with_extras().keys() - imported_distributions(Path("src")).keys()
    assert not unused


def pins(name: str) -> list[tuple[Requirement, list[str]]]:
    """Each pin of a requirements file, with its hashes."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    found = []
    for entry in text.replace("\\\n", " ").splitlines():
        if entry.strip() and not entry.lstrip().startswith("#"):
            requirement, *hashes = entry.split(" --hash=")
            found.append((Requirement(requirement.strip()), [value.strip() for value in hashes]))
    return found


@pytest.mark.parametrize("name", PINNED)
def test_pins_hold_version_and_hashes_and_no_address(name: str) -> None:
    for requirement, hashes in pins(name):
        assert re.fullmatch(r"==[^*,]+", str(requirement.specifier)), requirement
        assert requirement.url is None
        assert hashes
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", value) for value in hashes), requirement
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"^\s*-", text.replace("\\\n", " "), re.MULTILINE), "an option of pip"


@pytest.mark.parametrize("name", PINNED)
def test_pins_are_those_of_pyproject(name: str) -> None:
    """Where this fails, run `make pins`."""
    wanted = runtime() | group("build" if name == "demo" else name)
    if name in ("dev", "bench"):
        wanted |= with_extras()
    pinned: dict[str, list[Requirement]] = {}
    for requirement, _ in pins(name):
        pinned.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    for distribution, requirement in wanted.items():
        assert distribution in pinned, f"{distribution} isn't pinned"
        for pin in pinned[distribution]:
            version = str(pin.specifier).removeprefix("==")
            assert requirement.specifier.contains(version, prereleases=True), pin


def test_a_venv_can_grow_from_one_set_of_pins_into_the_next() -> None:
    demo, dev, bench, audit = (
        {str(requirement) for requirement, _ in pins(name)} for name in PINNED
    )
    assert demo <= dev <= bench
    # what audits may add to them, and change nothing that they share
    names = {canonicalize_name(Requirement(one).name) for one in bench}
    shared = {one for one in audit if canonicalize_name(Requirement(one).name) in names}
    assert shared <= bench


# --- what is shipped


def test_the_wheel_holds_the_package_and_nothing_else(tmp_path: Path) -> None:
    built = run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)], ROOT
    )
    assert built.returncode == 0, built.stdout
    (path,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        described = wheel.read(metadata).decode()
        entry_points = wheel.read(metadata.replace("METADATA", "entry_points.txt")).decode()
    shipped = {name for name in names if ".dist-info/" not in name}
    package = {path for path in own_files() if path.is_relative_to(PACKAGE)}
    assert shipped == {path.relative_to(PACKAGE.parent).as_posix() for path in package}
    assert "antiphon/py.typed" in shipped
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert "License-Expression: Apache-2.0" in described
    assert "Requires-Python: >=3.11" in described
    assert "antiphon = antiphon.start:main" in entry_points


# --- what files look like


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_are_short(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= 300, "one concept a module: what are the two here?"


@pytest.mark.parametrize("path", sorted(ROOT.glob("benchmarks/[!_]*.py")), ids=lambda p: p.stem)
def test_benchmarks_say_how_they_are_run(path: Path) -> None:
    told = ast.get_docstring(tree_of(path)) or ""
    assert f"python benchmarks/{path.name}" in told
    assert "--quick" in told


def test_files_name_no_machine_and_no_registry() -> None:
    # in pieces, so that this file doesn't name them
    folders = r"(?<![\w.$}])/(?:home|Users|root|work|opt)" + "/"
    registries = "|".join(
        ("pypi" + r"\.org", "pythonhosted" + r"\.org", "npmjs" + r"\.(?:org|com)")
    )
    forbidden = re.compile(f"{folders}|{registries}|(?:extra-)?index" + "-url|file:" + "//")
    found = []
    for path in own_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {hit[0]}" for hit in forbidden.finditer(text)]
    assert not found


def test_make_says_when_python_is_too_old(tmp_path: Path) -> None:
    for name in ("sh", "make"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\necho Python 3.8.1\nexit 1\n")
    old.chmod(0o755)
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "requirements").mkdir()
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "requirements" / "dev.txt").touch()
    made = run(["make", "test"], tmp_path, PATH=str(tmp_path))
    assert made.returncode == 2
    assert "Antiphon needs Python 3.11 or newer; python3 is: Python 3.8.1" in made.stdout
    assert not (tmp_path / ".venv").exists()

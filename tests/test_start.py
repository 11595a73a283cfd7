"""What the program sets before a process begins."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from antiphon.start import TRAINING

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has tunables")
# says what the program was begun with, in the place of the command line
PROGRAM = """
import os, types, sys
SEEN = "GLIBC_TUNABLES", "OPENBLAS_NUM_THREADS"
cli = types.ModuleType("antiphon.cli")
cli.main = lambda: print(os.getpid(), *map(os.environ.get, SEEN), sys.argv[1:])
import antiphon
sys.modules["antiphon.cli"] = antiphon.cli = cli
from antiphon.start import main
main()
"""


def begun(*arguments: str, **variables: str) -> tuple[int, int, str]:
    """The process that was begun, the one that ran the command line, and what that was told."""
    ours = ("GLIBC_TUNABLES", "OPENBLAS_NUM_THREADS")
    environment = {key: value for key, value in os.environ.items() if key not in ours}
    command = [sys.executable, "-W", "error", "-c", PROGRAM, *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env={**environment, **variables}, stdout=pipe) as process:
        said = process.communicate(timeout=60)[0].decode().strip()
    assert process.returncode == 0
    pid, _, rest = said.partition(" ")
    return process.pid, int(pid), rest


@glibc
@pytest.mark.parametrize("command", sorted(TRAINING))
def test_what_trains_has_huge_pages_in_the_same_process(command) -> None:
    first, last, told = begun(command, "a file.toml", "--set", "train.epochs=2")
    assert first == last, "whoever began it can still signal it"
    arguments = [command, "a file.toml", "--set", "train.epochs=2"]
    assert told == f"glibc.malloc.hugetlb=1 None {arguments}"


def test_other_commands_are_as_they_were() -> None:
    assert begun("recommend", "runs/demo")[2] == "None None ['recommend', 'runs/demo']"
    assert begun()[2] == "None None []"


def test_a_service_has_no_team_of_blas_threads() -> None:
    assert begun("serve", "runs/demo")[2] == "None 1 ['serve', 'runs/demo']"
    told = begun("serve", "runs/demo", OPENBLAS_NUM_THREADS="2")[2]
    assert told == "None 2 ['serve', 'runs/demo']", "what is set already counts"


def test_what_is_set_already_counts() -> None:
    told = begun("run", "mine.toml", GLIBC_TUNABLES="glibc.malloc.hugetlb=0")[2]
    assert told == "glibc.malloc.hugetlb=0 None ['run', 'mine.toml']"


def test_the_package_is_a_program() -> None:
    said = subprocess.run(
        [sys.executable, "-W", "error", "-m", "antiphon", "runs"],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert said.returncode == 2
    assert "No such command 'runs'" in said.stderr

"""The audit of pinned packages: fails on what is known, and says what it couldn't know.

pip-audit is played by a script that answers as it does: recorded of version 2.10.1, from an index
that has the data of versions, from a mirror that doesn't, and without a network.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CLEAN = {"name": "jinja2", "version": "3.1.6", "vulns": []}
WEAK = {
    "name": "ecdsa",
    "version": "0.19.2",
    "vulns": [{"id": "GHSA-wj6h-64fc-37mp", "fix_versions": [], "aliases": [], "description": ""}],
}


def skipped(name: str) -> dict[str, Any]:
    reason = f"Dependency not found on PyPI and could not be audited: {name} (1.0)"
    return {"name": name, "skip_reason": reason}


def audit(folder: Path, stdout: str, code: int, stderr: str = "") -> tuple[int, str, list[str]]:
    """Exit code, output, and what pip-audit was called with."""
    (folder / "stdout").write_text(stdout)
    (folder / "stderr").write_text(stderr)
    played = folder / "pip-audit"
    played.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" > {folder}/arguments\ncat {folder}/stdout\n'
        f"cat {folder}/stderr >&2\nexit {code}\n"
    )
    played.chmod(0o755)
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "audit.py")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"},
    )
    assert not done.stderr, done.stderr
    return done.returncode, done.stdout, (folder / "arguments").read_text().split()


def found(*packages: dict[str, Any]) -> str:
    return json.dumps({"dependencies": list(packages), "fixes": []})


def test_a_known_vulnerability_fails_and_is_named(tmp_path: Path) -> None:
    code, text, _ = audit(tmp_path, found(CLEAN, WEAK, skipped("odd")), 1)
    assert code == 1
    assert "VULNERABLE: ecdsa 0.19.2: GHSA-wj6h-64fc-37mp, fixed in no version" in text
    assert "ONLY A PART COULD BE AUDITED: 2 of 3 packages." in text
    assert "2 packages audited, 1 with known vulnerabilities" in text


def test_without_one_it_passes_and_asks_of_all_that_is_pinned(tmp_path: Path) -> None:
    code, text, arguments = audit(tmp_path, found(CLEAN), 0)
    assert (code, text) == (0, "1 packages audited, 0 with known vulnerabilities\n")
    for name in ("demo", "dev", "bench", "audit"):
        assert str(ROOT / "requirements" / f"{name}.txt") in arguments


def test_an_index_without_the_data_is_no_clean_bill(tmp_path: Path) -> None:
    code, text, _ = audit(tmp_path, found(*(skipped(f"p{n}") for n in range(7))), 0)
    assert code == 0
    assert "THE AUDIT COULD NOT BE MADE: of 7 packages the index has no data." in text
    assert "not found on PyPI and could not be audited: p0 (1.0)" in text
    assert "and 2 more\nNothing is known of their vulnerabilities." in text
    assert "packages audited" not in text


def test_without_a_network_it_says_why(tmp_path: Path) -> None:
    reason = "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='index.example')"
    code, text, _ = audit(tmp_path, "", 1, f"Traceback (most recent call last):\n{reason}\n")
    assert code == 0
    assert f"THE AUDIT COULD NOT BE MADE: pip-audit ended with 1: {reason}" in text
    assert "packages audited" not in text

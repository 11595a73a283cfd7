"""Ask the package index which of the pinned packages have known vulnerabilities.

python scripts/audit.py [REQUIREMENTS...]

By pip-audit and the data that PyPI publishes of each version. A mirror of the index may not carry
it, and a machine may reach none: of what can't be audited this says so and why, and doesn't fail.
The exit code is 1 where a known vulnerability was found.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PINS = sorted((ROOT / "requirements").glob("*.txt"))
SHOWN = 5


def main(arguments: list[str]) -> int:
    """Audit, print what came of it, and return the exit code."""
    files = [Path(name) for name in arguments] or PINS
    asked = subprocess.run(
        [
            *("pip-audit", "--vulnerability-service", "pypi", "--format", "json"),
            *("--disable-pip", "--require-hashes", "--progress-spinner", "off"),
            *(word for file in files for word in ("-r", str(file))),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        packages = json.loads(asked.stdout)["dependencies"]
    except (json.JSONDecodeError, KeyError, TypeError):
        told = asked.stderr.strip().splitlines() or ["it said nothing"]
        print(f"THE AUDIT COULD NOT BE MADE: pip-audit ended with {asked.returncode}: {told[-1]}")
        print("Nothing is known of the pinned packages' vulnerabilities.")
        return 0
    return judged(packages)


def judged(packages: list[dict[str, Any]]) -> int:
    """Print what pip-audit found, and return the exit code."""
    audited = [package for package in packages if "skip_reason" not in package]
    skipped = [package for package in packages if "skip_reason" in package]
    bad = [package for package in audited if package["vulns"]]
    for package in bad:
        for one in package["vulns"]:
            fixed = ", ".join(one["fix_versions"]) or "no version"
            print(
                f"VULNERABLE: {package['name']} {package['version']}: {one['id']}, fixed in {fixed}"
            )
    if not audited:
        print(f"THE AUDIT COULD NOT BE MADE: of {len(packages)} packages the index has no data.")
    elif skipped:
        print(f"ONLY A PART COULD BE AUDITED: {len(audited)} of {len(packages)} packages.")
    for package in skipped[:SHOWN]:
        print(f"  {package['skip_reason']}")
    if len(skipped) > SHOWN:
        print(f"  and {len(skipped) - SHOWN} more")
    if skipped:
        print("Nothing is known of their vulnerabilities.")
    if audited:
        print(f"{len(audited)} packages audited, {len(bad)} with known vulnerabilities")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

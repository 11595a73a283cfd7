#!/usr/bin/env bash
# Write requirements/*.txt anew from pyproject.toml: versions and hashes for every platform and for
# every Python from 3.11 on. Needs uv (`pip install uv`). Pins that still fit are kept;
# `scripts/pin.sh --upgrade` takes the newest of everything, `--upgrade-package NAME` of one package.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

compile() { # name, then what to include
  local out="requirements/$1.txt"
  shift
  # --no-config and the cleared variables: the same files come out on every machine
  env -u UV_INDEX_URL -u UV_DEFAULT_INDEX -u UV_INDEX -u UV_EXTRA_INDEX_URL -u UV_FIND_LINKS \
    uv pip compile pyproject.toml --no-config --quiet --universal --python-version 3.11 \
    --generate-hashes --no-header --output-file "$out" "$@"
}

# The largest set decides the versions; the smaller ones are held to them, so that one .venv can
# grow from each into each.
compile bench --all-extras --group bench "$@"
compile dev --all-extras --group dev --constraints requirements/bench.txt
compile demo --extra baselines --extra serve --group build --constraints requirements/dev.txt
# what audits isn't in the largest set, so it is brought up to date by itself
compile audit --group audit --constraints requirements/bench.txt "$@"

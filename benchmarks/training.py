"""How many examples a second does training take, in how much memory? Beside the seed's recipe.

    python benchmarks/training.py [--quick] [--sizes 138k 9m] [--cases plain seed ...] [--rounds 1]

Prints JSON. Width 64, each case in a process of its own (see `_contestants.py`):

    antiphon      all defaults: attention over the history, context, trends, the library's repeats
    attention     the same without trends and repeats
    plain         the towers that the seed has, user, context and item; Antiphon's default batch
    same_loss     those towers, and the seed's batch: 8,192 queries, in-batch negatives only
    ..._half      the same with `train.precision = "bfloat16"`
    seed          the seed's recipe: dense Adagrad over whole tables, batches of 8,192
    torch_sparse  PyTorch's sparse embeddings; towers, batch and loss of `plain`

`ratios` has examples a second of Antiphon over the other's: of `plain` over the seed and over
PyTorch, of `same_loss` over the seed; `ratios_half` has them of half precision, which the seed and
PyTorch have not. `ratios_all_on` has those of `antiphon`, which does more for each example than
what it is compared with: over `attention`, what trends and repeats cost. Where PyTorch isn't
installed, or a case is left out, its ratios are null.

A step time is the median over spans of its case's run; with several rounds the cases take turns,
and the least of each one's rounds counts: what else a machine does only ever adds to it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from _contestants import CASES as DESCRIPTIONS
from _contestants import measure
from _made_up_log import QUICK, SIZES, write_log

CASES = (
    *("plain", "plain_half", "torch_sparse", "seed", "same_loss", "same_loss_half"),
    *("attention", "antiphon"),
)
RATIOS = {
    "seed": ("plain", "seed"),
    "seed_same_loss": ("same_loss", "seed"),
    "torch_sparse": ("plain", "torch_sparse"),
}
HALF = {name: (f"{ours}_half", theirs) for name, (ours, theirs) in RATIOS.items()}
ALL_ON = {
    "seed": ("antiphon", "seed"),
    "torch_sparse": ("antiphon", "torch_sparse"),
    "attention": ("antiphon", "attention"),
}
WANTED = {
    "seed_138k": 10,
    "seed_9m": 40,
    "seed_same_loss_138k": 2.5,
    "seed_same_loss_9m": 9,
    "torch_sparse_138k": 4,
    "torch_sparse_9m": 6,
}

Cases = Mapping[str, Mapping[str, Any]]


def together(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The round of the least step time, with the times and the peak memory of all."""
    if "missing" in rounds[0]:
        return rounds[0]
    best = min(rounds, key=lambda result: result["step_seconds"])
    return best | {
        "step_seconds_by_round": [result["step_seconds"] for result in rounds],
        "peak_memory_bytes": max(result["peak_memory_bytes"] for result in rounds),
    }


def ratios(
    cases: Cases, sizes: Sequence[str], pairs: Mapping[str, tuple[str, str]] = RATIOS
) -> dict[str, float | None]:
    """Examples a second of one case over those of another; None where one is missing.

    Args:
        cases: what was measured, by case and size, as in `plain_138k`.
        sizes: those measured.
        pairs: which case over which, by the ratio's name.
    """
    found: dict[str, float | None] = {}
    for name, (ours, theirs) in pairs.items():
        for size in sizes:
            speeds = [
                one["batch_size"] / one["step_seconds"] if "step_seconds" in one else None
                for one in (cases.get(f"{case}_{size}", {}) for case in (ours, theirs))
            ]
            above, below = speeds
            found[f"{name}_{size}"] = round(above / below, 2) if above and below else None
    return found


def step_times_9m_over_138k(cases: Cases) -> dict[str, float]:
    """How much a larger catalogue slows each case."""
    return {
        case: round(cases[f"{case}_9m"]["step_seconds"] / small["step_seconds"], 3)
        for case in CASES
        if "step_seconds" in (small := cases.get(f"{case}_138k", {})) and f"{case}_9m" in cases
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small tables; figures mean little")
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    sizes = QUICK if options.quick else SIZES
    rounds: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for size in options.sizes:
            write_log(sizes[size], Path(folder) / size)
        for _ in range(options.rounds):
            for size in options.sizes:
                for case in options.cases:
                    result = measure(case, Path(folder) / size, 0.1 if options.quick else 1)
                    rounds.setdefault(f"{case}_{size}", []).append(result)
    cases = {name: together(results) for name, results in rounds.items()}
    result = {
        "ratios": ratios(cases, options.sizes),
        "ratios_wanted": WANTED,
        "ratios_of": {name: f"{ours} over {theirs}" for name, (ours, theirs) in RATIOS.items()},
        "ratios_half": ratios(cases, options.sizes, HALF),
        "ratios_all_on": ratios(cases, options.sizes, ALL_ON),
        "step_time_9m_over_138k": step_times_9m_over_138k(cases),
        "sizes": {name: vars(sizes[name]) for name in options.sizes},
        "described": {case: DESCRIPTIONS[case] for case in options.cases},
        "cases": cases,
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()

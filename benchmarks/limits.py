"""How near is a training step to what the machine can do, and where does the rest go?

    python benchmarks/limits.py [--quick]

Prints JSON. One step at Antiphon's default batch (1,024 examples, 1,024 sampled negatives), with
the plain towers and with all defaults, batches made beforehand. Beside it, in the same run:

- the three products of the loss (logits, and the gradients by queries and by candidates), bare and
  whole, by XLA and by numpy's BLAS; `loss_products_share` is the faster's time over the step's;
- all matrix products of the step, as its program states them before the compiler sees them, each
  bare and called by itself, by XLA (a call's own cost, some hundredths of a millisecond, included);
- a copy that moves as many bytes as the compiler counts in the step.

`profile` tells where a step's time goes: the own time of each operation on XLA's threads, from the
trace of `jax.profiler`, in milliseconds a step, and its share of all such time. Threads run side by
side, so the sum may be more than the step; tracing itself makes small operations look larger.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import math
import re
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from _contestants import OURS
from _made_up_log import WIDTH, Size, open_log, write_log
from _own_step import OwnStep
from antiphon.batches import Batch, Batches
from antiphon.catalogue import Catalogue
from antiphon.memory import freed_memory_kept
from antiphon.model import TwoTower

SIZE, QUICK = Size(52_501, 138_102), Size(2_000, 5_000)
CASES = ("plain", "antiphon")
TRACED = 10
STRETCH, WARM_UP = 10, 5
"""Calls in a row, and how many of them don't count: in training a step follows a step. The first
ones find in the caches what others left there, and BLAS's threads still waiting for more to do."""
LISTED = 15


class Product(NamedTuple):
    """A matrix product of a program, as `jax.lax.dot_general` has it."""

    left: tuple[int, ...]
    right: tuple[int, ...]
    dimensions: Any

    @property
    def flop(self) -> int:
        """Multiplications and additions."""
        (_, summed), (_, batch) = self.dimensions
        free = set(range(len(self.right))) - {*summed, *batch}
        return 2 * math.prod(self.left) * math.prod(self.right[axis] for axis in free)


def products(program: Any, times: int = 1) -> Counter[Product]:
    """The matrix products of a jaxpr, those in loops as often as they run."""
    found: Counter[Product] = Counter()
    for equation in program.eqns:
        if equation.primitive.name == "dot_general":
            left, right = (variable.aval.shape for variable in equation.invars)
            found[Product(left, right, equation.params["dimension_numbers"])] += times
        again = times * equation.params.get("length", 1)
        for value in equation.params.values():
            for inner in value if isinstance(value, tuple | list) else (value,):
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    found += products(inner, again)
    return found


def own_times(events: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """Microseconds spent in each event of a trace less those that lie within it, by name."""
    found: Counter[str] = Counter()
    threads: dict[Any, list[Mapping[str, Any]]] = {}
    for event in events:
        threads.setdefault((event["pid"], event["tid"]), []).append(event)
    for thread in threads.values():
        around: list[Mapping[str, Any]] = []
        for event in sorted(thread, key=lambda one: (one["ts"], -one["dur"])):
            while around and around[-1]["ts"] + around[-1]["dur"] <= event["ts"]:
                around.pop()
            if around:
                found[around[-1]["name"]] -= event["dur"]
            found[event["name"]] += event["dur"]
            around.append(event)
    return found


def step_of(case: str, folder: Path) -> tuple[OwnStep, list[Batch]]:
    """The compiled step of a case, and batches."""
    config, prepared, counts = open_log(folder, OURS[case])
    batches = Batches(
        prepared.events,
        Catalogue.of(prepared, counts),
        prepared.schema,
        config.model,
        config.train,
    )
    model = TwoTower(prepared.schema, config.model, config.train)
    made = [jax.device_put(batches.batch(number)) for number in range(TRACED)]
    return OwnStep(model, made[0]), made


def seconds(runs: Mapping[str, Callable[[], object]], stretches: int) -> dict[str, float]:
    """The median time of each; they take turns, so that all see the same state of the machine."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(stretches):
        for name, run in runs.items():
            for number in range(STRETCH):
                started = time.perf_counter()
                jax.block_until_ready(run())
                if number >= WARM_UP:
                    taken[name].append(time.perf_counter() - started)
    return {name: statistics.median(times) for name, times in taken.items()}


def bare(product: Product) -> Callable[[], object]:
    """One product on its own."""
    rng = np.random.default_rng(0)
    left, right = (
        jnp.asarray(rng.standard_normal(shape, np.float32))
        for shape in (product.left, product.right)
    )
    run = jax.jit(lambda a, b: jax.lax.dot_general(a, b, product.dimensions))
    return lambda: run(left, right)


def loss_products(examples: int, candidates: int, width: int) -> dict[str, Callable[[], object]]:
    """The three products of the loss, by who computes them."""
    rng = np.random.default_rng(0)
    shapes = (examples, width), (candidates, width), (examples, candidates)
    arrays = [rng.standard_normal(shape, np.float32) for shape in shapes]
    given = [jnp.asarray(array) for array in arrays]

    def three(q: Any, c: Any, w: Any) -> tuple[Any, Any, Any]:
        return q @ c.T, w @ c, w.T @ q

    compiled = jax.jit(three)
    return {"xla": lambda: compiled(*given), "numpy": lambda: three(*arrays)}


def profile(step: OwnStep, batches: list[Batch]) -> list[dict[str, Any]]:
    """Where the time of a step goes, the largest first."""
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            for batch in batches:
                step(batch)
        (path,) = Path(folder).rglob("*.trace.json.gz")
        events = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    names = {
        (event["pid"], event["tid"]): event["args"]["name"]
        for event in events
        if event.get("name") == "thread_name"
    }
    # waiting isn't work; what an executor does besides its operations is
    on_xla = [
        event
        for event in events
        if event.get("ph") == "X"
        and "XLA" in names.get((event["pid"], event["tid"]), "")
        and "wait" not in event["name"]
        and "Await" not in event["name"]
    ]
    return listed(own_times(on_xla), described(step.compiled.as_text()), len(batches))


def described(program: str) -> dict[str, tuple[str, str]]:
    """Of each instruction of a compiled program: its shape, and what of ours it comes from."""
    found = {}
    for line in program.splitlines():
        named = re.match(r"\s*(?:ROOT )?%(\S+) = (\S+)", line)
        if named:
            source = re.search(r'op_name="([^"]*)"', line)
            found[named[1]] = named[2], source[1] if source else ""
    return found


def listed(
    own: Counter[str], known: Mapping[str, tuple[str, str]], steps: int
) -> list[dict[str, Any]]:
    """The largest of a profile as a table, and all others as one line."""
    total = sum(own.values())
    top, rest = own.most_common(LISTED), sum(us for _, us in own.most_common()[LISTED:])
    rows = []
    for name, us in [*top, (f"{max(0, len(own) - LISTED)} others", rest)]:
        shape, source = known.get(name, ("", ""))
        # the last words of a path such as jit(train_step)/two_tower/query_tower/dot_general
        source = "/".join(source.split("/")[-3:])
        rows.append(
            {
                "op": name,
                "shape": shape,
                "of": source,
                "ms": round(us / steps / 1000, 4),
                "share": round(us / total, 4) if total else 0.0,
            }
        )
    return rows


def measure(case: str, folder: Path, stretches: int) -> dict[str, Any]:
    """All figures of one case."""
    step, batches = step_of(case, folder)
    stated = products(step.program)
    moved = float((step.compiled.cost_analysis() or {}).get("bytes accessed", 0.0))
    source = jnp.ones(max(1, int(moved / 2 / 4)), jnp.float32)
    batch = batches[0]
    examples = batch["positive"].size
    candidates = examples + batch["negative"].size
    # as the loss has it: the trends are dimensions too, and odd ones are padded
    width = WIDTH + batch["items"]["trend"].shape[1]
    width += width % 2
    turn = itertools.cycle(batches)
    taken = seconds(
        {
            "step": lambda: step(next(turn)),
            "copy": lambda: jnp.copy(source),
            **loss_products(examples, candidates, width),
        },
        stretches,
    )
    alone = seconds({str(n): bare(product) for n, product in enumerate(stated)}, stretches)
    table = profile(step, batches)
    flop = sum(product.flop * times for product, times in stated.items())
    bare_s = sum(alone[str(n)] * times for n, times in enumerate(stated.values()))
    loss_flop = 3 * 2 * examples * candidates * width
    fastest_s = min(taken["xla"], taken["numpy"])
    return {
        "examples": examples,
        "candidates": candidates,
        "step_seconds": taken["step"],
        "step_gflop_per_s": round(flop / taken["step"] / 1e9, 2),
        "step_gb_per_s": round(moved / taken["step"] / 1e9, 2),
        "step_bytes": moved,
        "copy_seconds": taken["copy"],
        "copy_gb_per_s": round(moved / taken["copy"] / 1e9, 2),
        "products": sum(stated.values()),
        "products_flop": flop,
        "products_seconds": bare_s,
        "products_gflop_per_s": round(flop / bare_s / 1e9, 2),
        "products_share": round(bare_s / taken["step"], 4),
        "loss_products_flop": loss_flop,
        "loss_products_seconds": {name: taken[name] for name in ("xla", "numpy")},
        "loss_products_gflop_per_s": round(loss_flop / fastest_s / 1e9, 2),
        "loss_products_share": round(fastest_s / taken["step"], 4),
        "profile": table,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a small log, few repeats")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as parent, freed_memory_kept():
        folder = Path(parent) / "log"
        write_log(QUICK if options.quick else SIZE, folder)
        cases = {case: measure(case, folder, 2 if options.quick else 20) for case in CASES}
    print(json.dumps({"products_share_wanted": 0.5, "cases": cases}, indent=2))


if __name__ == "__main__":
    main()

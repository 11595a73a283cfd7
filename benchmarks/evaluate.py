"""How long does full-corpus scoring take, beside a bare matrix product of the same size?

    python benchmarks/evaluate.py [--quick]

Prints JSON. The product is written tile by tile into a buffer that stays in the cache, by all
threads of BLAS and by as many threads of Python with one each; the faster of the two counts.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from antiphon.exact_search import ExactSearch
from antiphon.threads import processors

BLOCK, TILE = 512, 1024


def unit_rows(generator: np.random.Generator, rows: int, width: int) -> np.ndarray:
    array = generator.standard_normal((rows, width), np.float32)
    array /= np.linalg.norm(array, axis=1, keepdims=True)
    return array


def bare_product(queries: np.ndarray, candidates: np.ndarray, threads: int) -> None:
    def block(start: int) -> None:
        some = queries[start : start + BLOCK]
        out = np.empty((len(some), TILE), np.float32)
        for tile in range(0, len(candidates) - TILE + 1, TILE):
            np.matmul(some, candidates[tile : tile + TILE].T, out=out)

    starts = range(0, len(queries), BLOCK)
    if threads == 1:
        for start in starts:
            block(start)
        return
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads) as pool:
        list(pool.map(block, starts))


def seconds(run: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Least wall-clock seconds, and the processor seconds of that run."""
    best = (float("inf"), 0.0)
    for _ in range(repeats):
        wall, busy = time.perf_counter(), time.process_time()
        run()
        best = min(best, (time.perf_counter() - wall, time.process_time() - busy))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of both sides")
    options = parser.parse_args()
    count, items = (900, 63_000) if options.quick else (9_000, 630_000)
    generator = np.random.default_rng(0)
    candidates = unit_rows(generator, items + 1, 64)
    queries = unit_rows(generator, count, 64)
    threads = processors()
    repeats = 3 if options.quick else 2
    search, search_busy = seconds(lambda: ExactSearch(candidates).top_k(queries, 100), repeats)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    bare, bare_busy = min(
        seconds(lambda n=n: bare_product(queries, candidates, n), repeats) for n in {1, threads}
    )
    print(
        json.dumps(
            {
                "benchmark": "evaluate",
                "queries": count,
                "candidates": items,
                "width": 64,
                "k": 100,
                "threads": threads,
                "search_s": round(search, 3),
                "bare_product_s": round(bare, 3),
                "ratio": round(search / bare, 3),
                "search_processor_s": round(search_busy, 3),
                "bare_product_processor_s": round(bare_busy, 3),
                "processor_ratio": round(search_busy / bare_busy, 3),
                "peak_memory_bytes": peak,
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()

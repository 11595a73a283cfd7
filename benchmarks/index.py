"""How long does an answer take, by engine and size, and how much do graphs find?

    python benchmarks/index.py [--quick] [--items N ...]

Prints JSON. Embeddings are made up in the shape of a model's: directions in clusters, and trends,
of which few candidates have much. A user's library is half of what suits them best and half at
random; it is left out in the lines that say so. One query at a time, on one thread.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from antiphon.exclusions import Exclusions
from antiphon.indexes import Filter, Index, NumpyScan
from antiphon.indexes.faiss_files import open_graph, open_scan, write_graph, write_scan
from antiphon.indexes.reaching import choose_reach
from antiphon.indexes.recall import Questions, recall_of

WIDTH, TRENDS = 64, 8
QUERIES, LIBRARY, K = 400, 400, 10
TARGET = 0.99


def made_up(items: int) -> tuple[np.ndarray, np.ndarray]:
    """Candidates by number, and queries."""
    generator = np.random.default_rng(0)
    centres = unit(generator.standard_normal((2000, WIDTH), np.float32))
    kind = generator.integers(0, len(centres), items + 1)
    noise = generator.standard_normal((items + 1, WIDTH), np.float32) / 8
    plays = generator.pareto(1.1, items + 1)[:, None] * np.exp(
        generator.normal(0, 0.5, (items + 1, TRENDS))
    )
    trends = np.log1p(plays) - np.log1p(plays).mean(axis=0)
    candidates = np.hstack([unit(centres[kind] + noise), trends]).astype(np.float32)
    tastes = centres[generator.integers(0, len(centres), (QUERIES, 4))].sum(axis=1)
    weights = generator.uniform(0, 0.2, (QUERIES, TRENDS))
    queries = np.hstack([10 * unit(tastes), weights]).astype(np.float32)
    return candidates, queries


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def libraries(candidates: np.ndarray, queries: np.ndarray) -> Exclusions:
    best, _ = NumpyScan(candidates).top_k(queries, LIBRARY // 2)
    generator = np.random.default_rng(1)
    other = generator.integers(1, len(candidates), (QUERIES, LIBRARY - LIBRARY // 2))
    rows = np.hstack([best, other]).astype(np.int32)
    return Exclusions(np.arange(QUERIES + 1, dtype=np.int64) * LIBRARY, rows.reshape(-1))


def latency(ask: Callable[[int], Any], repeats: int) -> dict[str, float]:
    """Milliseconds, median and 99th percentile."""
    ask(0)
    taken = []
    for row in range(repeats):
        started = time.perf_counter()
        ask(row % QUERIES)
        taken.append(1000 * (time.perf_counter() - started))
    p50, p99 = np.quantile(taken, [0.5, 0.99])
    return {"p50_ms": round(float(p50), 3), "p99_ms": round(float(p99), 3)}


def asked(
    index: Index, queries: np.ndarray, heard: Exclusions, few: Filter, repeats: int
) -> dict[str, Any]:
    def alone(row: int) -> Exclusions:
        items = heard.item_number[row * LIBRARY : (row + 1) * LIBRARY]
        return Exclusions(np.array([0, LIBRARY], np.int64), items)

    def one(row: int) -> np.ndarray:
        return queries[row : row + 1]

    return {
        "plain": latency(lambda row: index.top_k(one(row), K), repeats),
        "library_left_out": latency(
            lambda row: index.top_k(one(row), K, exclude=alone(row)), repeats
        ),
        "one_item_of_fifty_allowed": latency(
            lambda row: index.top_k(one(row), K, among=few), max(repeats // 4, 5)
        ),
    }


def measure(items: int, repeats: int) -> dict[str, Any]:
    candidates, queries = made_up(items)
    heard = libraries(candidates, queries)
    few = Filter.allowing(np.arange(1, items, 50))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "candidates.npy", candidates)
        mapped = np.load(folder / "candidates.npy", mmap_mode="r")
        exact = NumpyScan(mapped)
        parts = {"all": np.ones(QUERIES, bool)}
        questions = Questions.ask(exact, queries, heard, parts, K)
        found: dict[str, Any] = {"numpy": asked(exact, queries, heard, few, repeats)}

        def opened(engine: str, write: Callable[..., None], open_: Callable[..., Index]) -> Index:
            place = folder / engine
            place.mkdir()
            started = time.perf_counter()
            write(place, mapped, queries)
            built = time.perf_counter() - started
            started = time.perf_counter()
            index = open_(place, mapped)
            found[engine] = {
                "build_s": round(built, 2),
                "open_ms": round(1000 * (time.perf_counter() - started), 3),
                "bytes": sum(file.stat().st_size for file in place.iterdir()),
            }
            return index

        def told(engine: str, index: Index) -> None:
            found[engine] |= asked(index, queries, heard, few, repeats)
            for without in (False, True):
                (figure,) = recall_of(index, questions, [K], without_library=without)
                words = "library_left_out" if without else "plain"
                found[engine][words]["index_recall_at_10"] = figure.index_recall_at_k

        told("faiss_scan", opened("faiss_scan", write_scan, open_scan))
        graph = opened("faiss_graph", write_graph, open_graph)
        graph = choose_reach(graph, questions, [K], TARGET, lambda _: None)
        found["faiss_graph"]["reach"] = vars(graph.reach)
        told("faiss_graph", graph)
    plain = {engine: part["plain"]["p50_ms"] for engine, part in found.items()}
    return {
        "items": items,
        "width": WIDTH + TRENDS,
        "k": K,
        "library": LIBRARY,
        "engines": found,
        "scan_over_numpy": round(plain["faiss_scan"] / plain["numpy"], 3),
        "graph_over_scan": round(plain["faiss_graph"] / plain["faiss_scan"], 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one small corpus")
    parser.add_argument("--items", type=int, nargs="+", help="sizes of corpora")
    options = parser.parse_args()
    sizes = options.items or ([60_000] if options.quick else [138_000, 1_000_000])
    repeats = 100 if options.quick else 400
    corpora = [measure(items, repeats) for items in sizes]
    print(json.dumps({"benchmark": "index", "target": TARGET, "corpora": corpora}, indent=2))


if __name__ == "__main__":
    main()

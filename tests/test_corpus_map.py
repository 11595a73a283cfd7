"""The map of the corpus: principal components of directions, on a grid."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
from hypothesis import given

from antiphon.serve.corpus_map import GRID, CorpusMap

# four directions in a plane; variance along x is (1 + 0 + 1 + 0) / 4 and along z the same
CROSS = np.array([[1, 0, 0], [0, 0, 1], [-1, 0, 0], [0, 0, -1]], np.float32)


def test_a_plane_is_kept_whole() -> None:
    # x is drawn in twice as many items, so it varies most: (4 + 0) / 6 of the variance, z 2 / 6
    rows = np.concatenate([CROSS, CROSS[[0, 2]]])
    made = CorpusMap.of(rows)
    np.testing.assert_allclose(made.explained, (2 / 3, 1 / 3))
    np.testing.assert_allclose(made.centre, 0, atol=1e-12)
    np.testing.assert_allclose(np.abs(made.axes), [[1, 0], [0, 0], [0, 1]], atol=1e-12)
    # x reaches from edge to edge, and z, on the same scale, as far; what is 0 lies in the middle
    half = GRID / 2
    wanted = [[GRID, half], [half, GRID], [0, half], [half, 0]]
    np.testing.assert_allclose(made.points[:4], wanted, atol=1)


def test_only_directions_count() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(50, 8)).astype(np.float32)
    scaled = rows * 2.0 ** rng.integers(-6, 7, (50, 1)).astype(np.float32)
    np.testing.assert_array_equal(CorpusMap.of(rows).points, CorpusMap.of(scaled).points)


def test_two_kinds_lie_apart() -> None:
    rng = np.random.default_rng(0)
    kind = np.repeat([[1, 0, 0, 0, 0], [0, 1, 0, 0, 0]], 100, axis=0)
    rows = (kind + 0.1 * rng.normal(size=kind.shape)).astype(np.float32)
    x = CorpusMap.of(rows).points[:, 0].astype(int)
    first, second = x[:100], x[100:]
    assert first.min() > second.max() or second.min() > first.max()


def test_items_are_placed_where_they_are_drawn() -> None:
    rows = np.random.default_rng(0).normal(size=(300, 16)).astype(np.float32)
    made = CorpusMap.of(rows)
    np.testing.assert_array_equal(made.places(rows[[5, 0]]), made.points[[5, 0]])
    assert made.places(rows[:0]).shape == (0, 2)


def test_what_nothing_is_known_of_lies_in_the_origin() -> None:
    made = CorpusMap.of(CROSS)
    assert made.places(np.zeros((1, 3), np.float32)).tolist() == [[round(GRID / 2)] * 2]


@given(
    st.integers(0, 12),
    st.integers(2, 6),
    st.sampled_from([0.0, 1e-30, 1.0, 1e30]),
    st.integers(0, 2**32),
)
def test_any_corpus_has_a_map(items: int, width: int, scale: float, seed: int) -> None:
    rows = (np.random.default_rng(seed).normal(size=(items, width)) * scale).astype(np.float32)
    made = CorpusMap.of(rows)
    assert made.points.shape == (items, 2)
    assert np.isfinite(made.axes).all()
    assert all(0 <= share <= 1 for share in made.explained)
    assert sum(made.explained) <= 1 + 1e-9
    np.testing.assert_array_equal(CorpusMap.of(rows).points, made.points)

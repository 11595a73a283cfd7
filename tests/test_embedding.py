import jax
import jax.numpy as jnp
import numpy as np

from antiphon.embedding import CHUNK_ROWS, LENGTH, adagrad_rows, initial_table, read_rows


def test_rows_are_updated_as_by_hand() -> None:
    # Row 2, width 2, gradient (3, 4): mean square 12.5, accumulator 0.5 + 12.5 = 13,
    # step 0.1 * gradient / sqrt(13).
    table = jnp.zeros((4, 2), jnp.float32)
    accumulator = jnp.full(4, 0.5, jnp.float32)
    rows = jnp.asarray([2, 4], jnp.int32)  # 4 is padding
    gradient = jnp.asarray([[3, 4], [9, 9]], jnp.float32)
    new, total = adagrad_rows(table, accumulator, rows, read_rows(table, rows), gradient, 0.1)
    expected = np.zeros((4, 2), np.float32)
    expected[2] = -0.1 * np.array([3, 4]) / np.sqrt(13)
    np.testing.assert_allclose(new, expected, rtol=1e-6)
    np.testing.assert_allclose(total, [0.5, 0.5, 13, 0.5])


def test_same_as_dense_row_wise_adagrad_in_float64() -> None:
    rng = np.random.default_rng(0)
    table, total = rng.normal(size=(30, 6)), np.full(30, 0.1)
    ours, ours_total = jnp.asarray(table, jnp.float32), jnp.asarray(total, jnp.float32)
    for _ in range(20):
        rows = rng.choice(30, 7, replace=False)
        gradient = np.zeros((30, 6))
        gradient[rows] = rng.normal(size=(7, 6))
        total += (gradient**2).mean(axis=1)
        table -= 0.05 * gradient / np.sqrt(total)[:, None]
        padded = jnp.asarray([*rows, 30, 30], jnp.int32)
        given = jnp.asarray(np.concatenate([gradient[rows], np.ones((2, 6))]), jnp.float32)
        ours, ours_total = adagrad_rows(
            ours, ours_total, padded, read_rows(ours, padded), given, 0.05
        )
    np.testing.assert_allclose(ours, table, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours_total, total, rtol=1e-5)


def test_padding_reads_zeros() -> None:
    table = jnp.ones((3, 2), jnp.float32)
    found = read_rows(table, jnp.asarray([1, 3, 3], jnp.int32))
    assert found.tolist() == [[1, 1], [0, 0], [0, 0]]


def test_initial_rows_are_about_equally_short_in_every_chunk() -> None:
    table = np.asarray(initial_table(2 * CHUNK_ROWS + 10, 16, seed=3))
    lengths = (table**2).sum(axis=1) / LENGTH**2
    for part in (lengths[:100], lengths[CHUNK_ROWS : CHUNK_ROWS + 100], lengths[-100:]):
        assert 0.8 < part.mean() < 1.2
    assert not np.array_equal(table[:100], table[CHUNK_ROWS : CHUNK_ROWS + 100])
    again = initial_table(2 * CHUNK_ROWS + 10, 16, seed=3)
    assert np.array_equal(table, again)
    assert not np.array_equal(table[:5], initial_table(5, 16, seed=4))


def test_the_update_writes_into_the_donated_buffer() -> None:
    rows = jnp.arange(8, dtype=jnp.int32)
    step = jax.jit(
        lambda t, a: adagrad_rows(t, a, rows, read_rows(t, rows), jnp.ones((8, 4)), 0.1),
        donate_argnums=(0, 1),
    )
    compiled = step.lower(
        jnp.zeros((100_000, 4), jnp.float32), jnp.zeros(100_000, jnp.float32)
    ).compile()
    memory = compiled.memory_analysis()
    assert memory.alias_size_in_bytes == 100_000 * 5 * 4, "both tables are updated in place"
    assert memory.temp_size_in_bytes < 100_000, "no second table is made on the way"

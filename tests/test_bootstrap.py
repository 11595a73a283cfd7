"""Intervals: do they cover what they should, and are pairs resampled alike?"""

from __future__ import annotations

import numpy as np
import pytest

from antiphon.bootstrap import Users, difference, interval, ratio


def resample(
    user_key: np.ndarray, numerator: np.ndarray, denominator: np.ndarray, seed: int = 0
) -> np.ndarray:
    users = Users(user_key, 400, seed)
    return users.resample(users.sums(numerator), users.sums(denominator))


def test_intervals_cover_a_known_mean() -> None:
    """Users differ, and their queries go together: only resampling whole users covers it."""
    generator = np.random.default_rng(0)
    covered = narrow = 0
    for seed in range(200):
        user = np.repeat(np.arange(60), 5)
        values = 0.3 + (generator.normal(size=60)[user] + generator.normal(size=300)) / 10
        one = np.ones((300, 1))
        bounds = interval(resample(user, values[:, None], one, seed))
        covered += bool(bounds.low[0] <= 0.3 <= bounds.high[0])
        alone = interval(resample(np.arange(300), values[:, None], one, seed))
        narrow += bool(alone.low[0] <= 0.3 <= alone.high[0])
    # 95% of 200 is 190; three deviations are 9
    assert covered >= 179
    assert narrow < 170, "resampling queries would promise too much"


def test_a_ratio_of_sums_by_hand() -> None:
    # every resample of one user is that user: (1 + 2) / (4 + 8)
    figures = resample(np.array([7, 7]), np.array([[1.0], [2.0]]), np.array([[4.0], [8.0]]))
    assert np.all(figures == np.float32(0.25))


def test_pairs_are_resampled_alike() -> None:
    generator = np.random.default_rng(1)
    user = np.arange(200)
    base = generator.normal(size=(200, 1))
    one = np.ones((200, 1))
    ours, theirs = resample(user, base + 0.01, one), resample(user, base, one)
    apart = difference(ours, theirs)
    assert apart.low[0] == pytest.approx(0.01, abs=1e-5), "noise that both share cancels"
    assert apart.high[0] == pytest.approx(0.01, abs=1e-5)
    assert interval(ours).high[0] - interval(ours).low[0] > 0.1
    assert ratio(ours, ours).low[0] == 1


def test_columns_are_resampled_alike_and_equal_denominators_shared() -> None:
    generator = np.random.default_rng(2)
    values = generator.random((50, 3))
    weights = np.stack([np.ones(50), values[:, 0] + 1, np.ones(50)], axis=1)
    together = resample(np.arange(50), values, weights)
    for column in range(3):
        some = slice(column, column + 1)
        alone = resample(np.arange(50), values[:, some], weights[:, some])
        np.testing.assert_allclose(together[:, some], alone, rtol=1e-6)


def test_what_does_not_exist_is_nan() -> None:
    numerator, denominator = np.zeros((5, 2)), np.zeros((5, 2))
    denominator[0, 1] = numerator[0, 1] = 1  # the other column counts one user of five
    bounds = interval(resample(np.arange(5), numerator, denominator))
    assert np.isnan(bounds.low[0])
    assert bounds.low[1] == bounds.high[1] == 1, "resamples without that user don't count"
    none = Users(np.arange(5), 0, 0)
    assert np.isnan(interval(none.resample(none.sums(numerator), none.sums(denominator))).low).all()

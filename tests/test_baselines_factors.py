"""Factorisations: that they learn, the same each time, and say what is missing."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import scipy.sparse as sp

from antiphon.baselines.factors import Factors, FactorScorer, fit_bpr, fit_ials
from antiphon.baselines.fitted import FittedBaseline
from antiphon.baselines.history import TrainingLog
from antiphon.baselines.popular import Popularity, cell_counts
from antiphon.errors import EvaluationError
from baseline_log import DAY, ask, log_of


def two_tastes(users: int = 40, items: int = 20) -> TrainingLog:
    """Users with odd numbers play items of the first half, the others of the second."""
    rng = np.random.default_rng(0)
    half = items // 2
    events = [
        (user, int(item) + 1 + (0 if user % 2 else half), 0.0, 1)
        for user in range(1, users + 1)
        for item in rng.choice(half, 6, replace=False)
    ]
    return log_of(events, items=items)


def own_half(log: TrainingLog, factors: Factors, weight: float = 0.0) -> float:
    """The share of new items in users' first 4 that are of their taste."""
    scorer = FactorScorer(log, Popularity(log, cell_counts(log, None)), factors, weight)
    users = np.arange(1, len(log.user_starts) - 1)
    fitted = FittedBaseline("it", {}, scorer, log)
    numbers, _ = fitted.rank(ask(users.tolist()), 4, exclude_heard=True)
    return float(np.mean((numbers <= 10) == (users % 2 == 1)[:, None]))


def test_ials_finds_tastes() -> None:
    log = two_tastes()
    factors = fit_ials(log.user_items, 4, 10.0, 1.0)
    assert own_half(log, factors) > 0.95
    again = fit_ials(log.user_items, 4, 10.0, 1.0)
    np.testing.assert_array_equal(factors.user, again.user)


def test_ials_solves_its_equations() -> None:
    rng = np.random.default_rng(1)
    counts = rng.integers(1, 4, (9, 7)) * (rng.random((9, 7)) < 0.5)
    found = fit_ials(sp.csr_array(counts.astype(np.float32)), 3, 2.0, 0.5, iterations=200)
    user = found.user.astype(float)
    for item in range(7):
        # (U' C U + l) y = U' C p; C is alpha * count where there is one, else 1
        weight = np.where(counts[:, item] > 0, 2.0 * counts[:, item], 1.0)
        left = user.T @ (weight[:, None] * user) + 0.5 * np.eye(3)
        right = user.T @ (weight * (counts[:, item] > 0))
        np.testing.assert_allclose(found.item[item], np.linalg.solve(left, right), atol=5e-3)


def test_bpr_finds_tastes() -> None:
    log = two_tastes()
    factors = fit_bpr(log.user_items, 4, 0.05, 0.02, 100)
    assert own_half(log, factors) > 0.95
    again = fit_bpr(log.user_items, 4, 0.05, 0.02, 100)
    np.testing.assert_array_equal(factors.item, again.item)


def test_the_weight_of_popularity_by_hand() -> None:
    log = log_of([(1, 1, 0, 1), (2, 1, 0, 1), (2, 1, 0, 1), (2, 2, 0, 1)], items=3)
    factors = Factors(np.ones((3, 1), np.float32), np.array([[0], [0], [0.5], [0.75]], np.float32))
    scorer = FactorScorer(log, Popularity(log, cell_counts(log, None)), factors, 1.0)
    # users: 2 of item 1, 1 of item 2, none of item 3
    expected = [np.log(3), 0.5 + np.log(2), 0.75]
    np.testing.assert_allclose(scorer.scores(ask([1]), 3).block[0], expected, rtol=1e-6)
    assert FittedBaseline("it", {}, scorer, log).rank(ask([0]), 3, exclude_heard=False)[
        0
    ].tolist() == [[1, 2, 3]], "a stranger gets what is popular"


def test_users_that_the_factors_have_not_seen_get_what_is_popular() -> None:
    log = log_of([(1, 1, 0, 1), (2, 2, 50, 1), (2, 3, 50, 1)], items=3)
    recent = log.last_days(5.0)
    assert recent.row_times_s.min() == 50 * DAY
    factors = Factors(np.ones((3, 1), np.float32), np.arange(4, dtype=np.float32)[:, None])
    scorer = FactorScorer(recent, Popularity(log, cell_counts(log, None)), factors)
    fitted = FittedBaseline("it", {}, scorer, log)
    numbers, _ = fitted.rank(ask([1, 2]), 3, exclude_heard=False)
    assert numbers.tolist() == [[1, 2, 3], [3, 2, 1]]


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for fit in (
        lambda: fit_ials(sp.csr_array((2, 2)), 2, 1.0, 1.0),
        lambda: fit_bpr(sp.csr_array((2, 2)), 2, 0.1, 0.1, 1),
    ):
        with pytest.raises(EvaluationError, match=r"antiphon\[baselines\]"):
            fit()

"""Matrix factorisations of the library `implicit`: iALS and BPR."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32
from threadpoolctl import threadpool_limits

from antiphon.baselines.history import TrainingLog, small
from antiphon.baselines.lists import BLOCK_FLOATS, DenseScores, Order
from antiphon.baselines.popular import Popularity
from antiphon.errors import EvaluationError
from antiphon.queries import Queries

__all__ = ["FactorScorer", "Factors", "fit_bpr", "fit_ials", "has_implicit", "require_implicit"]


@dataclass(frozen=True)
class Factors:
    """A score is the product of a user's and an item's row; rows by number."""

    user: Float32[np.ndarray, "users width"]
    item: Float32[np.ndarray, "items width"]

    def arrays(self) -> Mapping[str, np.ndarray]:
        """What to keep on disk."""
        return {"user": self.user, "item": self.item}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Factors:
        """From what `arrays` gave."""
        return cls(arrays["user"], arrays["item"])


def has_implicit() -> bool:
    """Whether the library is installed."""
    return importlib.util.find_spec("implicit") is not None


def fit_ials(
    matrix: Any, factors: int, alpha: float, regularization: float, iterations: int = 10
) -> Factors:
    """Weighted least squares, alternating between users and items.

    What a user has had is a 1 believed `alpha * count` times as much as the 0 of everything else
    (Hu, Koren and Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM 2008,
    without their 1 beside the product: a decayed count then fades to nothing).

    Args:
        matrix: CSR [users, items] of counts.
        factors: width.
        alpha: weight of a count.
        regularization: of all rows alike.
        iterations: over both sides.

    Raises:
        EvaluationError: `implicit` isn't installed.
    """
    require_implicit("ials")
    from implicit.cpu.als import AlternatingLeastSquares

    with threadpool_limits(1, "blas"):  # the library brings its own threads
        model = AlternatingLeastSquares(
            factors=factors,
            regularization=regularization,
            alpha=alpha,
            iterations=iterations,
            random_state=0,
        )
        model.fit(_int32(matrix), show_progress=False)
    return Factors(model.user_factors, model.item_factors)


def fit_bpr(
    matrix: Any, factors: int, learning_rate: float, regularization: float, iterations: int
) -> Factors:
    """Pairs of an item of the user and another one, told apart by stochastic gradient descent.

    Rendle et al., "BPR: Bayesian personalized ranking from implicit feedback", UAI 2009. One
    thread, as more of them race and would give another result each time.

    Args:
        matrix: CSR [users, items]; its pattern counts.
        factors: width.
        learning_rate: of the descent.
        regularization: of all rows alike.
        iterations: passes over the pairs.

    Raises:
        EvaluationError: `implicit` isn't installed.
    """
    require_implicit("bpr")
    from implicit.cpu.bpr import BayesianPersonalizedRanking

    with threadpool_limits(1, "blas"):
        model = BayesianPersonalizedRanking(
            factors=factors,
            learning_rate=learning_rate,
            regularization=regularization,
            iterations=iterations,
            num_threads=1,
            random_state=0,
        )
        model.fit(_int32(matrix), show_progress=False)
    return Factors(model.user_factors, model.item_factors)


class FactorScorer:
    """Products of factors, with a weight on log popularity; strangers get what is popular."""

    def __init__(
        self,
        log: TrainingLog,
        popularity: Popularity,
        factors: Factors,
        log_popularity_weight: float = 0.0,
    ) -> None:
        """Prepare.

        Args:
            log: the events that the factors were fitted on.
            popularity: for users the factors don't know.
            factors: by user and item number.
            log_popularity_weight: of log(1 + users of an item) beside the product. BPR draws its
                negatives by popularity, so that its factors leave popularity out.
        """
        self.log, self.popularity, self.factors = log, popularity, factors
        users = np.bincount(log.user_items.indices, minlength=log.width)
        self.prior = (log_popularity_weight * np.log1p(users)).astype(np.float32)
        self.candidates = np.arange(1, log.width, dtype=np.int32)
        self.chunk = max(16, BLOCK_FLOATS // log.width)

    def scores(self, queries: Queries, k: int) -> DenseScores:  # noqa: ARG002
        """See `Scorer`."""
        users = queries.user_number
        block = self.factors.user[users] @ self.factors.item[1:].T + self.prior[1:]
        return DenseScores(block, self.candidates, self.log.heard[users] > 0)

    def order(self, queries: Queries) -> Order:
        """See `Scorer`."""
        return self.popularity.order(queries)


def require_implicit(name: str) -> None:
    """Refuse to go on without the library.

    Raises:
        EvaluationError: it isn't installed.
    """
    if not has_implicit():
        raise EvaluationError(
            f"the baseline {name} needs the library implicit, which isn't installed",
            hint="pip install 'antiphon[baselines]'",
        )


def _int32(matrix: Any) -> Any:
    """The form that `implicit` reads, a copy."""
    entries = matrix.data.astype(np.float32), *small(matrix.indices, matrix.indptr)
    return sp.csr_matrix(entries, shape=matrix.shape)

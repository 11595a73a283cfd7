"""Antiphon: context-aware two-tower retrieval, from an interaction log to answers.

    run = antiphon.run(antiphon.Config.load("mine.toml"))
    recommender = antiphon.Recommender.load(run.path)
    recommender.recommend(user_id=1001, context={"surface": "search"}, k=10)

Names are loaded when they are first used: `import antiphon` alone takes no time.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from antiphon.answers import Answer
    from antiphon.config import Config
    from antiphon.errors import AntiphonError
    from antiphon.pipeline import Run, run
    from antiphon.recommend import Recommender

__all__ = ["Answer", "AntiphonError", "Config", "Recommender", "Run", "run"]

# Keras reads this once, when it is first imported; the training step is written for JAX.
os.environ["KERAS_BACKEND"] = "jax"
# XLA reads this once, when it first looks for devices. By itself it uses half of the widest vector
# registers, as processors of long ago became slower with all of them. What is set already counts.
os.environ["XLA_FLAGS"] = f"--xla_cpu_prefer_vector_width=512 {os.environ.get('XLA_FLAGS', '')}"

_MODULES = {
    "Answer": "answers",
    "AntiphonError": "errors",
    "Config": "config",
    "Recommender": "recommend",
    "Run": "pipeline",
    "run": "pipeline",
}

if not TYPE_CHECKING:  # a type checker would take any name for one that is there

    def __getattr__(name: str) -> object:
        """A name of `__all__`, from the module that it lives in."""
        if name not in _MODULES:
            raise AttributeError(
                f"module 'antiphon' has no attribute {name!r}; it offers {', '.join(__all__)}"
            )
        value = getattr(importlib.import_module(f"antiphon.{_MODULES[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

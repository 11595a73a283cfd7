"""What every test runs under.

- The annotated shapes and dtypes of the whole package are checked at every call.
- JAX refuses to mix dtypes silently. (Ranks it may: Keras's own layers add biases that way.)
- Warnings are errors (pyproject.toml), and hypothesis draws the same examples every time.

Environment variables, so that processes started by tests are held to the same.
"""

from __future__ import annotations

import inspect
import os
from pathlib import Path

import hypothesis
import pytest
from jaxtyping import install_import_hook

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_NUMPY_DTYPE_PROMOTION"] = "strict"

# before the first import of the package, which the tests' own imports are
install_import_hook("antiphon", "beartype.beartype")

# Keras reads the names of a layer's arguments, which the checker's wrapper would hide from it
_argspec_of_wrapped = inspect.getfullargspec
inspect.getfullargspec = lambda func: _argspec_of_wrapped(inspect.unwrap(func))

hypothesis.settings.register_profile(
    "antiphon", derandomize=True, deadline=None, print_blob=True, database=None
)
hypothesis.settings.load_profile("antiphon")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real logs: ANTIPHON_DATA, by default ../shared/data beside the repository.

    Where there is none a test that needs it is skipped, except in CI, where it fails.
    """
    folder = Path(os.environ.get("ANTIPHON_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        message = f"there are no real logs at {folder}; ANTIPHON_DATA names the folder"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return folder

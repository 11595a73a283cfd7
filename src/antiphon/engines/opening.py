"""The engine that a config names."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from antiphon.engines.duckdb_sql import DuckDB
from antiphon.engines.protocol import Engine
from antiphon.errors import ConfigError
from antiphon.log_sections import PrepareSection

__all__ = ["open_engine"]


def open_engine(section: PrepareSection, folder: Path, memory_bytes: int) -> Engine:
    """An engine that works in an existing folder.

    Args:
        section: says which, and where.
        folder: for tables and results; a cluster's workers must see it under the same path.
        memory_bytes: what this process may use.

    Raises:
        ConfigError: the extra `spark` isn't installed, or DuckDB is given a master.
        BackendError: no Java, or a cluster that can't be reached or doesn't share the folder.
    """
    if section.engine == "duckdb":
        if section.master is not None:
            raise ConfigError(
                "prepare.master is for Spark",
                received=f"prepare.master = {section.master}, prepare.engine = duckdb",
                hint="add --engine spark",
            )
        return DuckDB(folder, memory_bytes, section.threads)
    if importlib.util.find_spec("pyspark") is None:
        raise ConfigError(
            "prepare.engine = spark needs the extra 'spark'", hint='pip install "antiphon[spark]"'
        )
    from antiphon.engines.spark_sql import Spark

    return Spark(folder, section.master)

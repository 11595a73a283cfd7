"""What runs the SQL of the prepare stage: one protocol, two engines.

protocol       what an engine does, and how its SQL differs from the next one's
duckdb_sql     in this process
spark_sql      on a cluster
spark_files    files as Spark reads them
spark_session  a cluster, reached or not
opening        the engine that a config names
"""

from antiphon.engines.opening import open_engine
from antiphon.engines.protocol import Engine, TypeKind, quote

__all__ = ["Engine", "TypeKind", "open_engine", "quote"]

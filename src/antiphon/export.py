"""Candidate embeddings with the log's ids as Parquet, for any other search engine.

OUT/
  candidates.parquet   item_id, item_number, embedding (fixed_size_list of float32)
  export.json          of which model, and how a score is made
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from antiphon.artifacts import Stage, write_json, write_stage
from antiphon.errors import ArtifactError
from antiphon.prepared import Prepared

__all__ = ["export_candidates"]

ROWS_AT_ONCE = 65_536


def export_candidates(
    prepared: Prepared,
    model: Stage,
    out: Path,
    progress: Callable[[int, int, str], None] | None = None,
) -> Path:
    """Write what can be searched for.

    Args:
        prepared: the log.
        model: the stage folder of the trained model.
        out: a folder that doesn't exist yet, or holds an older export.
        progress: is told how far it has come.

    Raises:
        ArtifactError: the folder holds something else, or can't be written.
    """
    if out.exists() and not (out / "export.json").is_file():
        raise ArtifactError(
            "the folder is there already and holds no export",
            received=out,
            hint="choose a folder that doesn't exist",
        )
    tell = progress or (lambda *_: None)
    candidates = np.load(model.path / "candidates.npy", mmap_mode="r", allow_pickle=False)
    count, width = len(candidates) - 1, candidates.shape[1]
    ids = prepared.item_ids()
    form = pa.schema(
        [
            ("item_id", ids.type),
            ("item_number", pa.int32()),
            ("embedding", pa.list_(pa.float32(), width)),
        ],
        metadata={"antiphon_model": model.hash},
    )
    inputs = {"prepared": prepared.stage, "model": model}
    with (
        write_stage(out, made_from="candidates", inputs=inputs) as folder,
        pq.ParquetWriter(folder / "candidates.parquet", form) as writer,
    ):
        for start in range(0, count, ROWS_AT_ONCE):
            stop = min(start + ROWS_AT_ONCE, count)
            flat = pa.array(np.asarray(candidates[start + 1 : stop + 1]).reshape(-1))
            rows = [
                ids.slice(start, stop - start),
                pa.array(np.arange(start + 1, stop + 1, dtype=np.int32)),
                pa.FixedSizeListArray.from_arrays(flat, width),
            ]
            writer.write_table(pa.Table.from_arrays(rows, schema=form))
            tell(stop, count, "candidates")
        write_json(
            folder / "export.json",
            {
                "format_version": 1,
                "model": model.hash,
                "items": count,
                "width": width,
                "score": "inner product of a query's and a candidate's embedding",
            },
        )
    return out

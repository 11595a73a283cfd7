"""layout.json: how vectors are laid out, how wide a graph is searched, where all that is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from antiphon.artifacts import write_json
from antiphon.errors import ArtifactError
from antiphon.indexes.graph import Reach
from antiphon.indexes.layout import Layout

__all__ = ["REDO", "read_layout", "write_layout", "write_reach"]

LAYOUT = "layout.json"
REDO = "run `antiphon index RUN` again"


def write_layout(
    folder: Path, layout: Layout, reach: Reach | None, items: int, where: Mapping[str, Any]
) -> None:
    """Write layout.json.

    Args:
        folder: of the index.
        layout: of the vectors.
        reach: of a graph's searches.
        items: how many there are.
        where: what the engine needs to find them.
    """
    document = {
        **where,
        "items": items,
        "layout": asdict(layout) | {"factors": layout.factors.tolist()},
        "reach": None if reach is None else asdict(reach),
    }
    write_json(folder / LAYOUT, document)


def write_reach(folder: Path, reach: Reach) -> None:
    """Settle how wide a written graph is searched."""
    document = json.loads((folder / LAYOUT).read_text(encoding="utf-8"))
    write_json(folder / LAYOUT, document | {"reach": asdict(reach)})


def read_layout(
    folder: Path, candidates: Float32[np.ndarray, "items width"]
) -> tuple[Layout, Reach | None, dict[str, Any]]:
    """Read layout.json.

    Returns:
        The layout, the reach of a graph, and all of the document.

    Raises:
        ArtifactError: it can't be read, or isn't of these candidates.
    """
    path = folder / LAYOUT
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError) as error:
        raise ArtifactError(f"{path} can't be read: {error}", hint=REDO) from None
    factors = np.array(document["layout"]["factors"], np.float32)
    layout = Layout(**document["layout"] | {"factors": factors})
    found, expected = (document["items"], layout.width), (len(candidates) - 1, candidates.shape[1])
    if found != expected:
        raise ArtifactError(
            f"{folder} holds an index of other candidates",
            received="{} items of width {}".format(*found),
            allowed="{} items of width {}".format(*expected),
            hint=REDO,
        )
    reach = document["reach"]
    return layout, None if reach is None else Reach(**reach), document

"""Two trainings that should come to the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np

CLOSE = {"rtol": 2e-3, "atol": 2e-3}
"""What sums in another order may change over some steps, in float32."""


def same_arrays(found: Path, expected: Path) -> None:
    """The same arrays in the same files, but for rounding."""
    files = sorted(path.relative_to(expected) for path in expected.rglob("*.np[yz]"))
    assert files
    assert files == sorted(path.relative_to(found) for path in found.rglob("*.np[yz]"))
    for file in files:
        theirs, ours = np.load(expected / file), np.load(found / file)
        if file.suffix == ".npy":
            theirs, ours = {"": theirs}, {"": ours}
        assert list(theirs) == list(ours)
        for path in theirs:
            assert ours[path].shape == theirs[path].shape, (file, path)
            np.testing.assert_allclose(ours[path], theirs[path], **CLOSE, err_msg=f"{file} {path}")

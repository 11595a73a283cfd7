"""What the README shows of one's own log does what it says: its config and its Python, run."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import chain

README = Path(__file__).resolve().parents[2] / "README.md"

SMALL = """
[model]
width = 8
history_length = 4

[train]
global_batch_size = 64
sampled_negatives = 32
epochs = 1

[evaluate]
resamples = 20
"""


def block(language: str) -> str:
    """The first fenced block of a language."""
    found = re.search(rf"^```{language}\n(.*?)^```", README.read_text("utf-8"), re.M | re.S)
    assert found
    return found[1]


def write_plays(path: Path, rows: int = 6_000, users: int = 150, days: int = 60) -> None:
    """A log with the columns that the README's config names."""
    rng = np.random.default_rng(0)
    user = rng.integers(0, users, rows)
    source = rng.integers(0, 2, rows)
    taste = (user * 3 + source * 2) % 6
    table = pa.table(
        {
            "user_id": 1001 + user,
            "track_id": 501 + taste * 20 + rng.integers(0, 20, rows),
            "played_at": 1000 * np.sort(1_700_000_000 + rng.integers(0, days * 86_400, rows)),
            "ms_played": rng.integers(10_000, 300_000, rows),
            "source": np.array(["search", "autoplay"])[source],
        }
    )
    path.parent.mkdir(parents=True)
    pq.write_table(table, path)


def test_its_own_log_in_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_plays(tmp_path / "plays" / "2023.parquet")
    (tmp_path / "mine.toml").write_text(block("toml") + SMALL, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with chain.few_baselines():
        exec(compile(block("python"), "README.md", "exec"), {})
    figures, ids = capsys.readouterr().out.splitlines()
    assert "recall_at_100" in figures
    listed = [int(id_) for id_ in re.findall(r"\d+", ids)]
    assert len(set(listed)) == 10
    assert set(listed) <= set(range(501, 621))
    assert (tmp_path / "runs" / "mine" / "evaluation" / "report.html").is_file()

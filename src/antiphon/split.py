"""Where time is cut: training, a gap, the held-out window; validation is training's last part."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from antiphon.log_sections import SplitSection
from antiphon.schema import DAY_S

__all__ = ["Split", "boundaries", "utc"]


@dataclass(frozen=True)
class Split:
    """Windows of time, each [start, end).

    Training is everything before `train_end_s`; its last part, from `validation_start_s`, is what
    tuning is judged by. Between training and the held-out window lies a gap.
    """

    train_end_s: int
    validation_start_s: int
    held_out_start_s: int
    held_out_end_s: int
    gap_s: int


def boundaries(section: SplitSection, last_s: int) -> Split:
    """Where time is cut, given the time of the log's last event."""
    end_s = last_s + 1
    if section.test_start_s is not None:
        held_out_start_s = section.test_start_s
    else:
        held_out_start_s = end_s - round(section.test_days * DAY_S)
    gap_s = section.gap_s if held_out_start_s < end_s else 0
    train_end_s = held_out_start_s - gap_s
    validation_s = max(0, end_s - held_out_start_s)
    if section.validation_days is not None:
        validation_s = round(section.validation_days * DAY_S)
    return Split(train_end_s, train_end_s - validation_s, held_out_start_s, end_s, section.gap_s)


def utc(timestamp_s: int) -> str:
    """A time for people."""
    try:
        return datetime.fromtimestamp(timestamp_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return "the far future"

"""Axes: where a value stands between two ends, and which values are worth a tick."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Number", "Scale"]

Number = int | float

STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
PADDING = 0.04


@dataclass(frozen=True)
class Scale:
    """An axis from `low` to `high`, linear or logarithmic.

    Attributes:
        ticks: the values to name, ascending, all within the ends.
    """

    low: Number
    high: Number
    ticks: tuple[Number, ...]
    log: bool = False

    @classmethod
    def over(
        cls,
        values: Iterable[Number | None],
        *,
        zero: bool = True,
        log: bool = False,
        padded: bool = True,
        most_ticks: int = 5,
    ) -> Scale:
        """An axis that holds all values.

        Args:
            values: what will be drawn; None is passed over.
            zero: whether zero must be on a linear axis.
            log: a logarithmic axis; values must be positive, others are passed over.
            padded: whether a linear axis goes on beyond the values for a bit.
            most_ticks: as many as fit.
        """
        there = [v for v in values if v is not None and math.isfinite(v) and (v > 0 or not log)]
        if log:
            return cls._logarithmic(min(there, default=1.0), max(there, default=10.0), most_ticks)
        if zero or not there:
            there.append(0.0)
        low, high = min(there), max(there)
        if low == high:
            low, high = (0.0, 1.0) if low == 0 else (low - abs(low) / 2, low + abs(low) / 2)
        pad = PADDING * (high - low) if padded else 0.0
        ends = (low - pad if low < 0 or not zero else low), (high + pad if high > 0 else high)
        return cls(*ends, _linear_ticks(*ends, most_ticks))

    @classmethod
    def _logarithmic(cls, low: Number, high: Number, most: int) -> Scale:
        if low == high:
            low, high = low / 2, high * 2
        candidates = []
        for steps in ((1.0, 2.0, 5.0), (1.0, 3.0), (1.0,)):
            powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
            candidates = [s * 10.0**p for p in powers for s in steps if low <= s * 10.0**p <= high]
            if len(candidates) <= most:
                break
        every = math.ceil(len(candidates) / most) or 1
        return cls(low, high, tuple(candidates[::every]) or (low, high), log=True)

    def at(self, value: Number) -> float:
        """Where a value stands: 0 at the low end, 1 at the high one, not beyond."""
        low, high = self.low, self.high
        if self.log:
            value, low, high = math.log(max(value, low)), math.log(low), math.log(high)
        return min(1.0, max(0.0, (value - low) / (high - low)))

    def name(self, tick: Number) -> str:
        """A tick as text, with no more decimals than its neighbours need."""
        if abs(tick) >= 10_000:
            return f"{tick / 1000:,.0f}k"
        if self.log or len(self.ticks) < 2:
            return f"{tick:,.6g}".replace("-", "−")
        step = min(b - a for a, b in zip(self.ticks, self.ticks[1:], strict=False))
        decimals = next(d for d in range(8) if d == 7 or abs(step - round(step, d)) < step / 1e6)
        return f"{tick:,.{decimals}f}".replace("-", "−")


def _linear_ticks(low: Number, high: Number, most: int) -> tuple[Number, ...]:
    rough = (high - low) / max(most, 1)
    magnitude = 10.0 ** math.floor(math.log10(rough))
    for step in (s * magnitude for s in (*STEPS, 20.0)):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first + 1 <= most:
            return tuple(step * n for n in range(first, last + 1))
    return (low, high)

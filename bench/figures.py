"""Figures and the goals beside them. A figure is the median of its samples. Knows no database and no clock."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum


class Unit(Enum):
    """How a value is written."""

    RATIO = "{:.2f}"
    PERCENT = "{:.0%}"
    TIMES = "{:,.1f} x"
    SECONDS = "{:.2f} s"
    MEGABYTES = "{:,.0f} MB"
    COUNT = "{:,.0f}"

    def write(self, value: float) -> str:
        """The value in this unit."""
        return self.value.format(value)


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound that a figure must keep: the most that it may be, or the least."""

    limit: float
    is_least: bool = False

    def is_met(self, value: float) -> bool:
        """Whether the value is within the bound."""
        return value >= self.limit if self.is_least else value <= self.limit

    def write(self, unit: Unit) -> str:
        """The bound in a unit."""
        return f"{'>=' if self.is_least else '<='} {unit.write(self.limit)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One row of the table: what was measured, its samples, and the goal if it has one.

    ``note``: the size at which it was measured, and the absolute values behind a ratio.
    """

    name: str
    samples: Sequence[float]
    unit: Unit = Unit.RATIO
    goal: Goal | None = None
    note: str = ""

    @property
    def value(self) -> float:
        """The median."""
        return statistics.median(self.samples)

    @property
    def is_met(self) -> bool | None:
        """Whether the goal is met; ``None`` without one."""
        return None if self.goal is None else self.goal.is_met(self.value)


def ratios(ours: Iterable[float], theirs: Iterable[float]) -> list[float]:
    """The ratio of each pair. Raises ``ValueError`` if one side has more samples."""
    return [our / their for our, their in zip(ours, theirs, strict=True)]


def spread(values: Sequence[float]) -> float:
    """By how much the largest of some values is above the smallest, as a share of the smallest."""
    return max(values) / min(values) - 1

"""Figures, goals and ratios."""

from __future__ import annotations

import pytest

from bench.figures import Figure, Goal, Unit, ratios, spread


def test_figure_is_the_median() -> None:
    """One slow sample of three does not count, nor one fast one."""
    assert Figure(name="a night", samples=[9.0, 1.0, 2.0]).value == 2.0


@pytest.mark.parametrize(
    ("goal", "value", "is_met"),
    [
        (Goal(1.2), 1.2, True),
        (Goal(1.2), 1.21, False),
        (Goal(100, is_least=True), 100, True),
        (Goal(100, is_least=True), 99, False),
        (None, 5, None),
    ],
)
def test_goal(goal: Goal | None, value: float, is_met: bool | None) -> None:
    """A bound may be reached and not be passed; without a goal there is nothing to meet."""
    assert Figure(name="a night", samples=[value], goal=goal).is_met is is_met


@pytest.mark.parametrize(
    ("unit", "value", "written"),
    [
        (Unit.RATIO, 0.704, "0.70"),
        (Unit.PERCENT, 0.387, "39%"),
        (Unit.TIMES, 1234.56, "1,234.6 x"),
        (Unit.SECONDS, 4.875, "4.88 s"),
        (Unit.MEGABYTES, 143.2, "143 MB"),
    ],
)
def test_units(unit: Unit, value: float, written: str) -> None:
    """A value is written with its unit."""
    assert unit.write(value) == written


def test_goal_in_a_unit() -> None:
    """A goal is written in the unit of its figure."""
    assert Goal(0.4).write(Unit.PERCENT) == "<= 40%"
    assert Goal(100, is_least=True).write(Unit.TIMES) == ">= 100.0 x"


def test_ratios_are_of_pairs() -> None:
    """Each sample is divided by the one that was measured beside it."""
    assert ratios([2, 9], [4, 3]) == [0.5, 3]


def test_pairs_are_complete() -> None:
    """A sample without its pair is a mistake of the measure."""
    with pytest.raises(ValueError, match="shorter"):
        ratios([2, 9], [4])


def test_spread() -> None:
    """How far the slowest is above the fastest."""
    assert spread([1.1, 1.0, 1.05]) == pytest.approx(0.1)
    assert spread([3.0]) == 0

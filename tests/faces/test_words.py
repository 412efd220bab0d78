"""Sentences about numbers, assets and steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from faces.results import STEP

from refresh.faces import words
from refresh.records import Outcome, Status
from refresh.wording import counted, shown_ids


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ([], ""),
        ([7], "7"),
        ([825, 1], "825, 1"),
        (range(1, 13), "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12"),
        (range(1, 14), "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 1 more"),
        (range(1, 5013), "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 5,000 more"),
    ],
)
def test_ids(numbers: Sequence[int], text: str) -> None:
    """Twelve ids are listed and the rest is counted."""
    assert shown_ids(numbers) == text


@pytest.mark.parametrize(("number", "text"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (3518, "3,518 rows")])
def test_counted(number: int, text: str) -> None:
    """Only one is singular."""
    assert counted(number, "row") == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1 s"),
        (0.6, "1 s"),
        (40, "40 s"),
        (89, "89 s"),
        (90, "2 minutes"),
        (480, "8 minutes"),
        (5399, "90 minutes"),
        (5400, "1.5 hours"),
        (35_999, "10.0 hours"),
        (26 * 3600, "26 hours"),
    ],
)
def test_spoken(seconds: float, text: str) -> None:
    """A length of time has the unit that people would use."""
    assert words.spoken(seconds) == text


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        (0, "about 0 rows in 8 minutes"),
        (99, "about 99 rows in 8 minutes"),
        (123, "about 120 rows in 8 minutes"),
        (1_567_890, "about 1,600,000 rows in 8 minutes"),
    ],
)
def test_expected(rows: int, text: str) -> None:
    """An estimate has two digits."""
    assert words.expected(rows, 480) == text


def test_one_row_expected() -> None:
    """One row is singular."""
    assert words.expected(1, 1) == "about 1 row in 1 s"


def test_done() -> None:
    """The line of a finished asset has its rows, its seconds and its builder."""
    bars = Outcome(builder="bars.1d", id=1, status=Status.DONE, rows=245, seconds=3.21)
    emas = Outcome(builder="emas.cal", id=52, status=Status.DONE, rows=12_345, seconds=0.04)
    assert words.done(bars) == "Processing ID 1... 245 bars written (3.2s) [bars.1d]"
    assert words.done(emas) == "Processing ID 52... 12,345 EMAs written (0.0s) [emas.cal]"


def test_one_bar_done() -> None:
    """One bar is singular."""
    bar = Outcome(builder="bars.1d", id=1, status=Status.DONE, rows=1, seconds=3.21)
    assert words.done(bar) == "Processing ID 1... 1 bar written (3.2s) [bars.1d]"


def test_skipped() -> None:
    """The line of a skipped asset has its builder and the reason."""
    emas = Outcome(builder="emas.cal", id=825, status=Status.SKIPPED, reason="bars failed")
    bars = Outcome(builder="bars.multi_tf", id=825, status=Status.SKIPPED, reason="1d bars failed")
    assert words.skipped(emas) == "Skipping ID 825 EMAs (bars failed) [emas.cal]"
    assert words.skipped(bars) == "Skipping ID 825 bars (1d bars failed) [bars.multi_tf]"


def test_failed() -> None:
    """The line of a failed asset has its builder and the error."""
    outcome = Outcome(builder="bars.1d", id=825, status=Status.FAILED, error="out of range")
    assert words.failed(outcome) == "ID 825 bars.1d: failed: out of range"


def test_result() -> None:
    """The result of a step is how its assets ended, or why there were none."""
    counts = {"done": 3516, "failed": 1, "not reached": 2}
    assert words.result(replace(STEP, counts=counts)) == "3,516 done, 1 failed, 2 not reached"
    assert words.result(replace(STEP, counts={}, idle_because="no timeframe selected")) == "no timeframe selected"

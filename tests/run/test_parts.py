"""How a step is cut into parts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refresh.run.parts import ASSETS_WORTH_A_START, PARTS_PER_SLOT, ROWS_WORTH_A_START, cut
from refresh.run.plan import Task


def tasks(*rows: int) -> list[Task]:
    """Assets 1, 2, ... with these rows."""
    return [Task(id=id, reason="", rows=number) for id, number in enumerate(rows, 1)]


def shapes(*rows: int, workers: int, slots: int) -> list[int]:
    """The number of assets of each part."""
    return [len(part) for part in cut(tasks(*rows), workers=workers, slots=slots)]


@given(
    rows=st.lists(st.integers(0, 3 * ROWS_WORTH_A_START), min_size=1, max_size=300),
    workers=st.integers(1, 20),
    threads=st.integers(1, 4),
)
def test_every_asset_is_in_one_part(rows: list[int], workers: int, threads: int) -> None:
    """All assets stay, in order; no part is empty; each worker can have one, and a slot no more than four."""
    parts = cut(tasks(*rows), workers=workers, slots=workers * threads)
    assert [task for part in parts for task in part] == tasks(*rows)
    assert all(parts)
    assert min(workers, len(rows)) <= len(parts) <= max(workers, PARTS_PER_SLOT * workers * threads)


@pytest.mark.parametrize(
    ("rows", "workers", "slots", "expected"),
    [
        ([1] * 6, 2, 2, [3, 3]),
        ([1], 2, 2, [1]),
        ([0] * 5, 2, 2, [3, 2]),
        ([ROWS_WORTH_A_START] * 8, 2, 2, [1] * 8),
        ([ROWS_WORTH_A_START] * 8, 1, 1, [2] * 4),
        ([1] * (3 * ASSETS_WORTH_A_START), 1, 8, [ASSETS_WORTH_A_START] * 3),
        ([9_000, 1, 1, 1], 2, 2, [1, 3]),
        ([1, 1, 1, 9_000], 2, 2, [3, 1]),
    ],
)
def test_parts_are_worth_their_start(rows: list[int], workers: int, slots: int, expected: list[int]) -> None:
    """Each worker gets a part; more are made only of many rows or assets, and they are about equally large."""
    assert shapes(*rows, workers=workers, slots=slots) == expected


def test_no_asset_makes_no_part() -> None:
    """A step without assets is not handed out."""
    assert cut([], workers=2, slots=4) == []

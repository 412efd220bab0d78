"""The rows of ``dim_timeframe``: what each means, and what is wrong with it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from core.timeframes import valid_timeframes
from hypothesis import given, settings
from hypothesis import strategies as st

from refresh.core.timeframe import DEFAULT_TIMEFRAMES, Timeframe
from refresh.errors import DimensionError
from refresh.store.dimensions import TimeframeRow, dimension_row, timeframe_of


def row_of(tf: str, quantity: int, unit: str, days: int, alignment: str, scheme: str | None = None) -> TimeframeRow:
    """A row of ``dim_timeframe``, right or wrong."""
    return TimeframeRow(
        tf=tf,
        base_unit=unit,
        tf_qty=quantity,
        tf_days_nominal=days,
        alignment=alignment,
        calendar_scheme=scheme,
        is_enabled=True,
        sort_order=1,
    )


@settings(deadline=None)
@given(valid_timeframes(), st.integers(0, 99))
def test_a_row_becomes_its_timeframe(timeframe: Timeframe, sort_order: int) -> None:
    """The row of any valid timeframe means that timeframe."""
    row = dimension_row(timeframe, sort_order)
    assert timeframe_of(row) == timeframe
    assert (row.sort_order, row.is_enabled) == (sort_order, True)


def test_a_disabled_row_has_a_timeframe_too() -> None:
    """A row that is disabled still has its meaning. The caller decides whether it is used."""
    row = replace(dimension_row(DEFAULT_TIMEFRAMES[0], 1), is_enabled=False)
    assert timeframe_of(row) == DEFAULT_TIMEFRAMES[0]


BROKEN = [
    (row_of("9M_CAL_ANCHOR", 9, "M", 270, "anchored"), ["anchored months", "9", "1, 2, 3, 4, 6 or 12"]),
    (row_of("24M_CAL_ANCHOR", 24, "M", 720, "anchored"), ["anchored months", "24"]),
    (row_of("0D", 0, "D", 0, "rolling"), ["tf_qty", "at least 1", "0"]),
    (row_of("0M_CAL_ANCHOR", 0, "M", 0, "anchored"), ["tf_qty", "at least 1"]),
    (row_of("-1D", -1, "D", -1, "rolling"), ["tf_qty", "at least 1", "-1"]),
    (row_of("5D_CAL", 5, "D", 5, "aligned"), ["rolling timeframes count days"]),
    (row_of("1W_US", 1, "W", 7, "rolling", "US"), ["rolling timeframes count days"]),
    (row_of("1W_CAL", 1, "W", 7, "aligned"), ["calendar_scheme", "US or ISO"]),
    (row_of("1M_CAL_US", 1, "M", 30, "aligned", "US"), ["calendar_scheme"]),
    (row_of("7D_US", 7, "D", 7, "rolling", "US"), ["calendar_scheme"]),
    (row_of("1Q_CAL", 1, "Q", 90, "aligned"), ["'Q'"]),
    (row_of("1M_CAL", 1, "M", 30, "sliding"), ["'sliding'"]),
    (row_of("1W_CAL_UK", 1, "W", 7, "aligned", "UK"), ["'UK'"]),
    (row_of("7d", 7, "D", 7, "rolling"), ["tf is '7d'", "'7D'"]),
    (row_of("1Y_CAL", 1, "Y", 366, "aligned"), ["tf_days_nominal", "366", "365"]),
]


@pytest.mark.parametrize(("row", "facts"), BROKEN, ids=[row.tf for row, _ in BROKEN])
def test_a_broken_row_is_refused(row: TimeframeRow, facts: list[str]) -> None:
    """A row that breaks a rule is an error that names the row, what is wrong, and the way out."""
    with pytest.raises(DimensionError) as caught:
        timeframe_of(row)
    message = str(caught.value)
    assert message.startswith(f"dim_timeframe row {row.tf!r}: ")
    assert message.endswith("; correct or delete the row")
    assert [fact for fact in facts if fact not in message] == []


@pytest.mark.parametrize(
    ("row", "value"),
    [
        (row_of("three quarters", 9, "M", 270, "anchored"), "9"),
        (row_of("1M_CAL", 1, "M", 30, "aligned", "US"), "US"),
        (row_of("1M_CAL", 0, "M", 30, "aligned"), "0"),
    ],
    ids=["label of its own", "scheme too many", "quantity 0"],
)
def test_a_broken_row_is_named_as_the_table_spells_it(row: TimeframeRow, value: str) -> None:
    """The message names the row by its key, whatever its label should have been, and then the wrong value."""
    with pytest.raises(DimensionError) as caught:
        timeframe_of(row)
    name, _, fault = str(caught.value).partition(": ")
    assert name == f"dim_timeframe row {row.tf!r}"
    assert value in fault


@pytest.mark.parametrize("column", ["tf", "base_unit", "alignment", "calendar_scheme"])
def test_a_long_text_is_not_repeated(column: str) -> None:
    """A text of thousands of characters is repeated as far as it helps to find the row."""
    changes: dict[str, Any] = {column: "x" * 5_000}
    row = replace(dimension_row(DEFAULT_TIMEFRAMES[0], 1), **changes)
    with pytest.raises(DimensionError) as caught:
        timeframe_of(row)
    assert len(str(caught.value)) < 400

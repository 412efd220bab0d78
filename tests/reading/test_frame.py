"""A frame by itself: what it shows, and what it becomes in other libraries."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from refresh.errors import MissingPackageError
from refresh.reading.frame import Frame

NAT = np.datetime64("NaT")
COLUMNS: dict[str, Any] = {
    "id": np.array([1, 52, 825], np.int32),
    "timestamp": np.array(["2024-01-31T23:59:59.999", "2024-02-29", NAT], "M8[us]"),
    "close": np.array([1.5, np.nan, -0.25]),
    "day": np.array(["2024-01-31", NAT, "2024-03-31"], "M8[D]"),
    "lag": np.array([0, 90_000_000, "NaT"], "m8[us]"),
    "rows": np.ma.MaskedArray([7, 0, 9], [False, True, False], np.int64),
    "exit_code": np.ma.MaskedArray([0, 1, 0], [False, False, True], np.int32),
    "is_open": np.array([True, False, True]),
    "why": np.array(["late", None, ""], object),
}
FRAME = Frame(COLUMNS, "made_up", "7D")
PICTURE = """\
3 rows of made_up 7D
 id                timestamp  close         day      lag  rows  exit_code  is_open   why
  1  2024-01-31 23:59:59.999    1.5  2024-01-31  0:00:00     7          0     True  late
 52               2024-02-29    NaN         NaT  0:01:30  None          1    False  None
825                      NaT  -0.25  2024-03-31     None     9       None     True"""
LIBRARIES = {"pandas": Frame.to_pandas, "polars": Frame.to_polars, "pyarrow": Frame.to_arrow}


def test_picture() -> None:
    """Every value in its column, under the name of the column."""
    assert [line.rstrip() for line in repr(FRAME).splitlines()] == PICTURE.splitlines()


def test_picture_of_many_rows_and_columns() -> None:
    """The first and the last rows, as many columns as fit a line, and the names of the others."""
    frame = Frame({f"column_{number}": np.arange(1234) for number in range(12)}, "made_up")
    first, header, *rows, last = repr(frame).splitlines()
    assert first == "1,234 rows of made_up"
    assert header.split() == [f"column_{number}" for number in range(10)]
    assert [row.split()[0] for row in rows] == ["0", "1", "2", "3", "4", "...", "1229", "1230", "1231", "1232", "1233"]
    assert last == "and 2 columns more: column_10, column_11"
    assert max(map(len, repr(frame).splitlines())) <= 100


def test_picture_of_no_rows() -> None:
    """The columns alone."""
    assert repr(Frame({"id": np.empty(0, np.int32), "close": np.empty(0)}, "empty")) == "0 rows of empty\nid, close"


def test_picture_of_evil_and_long_texts() -> None:
    """A text stays in its line, whatever it contains, and is cut."""
    frame = Frame({"why": np.array(["a\x1b[2J\n" + "x" * 99], object)}, "texts")
    assert repr(frame).splitlines()[2] == "a\\x1b[2J\\x0a" + "x" * 25 + "..."


def test_columns_by_name() -> None:
    """A frame is asked like a mapping, and counts rows."""
    assert len(FRAME) == 3
    assert FRAME["close"] is COLUMNS["close"]
    assert ("close" in FRAME, "clothes" in FRAME) == (True, False)
    assert list(dict(FRAME)) == list(FRAME) == list(COLUMNS)
    with pytest.raises(KeyError, match="no column 'clothes'; nearest: close"):
        FRAME["clothes"]


def test_pandas() -> None:
    """Types and NULLs of pandas, the zone of times included."""
    frame = FRAME.to_pandas()
    types = {name: str(dtype) for name, dtype in frame.dtypes.items()}
    assert types == {
        "id": "int32",
        "timestamp": "datetime64[us, UTC]",
        "close": "float64",
        "day": "datetime64[s]",
        "lag": "timedelta64[us]",
        "rows": "Int64",
        "exit_code": "Int32",
        "is_open": "bool",
        "why": "str",
    }
    assert frame.isna().sum().to_dict() == dict.fromkeys(COLUMNS, 1) | {"id": 0, "is_open": 0}
    assert frame.loc[0, "timestamp"].isoformat() == "2024-01-31T23:59:59.999000+00:00"
    assert frame["rows"].dropna().tolist() == [7, 9]


def test_polars() -> None:
    """Types and nulls of polars."""
    frame = FRAME.to_polars()
    assert {name: str(dtype) for name, dtype in frame.schema.items()} == {
        "id": "Int32",
        "timestamp": "Datetime(time_unit='us', time_zone='UTC')",
        "close": "Float64",
        "day": "Date",
        "lag": "Duration(time_unit='us')",
        "rows": "Int64",
        "exit_code": "Int32",
        "is_open": "Boolean",
        "why": "String",
    }
    assert frame.null_count().row(0, named=True) == dict.fromkeys(COLUMNS, 1) | {"id": 0, "is_open": 0}
    assert frame["timestamp"][0].isoformat() == "2024-01-31T23:59:59.999000+00:00"
    assert frame["close"].to_list() == [1.5, None, -0.25]


def test_arrow() -> None:
    """Types and nulls of Arrow."""
    table = FRAME.to_arrow()
    assert {field.name: str(field.type) for field in table.schema} == {
        "id": "int32",
        "timestamp": "timestamp[us, tz=UTC]",
        "close": "double",
        "day": "date32[day]",
        "lag": "duration[us]",
        "rows": "int64",
        "exit_code": "int32",
        "is_open": "bool",
        "why": "string",
    }
    nulls = {name: table[name].null_count for name in table.column_names}
    assert nulls == dict.fromkeys(COLUMNS, 1) | {"id": 0, "is_open": 0}
    assert table["rows"].to_pylist() == [7, None, 9]


@pytest.mark.parametrize("name", LIBRARIES)
def test_no_rows_elsewhere(name: str) -> None:
    """A frame without rows keeps its columns."""
    empty = Frame({column: values[:0] for column, values in COLUMNS.items()}, "empty")
    converted = LIBRARIES[name](empty)
    assert converted.shape == (0, len(COLUMNS))


@pytest.mark.parametrize("name", LIBRARIES)
def test_library_that_is_missing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the package to install."""
    monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    with pytest.raises(MissingPackageError, match=f"{name} is not installed here: python -m pip install {name}; "):
        LIBRARIES[name](FRAME)

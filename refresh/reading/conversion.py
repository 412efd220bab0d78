"""Columns become tables of other libraries, each of which is loaded only when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np

from refresh.core.rows import TIME, Array
from refresh.errors import MissingPackageError

Columns = Mapping[str, Array]
ZONE = "UTC"


def to_pandas(columns: Columns) -> Any:
    """A ``DataFrame`` of pandas."""
    pandas = _library("pandas")
    converted = {name: _for_pandas(pandas, column) for name, column in columns.items()}
    return pandas.DataFrame(converted, copy=False)


def _for_pandas(pandas: Any, column: Array) -> Any:
    if isinstance(column, np.ma.MaskedArray):
        return pandas.arrays.IntegerArray(np.ma.getdata(column), np.ma.getmaskarray(column))
    if column.dtype == TIME:
        return pandas.DatetimeIndex(column).tz_localize(ZONE)
    return column


def to_polars(columns: Columns) -> Any:
    """A ``DataFrame`` of polars."""
    polars = _library("polars")
    return polars.DataFrame([_for_polars(polars, name, column) for name, column in columns.items()])


def _for_polars(polars: Any, name: str, column: Array) -> Any:
    if isinstance(column, np.ma.MaskedArray):
        return polars.Series(name, column.tolist(), getattr(polars, column.dtype.name.capitalize()))
    if column.dtype == TIME:
        return polars.Series(name, column).dt.replace_time_zone(ZONE)
    if column.dtype == object:
        return polars.Series(name, column.tolist(), polars.String)
    return polars.Series(name, column, nan_to_null=True)


def to_arrow(columns: Columns) -> Any:
    """A ``Table`` of Arrow."""
    arrow = _library("pyarrow")
    return arrow.table({name: _for_arrow(arrow, column) for name, column in columns.items()})


def _for_arrow(arrow: Any, column: Array) -> Any:
    if isinstance(column, np.ma.MaskedArray):
        return arrow.array(np.ma.getdata(column), mask=np.ma.getmaskarray(column))
    if column.dtype == TIME:
        return arrow.array(column, arrow.timestamp("us", ZONE))
    if column.dtype == object:
        return arrow.array(column, arrow.string())
    return arrow.array(column, from_pandas=True)


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise MissingPackageError(
            f"the package {name} is not installed here: python -m pip install {name}; the columns are numpy arrays "
            "without it"
        ) from None

"""What readers write for assets, periods, columns and times, as values. Knows no database."""

from __future__ import annotations

import operator
from argparse import ArgumentTypeError
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, SupportsIndex
from zoneinfo import ZoneInfo

import numpy as np

from refresh.errors import UsageError
from refresh.options.values import IDS, SPAN
from refresh.wording import listed, nearest, nearest_numbers

Assets = SupportsIndex | str | Iterable[SupportsIndex | str] | None
"""Some assets by id or symbol; ``None``: all."""
Periods = SupportsIndex | Iterable[SupportsIndex] | None
Time = date | np.datetime64 | str | None
"""A day or a moment (a ``datetime`` is a ``date`` too); ``None``: no bound."""
_DAY_UNITS = {"D", "W", "M", "Y"}
_MOMENT = timedelta(microseconds=1)
"""The least time between two times of the database."""


def asset_names(assets: Assets) -> list[int | str] | None:
    """The ids and symbols that are named, each once; ``None``: all. A text is read as ``--ids`` reads it."""
    if assets is None:
        return None
    names: list[int | str] = []
    for item in _items(assets):
        if isinstance(item, str):
            if not item.strip():
                raise UsageError(f"assets {item!r}: neither an id nor a symbol; say None for all assets")
            read = _read(IDS.read, "assets", item)
            if read is None:
                return None
            names += read
        else:
            names.append(_whole("assets", item))
    return list(dict.fromkeys(names))


def numbers(periods: Periods) -> list[int] | None:
    """The periods that are named; ``None``: all."""
    return None if periods is None else [_whole("periods", item) for item in _items(periods)]


def names(columns: str | Iterable[str] | None) -> list[str] | None:
    """The columns that are named; ``None``: all."""
    return None if columns is None else _items(columns)


def chosen_periods(periods: Sequence[int] | None, enabled: Sequence[int]) -> list[int]:
    """The periods that are named; ``None``: all that are enabled. Raises ``UsageError`` with the nearest ones."""
    if periods is None:
        return list(enabled)
    for period in periods:
        if period not in enabled:
            close = nearest_numbers(period, enabled, none="none is enabled")
            raise UsageError(f"periods {period}: no such period in dim_period; {close}")
    return sorted(set(periods))


def chosen_columns(wanted: Sequence[str], offered: Sequence[str], key: Collection[str]) -> list[str]:
    """The key and the columns that are named, in the table's order. Raises ``UsageError`` with the nearest ones."""
    for name in wanted:
        if name not in offered:
            raise UsageError(f"columns {name!r}: no such column; {nearest(str(name), offered)}")
    return [name for name in offered if name in key or name in wanted]


def lower_bound(since: Time, zone: str) -> datetime | None:
    """The first time from ``since`` on; a day begins at midnight in a time zone."""
    return _bound("since", since, zone, timedelta(0), timedelta(0))


def upper_bound(until: Time, zone: str) -> datetime | None:
    """The first time that is after ``until``: after a day, or after a moment."""
    return _bound("until", until, zone, timedelta(days=1), _MOMENT)


def _bound(name: str, value: Time, zone: str, after_day: timedelta, after_moment: timedelta) -> datetime | None:
    read = None if value is None else _day_or_moment(name, value)
    try:
        if isinstance(read, datetime):
            return (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC) + after_moment
        if isinstance(read, date):
            return datetime.combine(read + after_day, time(), ZoneInfo(zone)).astimezone(UTC)
    except OverflowError:
        raise UsageError(f"{name} {value}: outside of the years 1 to 9999; leave it out") from None
    return None


def _day_or_moment(name: str, value: Any) -> date | None:
    """A ``date`` for a day, a ``datetime`` for a moment, ``None`` for NaT."""
    if isinstance(value, np.datetime64):
        unit = "D" if np.datetime_data(value.dtype)[0] in _DAY_UNITS else "us"
        value = value.astype(f"M8[{unit}]").item()
    if isinstance(value, str):
        value = _read(_read_time, name, value)
    if value is None:
        return None
    if isinstance(value, date):
        return value
    raise UsageError(f"{name} {value!r}: neither a day nor a time; write it as '2024-01-31' or as a datetime")


def _read_time(text: str) -> date:
    for read in (date.fromisoformat, datetime.fromisoformat):
        try:
            return read(text)
        except ValueError:
            continue
    raise ArgumentTypeError(f"{text!r} is neither a day such as 2024-01-31 nor a time such as 2024-01-31T16:00")


def length_of_time(name: str, value: timedelta | str) -> timedelta:
    """A ``timedelta``, or a text such as ``26h``."""
    if isinstance(value, timedelta):
        return value
    length: timedelta = _read(SPAN.read, name, value)
    return length


def whole_number(name: str, value: SupportsIndex) -> int:
    """A number that counts something."""
    number = _whole(name, value)
    if number < 0:
        raise UsageError(f"{name} {number}: less than 0; say how many, or None for all")
    return number


def check_ids(ids: Sequence[int], built: Sequence[int]) -> None:
    """Raise ``UsageError`` if some assets have no daily bars, with the nearest that have."""
    unknown = sorted(set(ids).difference(built))
    if unknown:
        close = nearest_numbers(unknown[0], built, none="no asset has; run a refresh first")
        raise UsageError(f"assets {listed(unknown)}: without daily bars; {close}")


def _items(value: Any) -> list[Any]:
    """The items of a list, of an array or of another iterable; one item by itself is a list of one."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        return [value]
    return list(value)


def _whole(name: str, item: Any) -> int:
    try:
        return operator.index(item)
    except TypeError:
        raise UsageError(f"{name} {item!r}: not a whole number") from None


def _read(read: Any, name: str, text: str) -> Any:
    try:
        return read(text)
    except ArgumentTypeError as error:
        raise UsageError(f"{name}: {error}") from None

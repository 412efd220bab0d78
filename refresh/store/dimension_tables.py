"""The tables that a user edits: timeframes, periods and assets. And the calendars of markets, to which assets refer."""

from __future__ import annotations

from sqlalchemy import MetaData

from refresh.shapes import columns
from refresh.store.declaration import declared_table

ASSETS, CALENDARS = "dim_asset", "refresh_calendars"

_TIMEFRAMES = """
    tf base_unit: text
    tf_qty tf_days_nominal: int4
    alignment: text
    calendar_scheme: text null
    is_enabled: enabled
    sort_order: int4
"""
_PERIODS = """
    period: int4
    is_enabled: enabled
    sort_order: int4
"""
_ASSETS = """
    id: int4
    symbol name: text null
    calendar: calendar
"""
_CALENDARS = """
    calendar market release: text
    week: int4
    closed opened: int4[]
"""


def declare_dimensions(metadata: MetaData) -> None:
    """Declare them. A calendar of a market never changes: other sessions have another name."""
    declared_table(metadata, "dim_timeframe", columns(_TIMEFRAMES), ("tf",))
    declared_table(metadata, "dim_period", columns(_PERIODS), ("period",))
    declared_table(metadata, ASSETS, columns(_ASSETS), ("id",))
    declared_table(metadata, CALENDARS, columns(_CALENDARS), ("calendar",))

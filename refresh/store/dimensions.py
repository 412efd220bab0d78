"""Timeframes and periods as the user keeps them, and the table that shows every alpha in use."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, text

from refresh.core.series import Dimensions, Series
from refresh.core.timeframe import Dimension, parse
from refresh.errors import DimensionError


def read_dimensions(connection: Connection) -> Dimensions:
    """The enabled timeframes and periods. Raises ``DimensionError`` naming a row that breaks the rules."""
    columns = "tf, base_unit, coalesce(tf_qty, 0), tf_days_nominal, alignment, calendar_scheme, is_enabled, sort_order"
    rows = connection.execute(text(f"SELECT {columns} FROM dim_timeframe ORDER BY sort_order, tf")).all()
    timeframes = [(parse(Dimension(*row)), row.is_enabled) for row in rows]
    periods = connection.execute(text("SELECT period, is_enabled FROM dim_period ORDER BY sort_order, period")).all()
    for row in periods:
        if row.period < 1:
            raise DimensionError(f"dim_period row {row.period}: a period is at least 1 bar; correct or delete the row")
    return Dimensions(
        tuple(timeframe for timeframe, enabled in timeframes if enabled),
        tuple(row.period for row in periods if row.is_enabled),
    )


def save_alphas(connection: Connection, series: Sequence[Series], alphas: Sequence[tuple[float, float, float]]) -> None:
    """Show the smoothing factors (bar, daily horizon, daily equivalent) of some series in ``ema_alpha_lookup``."""
    columns = {
        "tfs": [one.timeframe.tf for one in series],
        "periods": [one.period for one in series],
        "days": [one.timeframe.days_nominal for one in series],
        "bar": [bar for bar, _, _ in alphas],
        "horizon": [horizon for _, horizon, _ in alphas],
        "equivalent": [equivalent for _, _, equivalent in alphas],
    }
    connection.execute(
        text("""
            INSERT INTO ema_alpha_lookup (
                tf, period, tf_days, effective_days, alpha_bar, alpha_daily_horizon, alpha_daily_equivalent)
            SELECT tf, period, days, days * period, bar, horizon, equivalent
            FROM unnest(CAST(:tfs AS text[]), CAST(:periods AS int[]), CAST(:days AS int[]), CAST(:bar AS float8[]),
                        CAST(:horizon AS float8[]), CAST(:equivalent AS float8[]))
                AS u(tf, period, days, bar, horizon, equivalent)
            ON CONFLICT (tf, period) DO NOTHING
        """),
        columns,
    )

"""Timeframes and periods as the user keeps them, and the table that shows every alpha in use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from operator import attrgetter

from sqlalchemy import Connection, text
from sqlalchemy.dialects.postgresql import insert

from refresh.core.series import Dimensions, Series
from refresh.core.timeframe import DEFAULT_PERIODS, DEFAULT_TIMEFRAMES, Timeframe, Unit, broken_rule
from refresh.errors import DimensionError
from refresh.families import Alignment, Scheme
from refresh.store.tables import METADATA
from refresh.wording import listed, quoted

_WAY_OUT = "correct or delete the row"
_MAY_BE_NULL = {"tf_qty", "calendar_scheme"}
_LONGEST = 1_000_000
"""Days of a timeframe, and bars of a period."""
_LONGEST_TEXT = 40
_MOST_DAYS = 2**31 - 1
"""The days of a series, its bars times those of a bar: a number of four bytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TimeframeRow:
    """One row of ``dim_timeframe`` as the table spells it."""

    tf: str
    base_unit: str
    tf_qty: int | None
    tf_days_nominal: int
    alignment: str
    calendar_scheme: str | None
    is_enabled: bool
    sort_order: int


def dimension_row(timeframe: Timeframe, sort_order: int) -> TimeframeRow:
    """The ``dim_timeframe`` row of a timeframe."""
    return TimeframeRow(
        tf=timeframe.tf,
        base_unit=timeframe.unit.value,
        tf_qty=timeframe.quantity,
        tf_days_nominal=timeframe.days_nominal,
        alignment=timeframe.alignment.value,
        calendar_scheme=timeframe.scheme and timeframe.scheme.value,
        is_enabled=True,
        sort_order=sort_order,
    )


_DEFAULT_ROWS = [dimension_row(timeframe, order) for order, timeframe in enumerate(DEFAULT_TIMEFRAMES, 1)]
DEFAULT_TIMEFRAME_ROWS = [asdict(row) for row in _DEFAULT_ROWS]
DEFAULT_PERIOD_ROWS = [
    {"period": period, "is_enabled": True, "sort_order": order} for order, period in enumerate(DEFAULT_PERIODS, 1)
]
"""What a run inserts where a row is absent."""


def read_dimensions(connection: Connection) -> Dimensions:
    """The enabled timeframes and periods. A default row that is absent counts as if a run had inserted it.

    Raises ``DimensionError`` naming a row that breaks the rules.
    """
    timeframes, periods = _timeframes(connection), _periods(connection)
    longest = max(timeframes, key=attrgetter("days_nominal"), default=None)
    if longest and periods and longest.days_nominal * max(periods) > _MOST_DAYS:
        raise DimensionError(
            f"dim_timeframe row {longest.tf!r} and dim_period row {max(periods)}: {longest.days_nominal:,} days times "
            f"{max(periods):,} are more than {_MOST_DAYS:,}; disable or delete one of them"
        )
    return Dimensions(timeframes, periods)


def _timeframes(connection: Connection) -> tuple[Timeframe, ...]:
    columns = listed(field.name for field in fields(TimeframeRow))
    query = text(f"SELECT {columns} FROM dim_timeframe")
    stored = [TimeframeRow(**row) for row in connection.execute(query).mappings()]
    labels = {row.tf for row in stored}
    rows = stored + [row for row in _DEFAULT_ROWS if row.tf not in labels]
    timeframes = [(timeframe_of(row), row) for row in rows]
    timeframes.sort(key=lambda pair: (pair[1].sort_order, pair[1].tf))
    return tuple(timeframe for timeframe, row in timeframes if row.is_enabled)


def _periods(connection: Connection) -> tuple[int, ...]:
    query = text("SELECT period, is_enabled, sort_order FROM dim_period")
    rows = {row["period"]: row for row in DEFAULT_PERIOD_ROWS}
    rows |= {row["period"]: dict(row) for row in connection.execute(query).mappings()}
    for period, row in rows.items():
        if not 1 <= period <= _LONGEST:
            limits = f"a period is at least 1 bar and at most {_LONGEST:,}"
            raise DimensionError(f"dim_period row {period}: {limits}; {_WAY_OUT}")
        _refuse_null(f"dim_period row {period}", row)
    enabled = [row for row in rows.values() if row["is_enabled"]]
    enabled.sort(key=lambda row: (row["sort_order"], row["period"]))
    return tuple(row["period"] for row in enabled)


def _refuse_null(name: str, row: Mapping[str, object]) -> None:
    absent = [column for column, value in row.items() if value is None and column not in _MAY_BE_NULL]
    if absent:
        raise DimensionError(f"{name}: {absent[0]} is NULL; {_WAY_OUT}")


def timeframe_of(row: TimeframeRow) -> Timeframe:
    """The timeframe of a ``dim_timeframe`` row. Raises ``DimensionError`` naming the row, its value and the way out."""
    name = f"dim_timeframe row {quoted(row.tf)}"
    _refuse_null(name, asdict(row))
    if row.tf_days_nominal > _LONGEST:
        raise DimensionError(f"{name}: tf_days_nominal is {row.tf_days_nominal:,}, more than {_LONGEST:,}; {_WAY_OUT}")
    try:
        scheme = None if row.calendar_scheme is None else Scheme(_short(row.calendar_scheme))
        unit, alignment = Unit(_short(row.base_unit)), Alignment(_short(row.alignment))
        timeframe = Timeframe(row.tf_qty or 0, unit, alignment, scheme)
    except ValueError as error:
        raise DimensionError(f"{name}: {error}; {_WAY_OUT}") from error
    if rule := broken_rule(timeframe):
        raise DimensionError(f"{name}: {rule}; {_WAY_OUT}")
    implied = {"tf": timeframe.tf, "tf_days_nominal": timeframe.days_nominal}
    for column, expected in implied.items():
        stored = getattr(row, column)
        if stored != expected:
            shown = stored if isinstance(stored, int) else _short(stored)
            raise DimensionError(
                f"{name}: {column} is {shown!r} but its unit, quantity, alignment and scheme say {expected!r}; "
                f"{_WAY_OUT}"
            )
    return timeframe


def _short(text: str) -> str:
    """A text that is no longer than a message may repeat."""
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}..."


def save_alphas(connection: Connection, series: Sequence[Series], alphas: Sequence[tuple[float, float, float]]) -> None:
    """Show the smoothing factors (bar, daily horizon, daily equivalent) of some series in ``ema_alpha_lookup``."""
    rows = []
    for member, (bar, horizon, equivalent) in zip(series, alphas, strict=True):
        days = member.timeframe.days_nominal
        rows.append(
            {
                "tf": member.timeframe.tf,
                "period": member.period,
                "tf_days": days,
                "effective_days": days * member.period,
                "alpha_bar": bar,
                "alpha_daily_horizon": horizon,
                "alpha_daily_equivalent": equivalent,
            }
        )
    if rows:
        connection.execute(insert(METADATA.tables["ema_alpha_lookup"]).on_conflict_do_nothing(), rows)

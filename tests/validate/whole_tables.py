"""Whole tables of three assets, how tests spoil them, and what a validation then finds without recomputing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from refreshing import NOW, open_scopes
from sqlalchemy import Connection, Engine, text

from refresh.catalog import BUILDERS, DAILY, SOURCE, BuilderConfig
from refresh.due import survey
from refresh.options.request import Request
from refresh.store.tables import TARGET_TABLES
from refresh.validate.finding import Finding, Validity
from refresh.validate.validation import validate
from refresh.validate.whole import check_tables

IDS = (1, 2, 3)
TODAY = date(2030, 1, 1)
MIDDLE = "2024-02-20 23:59:59.999Z"
TFS = ["2D", "7D", "1W_CAL_US", "1W_CAL_ISO", "1M_CAL", "1W_CAL_ANCHOR_US", "1W_CAL_ANCHOR_ISO", "1M_CAL_ANCHOR"]
PERIODS = [1, 2, 3]
FILL = f"""
    INSERT INTO {SOURCE} (id, "timestamp", timeopen, timeclose, open, high, low, close, volume)
    SELECT :asset, close_time, close_time - interval '1 day - 1 ms', close_time, value, value + 7, value - 7,
           value + sin(n), 1000
    FROM generate_series(CAST(:first AS timestamptz), CAST(:last AS timestamptz), interval '1 day')
         WITH ORDINALITY AS day(midnight, n)
    CROSS JOIN LATERAL (SELECT midnight + interval '1 day - 1 ms' AS close_time,
                               50 + 20 * cos(n / 9.0) AS value) AS price
    WHERE n NOT IN (19, 20, 33, 47)
"""
SERIES = [leg for builder in BUILDERS for leg in builder.legs if leg.shape.has_timeframes]
BARS = [leg.target for leg in SERIES if not leg.averages]
EMAS = [leg.target for leg in SERIES if leg.averages]

Target = Engine | Connection
Series = tuple[int, str | None, int | None]
"""Asset, timeframe and period, as a finding names them."""


def fill(engine: Engine, asset: int, first: str, last: str) -> None:
    """Days of an asset, except a few of them."""
    execute(engine, FILL, asset=asset, first=first, last=last)


def execute(target: Target, statement: str, **values: Any) -> int:
    """Run a statement in a given transaction or in its own. Returns the number of its rows."""
    if isinstance(target, Connection):
        return target.execute(text(statement), values).rowcount
    with target.begin() as connection:
        return connection.execute(text(statement), values).rowcount


def ask(target: Target, query: str) -> Any:
    """The only value of a query."""
    if isinstance(target, Connection):
        return target.execute(text(query)).scalar_one()
    with target.connect() as connection:
        return connection.execute(text(query)).scalar_one()


def judge(
    engine: Engine, request: Request | None = None, *, ids: Sequence[int] | None = None, number: int = 0
) -> Validity:
    """A validation that recomputes only ``number`` assets."""
    if ids is None:
        ids = ask(engine, f"SELECT array_agg(DISTINCT id ORDER BY id) FROM {SOURCE}")
    return validate(engine, open_scopes(engine, request), ids, number, TODAY)


def checked(session: Connection, builders: Sequence[BuilderConfig] = BUILDERS) -> list[Finding]:
    """What is wrong in the tables of some builders, in one pass over each."""
    return check_tables(session, survey.open_scopes(session, builders, Request().selection, NOW), IDS)


def findings(session: Connection, table: str) -> list[Finding]:
    """What is wrong in a table."""
    builders = [builder for builder in BUILDERS if table in {leg.target for leg in builder.legs}]
    return [finding for finding in checked(session, builders) if finding.table == table]


def time_of(table: str) -> str:
    """The column that holds the time of a table's rows."""
    return '"timestamp"' if "timestamp" in TARGET_TABLES[table].columns else "ts"


def enable_few(engine: Engine) -> None:
    """Enable some timeframes of every family and short periods alone."""
    execute(engine, "UPDATE dim_timeframe SET is_enabled = tf = ANY(:tfs)", tfs=TFS)
    execute(engine, "UPDATE dim_period SET is_enabled = false")
    execute(engine, "INSERT INTO dim_period SELECT unnest(CAST(:periods AS int[])), true, 0", periods=PERIODS)


def copy(target: Target, table: str, condition: str, **changes: str) -> None:
    """Add a row that differs from the only row for which the condition holds."""
    names = [f'"{column.name}"' for column in TARGET_TABLES[table].columns]
    values = ", ".join(changes.get(name.strip('"'), name) for name in names)
    insert = f"INSERT INTO {table} ({', '.join(names)}) SELECT {values} FROM {table} WHERE {condition}"
    assert execute(target, insert) == 1


def middle_row(table: str) -> str:
    """A condition that picks a row of asset 1 in the middle of a series."""
    series = "" if table == DAILY else f"AND tf = (SELECT max(tf) FROM {table} WHERE id = 1)"
    period = "AND period = 2" if table in EMAS else ""
    return f"id = 1 AND {time_of(table)} = '{MIDDLE}' {series} {period}"


def series_of(target: Target, table: str) -> Series:
    """How a finding names the series of that row."""
    if table == DAILY:
        return 1, None, None
    return 1, ask(target, f"SELECT max(tf) FROM {table} WHERE id = 1"), 2 if table in EMAS else None


def named(findings: Sequence[Finding]) -> list[Series]:
    """The series that the findings name."""
    return [(finding.id, finding.tf, finding.period) for finding in findings]

"""Every table, once: its columns, keys and indexes. docs/tables.md says what they mean."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Date,
    DateTime,
    Double,
    Index,
    Integer,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy import Column as SqlColumn
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.schema import SchemaItem
from sqlalchemy.types import TypeEngine

from refresh.catalog import DAILY, SOURCE, Column, Leg, Shape, columns, legs

METADATA = MetaData()
LEDGER = "refresh_restatements"
RUNS, STEPS, OUTCOMES = "refresh_runs", "refresh_steps", "refresh_outcomes"
SETTINGS = "refresh_settings"
REJECTS = f"{DAILY}_rejects"
MONTHS = f"{DAILY}_source_months"
DAILY_STATE = f"{DAILY}_state"

_TEXT = Text(collation="C")  # ICU collations cost half the speed of a load
_TYPES: dict[str, TypeEngine[Any]] = {
    "int4": Integer(),
    "int8": BigInteger(),
    "float8": Double(),
    "bool": Boolean(),
    "text": _TEXT,
    "date": Date(),
    "numeric": Numeric(),
    "timestamptz": DateTime(timezone=True),
    "written": DateTime(timezone=True),
    "enabled": Boolean(),
    "int4[]": ARRAY(Integer),
    "text[]": ARRAY(Text),
    "jsonb": JSONB(),
}
"""PostgreSQL's types, and two that have a default: ``written`` is the time of writing, ``enabled`` is true."""
_DEFAULTS: dict[str, Any] = {"written": func.now(), "enabled": text("true")}


def _column(column: Column) -> SqlColumn[Any]:
    return SqlColumn(
        column.name,
        _TYPES[column.type],
        nullable=column.nullable,
        server_default=_DEFAULTS.get(column.type),
        autoincrement=False,
    )


def _table(name: str, declared: str | tuple[Column, ...], key: str, *extras: SchemaItem) -> Table:
    """Declare a table. ``key``: the columns of its primary key, with spaces between; "" for none."""
    if isinstance(declared, str):
        declared = columns(declared)
    keys = [PrimaryKeyConstraint(*key.split())] if key else []
    return Table(name, METADATA, *map(_column, declared), *keys, *extras)


def _target(leg: Leg) -> None:
    """The table that a leg writes, in the shape that the catalogue gives it."""
    shape = leg.shape
    extras: list[SchemaItem] = []
    if shape.unique:
        extras.append(UniqueConstraint(*shape.unique))
    if shape.closed:
        closed = text("NOT is_partial_end")
        extras.append(Index(f"{leg.target}_canonical", *shape.closed, postgresql_where=closed))
    _table(leg.target, shape.columns, " ".join(shape.key), *extras)


def _series_state(name: str, shape: Shape) -> None:
    """How far each series has come: every daily bar up to ``seen_ts``, except what lies at or after ``dirty_from``.

    ``last_ts`` is the last row of the series: ``seen_ts``, or NULL while the series is not defined yet.
    """
    periods = "periods: int4[]" if shape.has_periods else ""
    sums = "close_sum: float8" if shape.has_periods else ""
    key = "id tf periods" if shape.has_periods else "id tf"
    _table(
        name,
        f"""
        id: int4
        tf: text
        {periods}
        seen_ts last_ts dirty_from: timestamptz null
        {sums}
        updated_at: written
        """,
        key,
    )


_SOURCE_COLUMNS = """
    id: int4
    name: text null
    timeopen timeclose timehigh timelow: timestamptz null
    open high low close volume marketcap circulatingsupply: float8 null
    timestamp: timestamptz
    source_file: text null
    load_ts: timestamptz null
"""


def source_table(metadata: MetaData) -> Table:
    """The user's prices. Ours only on an embedded database, where the loader creates it."""
    return Table(SOURCE, metadata, *map(_column, columns(_SOURCE_COLUMNS)), PrimaryKeyConstraint("id", "timestamp"))


def _dimension_tables() -> None:
    _table(
        "dim_timeframe",
        """
        tf base_unit: text
        tf_qty tf_days_nominal: int4
        alignment: text
        calendar_scheme: text null
        is_enabled: enabled
        sort_order: int4
        """,
        "tf",
    )
    _table(
        "dim_period",
        """
        period: int4
        is_enabled: enabled
        sort_order: int4
        """,
        "period",
    )
    _table(
        "ema_alpha_lookup",
        """
        tf: text
        period tf_days effective_days: int4
        alpha_bar alpha_daily_horizon alpha_daily_equivalent: float8
        """,
        "tf period",
    )
    _table(SETTINGS, "name value: text", "name")


def _tables_of_daily_bars() -> None:
    _table(
        REJECTS,
        """
        id: int4
        timestamp: timestamptz null
        reason: text
        copy: int4
        timeopen timeclose timehigh timelow: timestamptz null
        open high low close volume marketcap: float8 null
        run_id: text
        rejected_at: written
        """,
        "",
        Index(f"{REJECTS}_id_timestamp", "id", "timestamp"),
    )
    _table(
        DAILY_STATE,
        """
        id: int4
        last_src_ts daily_min_seen: timestamptz null
        last_run_ts: timestamptz
        last_upserted: int8
        last_repaired_high last_repaired_low last_repaired_timehigh last_repaired_timelow: int8
        last_rejected: int8
        """,
        "id",
    )
    _table(
        MONTHS,
        """
        id: int4
        month: date
        row_count: int8
        digest: numeric
        """,
        "id month",
    )


def _ledger() -> None:
    """What was revised, when, and by which run. One row per revision of an asset, never changed."""
    _table(
        LEDGER,
        """
        id: int4
        first_day last_day: date
        rows_changed: int8
        old_close new_close: float8 null
        reason run_id: text
        noted_at: written
        """,
        "",
        Index(f"{LEDGER}_id", "id", "noted_at"),
    )


def _runs_and_steps() -> None:
    """What every run was and did. A run or step without an end is still going on, or was killed."""
    _table(
        RUNS,
        """
        run_id command: text
        arguments: text[]
        resumes: text null
        host: text
        pid: int4
        started_at: timestamptz
        ended_at: timestamptz null
        exit_code: int4 null
        assets: int4
        rows: int8 null
        summary: jsonb null
        """,
        "run_id",
        Index(f"{RUNS}_started_at", "started_at"),
    )
    _table(
        STEPS,
        """
        run_id builder: text
        place assets: int4
        estimated_rows: int8
        started_at: timestamptz
        ended_at: timestamptz null
        seconds: float8 null
        rows: int8 null
        """,
        "run_id builder",
    )


def _outcomes() -> None:
    _table(
        OUTCOMES,
        """
        run_id builder: text
        id: int4
        status: text
        rows: int8
        seconds: float8
        reason: text
        error: text null
        retries: int4
        notes: jsonb
        noted_at: written
        """,
        "run_id builder id",
        Index(f"{OUTCOMES}_latest", "builder", "id", text("noted_at DESC")),
    )


def _define() -> None:
    _dimension_tables()
    _tables_of_daily_bars()
    _ledger()
    _runs_and_steps()
    _outcomes()
    for _, leg in legs():
        _target(leg)
        if leg.shape.has_timeframes:
            _series_state(leg.state, leg.shape)


_define()

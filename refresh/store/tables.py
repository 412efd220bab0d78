"""Every table, once: its columns, keys and indexes. docs/tables.md says what they mean."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Index, MetaData, Table, UniqueConstraint, text
from sqlalchemy.schema import SchemaItem

from refresh.catalog import DAILY, SOURCE, Leg, legs
from refresh.shapes import SERIES_PLACES, Shape, columns, packed_shape
from refresh.store.declaration import declared_table, keep_noise_in_rows
from refresh.store.dimension_tables import ASSETS, declare_dimensions

METADATA = MetaData()
TARGET_TABLES: dict[str, Table] = {}
"""What readers of each leg's rows see, by name: a table, or a view with such columns."""
LEDGER = "refresh_restatements"
RUNS, STEPS, OUTCOMES = "refresh_runs", "refresh_steps", "refresh_outcomes"
VALIDATIONS = "refresh_validations"
SETTINGS = "refresh_settings"
REJECTS, MONTHS, DAILY_STATE = f"{DAILY}_rejects", f"{DAILY}_source_months", f"{DAILY}_state"
ROWS_LOST = 0
"""The version of a state whose table lost rows to somebody else: no formula has it."""


def _table(name: str, declared: str, key: str, *extras: SchemaItem, **options: Any) -> None:
    """Declare a table. ``key``: the columns of its primary key, separated by spaces."""
    declared_table(METADATA, name, columns(declared), key.split(), *extras, **options)


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
    return declared_table(metadata, SOURCE, columns(_SOURCE_COLUMNS), ("id", "timestamp"))


declare_dimensions(METADATA)
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
    number: numbered
    """,
    "number",
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
    version: version
    is_folded: bool null
    calendar: text null
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

# What was revised, when, and by which run. One row per revision of an asset, never changed.
_table(
    LEDGER,
    """
    id: int4
    first_day last_day: date
    rows_changed: int8
    old_close new_close: float8 null
    reason run_id: text
    noted_at: written
    number: numbered
    """,
    "number",
    Index(f"{LEDGER}_id", "id", "noted_at"),
)

# What every run was and did. A run or step without an end is still going on, or was killed.
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
    program: text null
    builders: text[] null
    asset_ids: int4[] null
    program_version: text null
    bytes: int8 null
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
_table(
    VALIDATIONS,
    """
    run_id: text
    validated_at: written
    judged: int4
    recomputed pending: int4[]
    seconds: float8
    findings: jsonb
    program_version: text
    """,
    "run_id",
    Index(f"{VALIDATIONS}_validated_at", "validated_at"),
)


def _target(leg: Leg) -> None:
    """Declare what readers of a leg's rows see: a table, or a view of packed averages with their table and places."""
    if not leg.averages:
        TARGET_TABLES[leg.target] = _shaped(METADATA, leg.target, leg.shape)
        return
    TARGET_TABLES[leg.target] = _shaped(MetaData(), leg.target, leg.shape)
    _shaped(METADATA, leg.places, SERIES_PLACES)
    keep_noise_in_rows(_shaped(METADATA, leg.table, packed_shape(leg.averages)))


def _shaped(metadata: MetaData, name: str, shape: Shape) -> Table:
    """Declare a table of some shape."""
    extras: list[SchemaItem] = []
    if shape.unique:
        extras.append(UniqueConstraint(*shape.unique))
    if shape.closed:
        closed = text("NOT is_partial_end")
        extras.append(Index(f"{name}_canonical", *shape.closed, postgresql_where=closed))
    return declared_table(metadata, name, shape.columns, shape.key, *extras)


_BARS_STATE = """
    id: int4
    tf: text
    seen_ts last_ts dirty_from: timestamptz null
    updated_at: written
    version: version
"""
_EMAS_STATE = """
    id: int4
    tf: text
    periods: int4[]
    seen_ts last_ts dirty_from: timestamptz null
    close_sum: float8
    updated_at: written
    version: version
"""


_ROOM_FOR_UPDATES = {"fillfactor": 45}
"""A refresh updates every row of a state at once: with room for both versions in a page, indexes are not written."""


def _series_state(leg: Leg) -> None:
    """Declare how far each series has come: all daily bars up to ``seen_ts``, except from ``dirty_from`` on.

    ``last_ts`` is the last row of the series: ``seen_ts``, or NULL while the series is not defined yet. ``version``:
    that of the formulas and columns that made the rows; ``ROWS_LOST`` if somebody else deleted some of them.
    """
    if leg.shape.has_periods:
        _table(leg.state, _EMAS_STATE, "id tf periods", postgresql_with=_ROOM_FOR_UPDATES)
    else:
        _table(leg.state, _BARS_STATE, "id tf", postgresql_with=_ROOM_FOR_UPDATES)


for _, _leg in legs():
    _target(_leg)
    if _leg.shape.has_timeframes:
        _series_state(_leg)

OURS_ALONE = {ASSETS, LEDGER, RUNS, STEPS, OUTCOMES, DAILY_STATE, *(leg.state for _, leg in legs())}
"""Tables that only a refresh writes, or that say the same without a column: it adds columns that they lack."""

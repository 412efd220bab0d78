"""Every table, once: its columns, keys and indexes. What they mean stands in docs/bars.md and docs/emas.md."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
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
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from refresh.catalog import BUILDERS, DAILY, SOURCE, Formula, Group, Kind, Leg

METADATA = MetaData()
LEDGER = "refresh_restatements"
RUNS, STEPS, OUTCOMES = "refresh_runs", "refresh_steps", "refresh_outcomes"


def _int(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False)


def _bigint(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


def _bool(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False)


def _time(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


def _float(name: str, *, nullable: bool = True) -> Column[float]:
    return Column(name, Double, nullable=nullable)


def _text(name: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, Text(collation="C"), nullable=nullable)  # ICU collations cost half the speed of a load


def _written(name: str = "ingested_at") -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=False, server_default=func.now())


def _ohlc() -> tuple[Column[float], ...]:
    return tuple(_float(name, nullable=False) for name in ("open", "high", "low", "close"))


def _bar_times() -> tuple[Column[object], ...]:
    return tuple(_time(name) for name in ("time_open", "time_close", "time_high", "time_low"))


def source_table(metadata: MetaData) -> Table:
    """The user's prices. Ours only on an embedded database, where the loader creates it."""
    return Table(
        SOURCE,
        metadata,
        _int("id"),
        _text("name", nullable=True),
        *(_time(name, nullable=True) for name in ("timeopen", "timeclose", "timehigh", "timelow")),
        *(_float(name) for name in ("open", "high", "low", "close", "volume", "marketcap", "circulatingsupply")),
        _time("timestamp"),
        _text("source_file", nullable=True),
        _time("load_ts", nullable=True),
        PrimaryKeyConstraint("id", "timestamp"),
    )


def _daily_table() -> Table:
    return Table(
        DAILY,
        METADATA,
        _int("id"),
        _time("timestamp"),
        _text("tf"),
        _bigint("bar_seq"),
        *_bar_times(),
        *_ohlc(),
        _float("volume"),
        _float("market_cap"),
        _bool("is_partial_start"),
        _bool("is_partial_end"),
        _bool("is_missing_days"),
        _int("count_missing_days"),
        *(_bool(f"repaired_{name}") for name in ("high", "low", "timehigh", "timelow")),
        _text("src_name", nullable=True),
        _time("src_load_ts", nullable=True),
        _text("src_file", nullable=True),
        _written(),
        PrimaryKeyConstraint("id", "timestamp"),
        UniqueConstraint("id", "tf", "bar_seq"),
    )


def _rejects_table() -> Table:
    return Table(
        f"{DAILY}_rejects",
        METADATA,
        _int("id"),
        _time("timestamp", nullable=True),
        _text("reason"),
        _int("copy"),
        *(_time(name, nullable=True) for name in ("timeopen", "timeclose", "timehigh", "timelow")),
        *(_float(name) for name in ("open", "high", "low", "close", "volume", "marketcap")),
        _text("run_id"),
        _written("rejected_at"),
        Index(f"{DAILY}_rejects_id_timestamp", "id", "timestamp"),
    )


def _snapshot_table(leg: Leg) -> Table:
    return Table(
        leg.target,
        METADATA,
        _int("id"),
        _time("timestamp"),
        _text("tf"),
        _int("tf_days"),
        _bigint("bar_seq"),
        _int("pos_in_bar"),
        _int("count_days"),
        _int("count_days_remaining"),
        *_bar_times(),
        *_ohlc(),
        _float("volume"),
        _float("market_cap"),
        _bool("is_partial_start"),
        _bool("is_partial_end"),
        _bool("is_missing_days"),
        _int("count_missing_days"),
        _int("count_missing_days_start"),
        _int("count_missing_days_interior"),
        Column("first_missing_day", Date),
        Column("last_missing_day", Date),
        _written(),
        # One row per daily bar and timeframe; this order keeps a night's rows of an asset side by side.
        PrimaryKeyConstraint("id", "timestamp", "tf"),
        Index(f"{leg.target}_canonical", "id", "tf", "timestamp", postgresql_where=text("NOT is_partial_end")),
    )


def value_columns(leg: Leg) -> tuple[str, ...]:
    """The value columns of an EMA table: ``ema`` and, on the calendar tables, ``ema_bar``."""
    both = leg.formula in {Formula.HORIZON, Formula.EQUIVALENT}
    return ("ema", "ema_bar") if both else ("ema",)


DIFFERENCES = ("d1", "d2", "d1_roll", "d2_roll")


def difference_columns(value: str) -> tuple[str, ...]:
    """The four difference columns of a value column, e.g. ``d1_bar`` of ``ema_bar``."""
    suffix = value.removeprefix("ema")
    return tuple(name + suffix for name in DIFFERENCES)


def _ema_table(leg: Leg) -> Table:
    values = value_columns(leg)
    floats = [_float(name) for value in values for name in (value, *difference_columns(value))]
    rolls = [_bool("roll" + value.removeprefix("ema")) for value in values]
    return Table(
        leg.target,
        METADATA,
        _int("id"),
        _text("tf"),
        _time("ts"),
        _int("period"),
        _int("tf_days"),
        *rolls,
        *floats,
        _written(),
        PrimaryKeyConstraint("id", "ts", "tf", "period"),
    )


def _daily_state_table() -> Table:
    return Table(
        f"{DAILY}_state",
        METADATA,
        Column("id", Integer, primary_key=True, autoincrement=False),
        _time("last_src_ts", nullable=True),
        _time("daily_min_seen", nullable=True),
        _time("last_run_ts"),
        *(
            _bigint(f"last_{name}")
            for name in (
                "upserted",
                "repaired_high",
                "repaired_low",
                "repaired_timehigh",
                "repaired_timelow",
                "rejected",
            )
        ),
    )


def _source_months_table() -> Table:
    return Table(
        f"{DAILY}_source_months",
        METADATA,
        _int("id"),
        Column("month", Date, nullable=False),
        _bigint("row_count"),
        Column("digest", Numeric, nullable=False),
        PrimaryKeyConstraint("id", "month"),
    )


def _series_state_table(leg: Leg, *, periods: bool) -> Table:
    """How far each series has come: every daily bar up to ``seen_ts``, except what lies at or after ``dirty_from``.

    ``last_ts`` is the last row of the series: ``seen_ts``, or NULL while the series is not defined yet.
    """
    key = ("id", "tf", "periods") if periods else ("id", "tf")
    extra: list[Column[object]] = [Column("periods", ARRAY(Integer), nullable=False)] if periods else []
    sums = [_float("close_sum", nullable=False)] if periods else []
    return Table(
        leg.state,
        METADATA,
        _int("id"),
        _text("tf"),
        *extra,
        _time("seen_ts", nullable=True),
        _time("last_ts", nullable=True),
        _time("dirty_from", nullable=True),
        *sums,
        _written("updated_at"),
        PrimaryKeyConstraint(*key),
    )


def _restatements_table() -> Table:
    """The ledger: what was revised, when, and by which run. One row per revision of an asset, never changed."""
    return Table(
        LEDGER,
        METADATA,
        _int("id"),
        Column("first_day", Date, nullable=False),
        Column("last_day", Date, nullable=False),
        _bigint("rows_changed"),
        _float("old_close"),
        _float("new_close"),
        _text("reason"),
        _text("run_id"),
        _written("noted_at"),
        Index(f"{LEDGER}_id", "id", "noted_at"),
    )


def _history_tables() -> None:
    """What every run was, did and came to. A run or step without an end is going on or was killed."""
    Table(
        RUNS,
        METADATA,
        Column("run_id", Text(collation="C"), primary_key=True),
        _text("command"),
        Column("arguments", ARRAY(Text), nullable=False),
        _text("resumes", nullable=True),
        _text("host"),
        _int("pid"),
        _time("started_at"),
        _time("ended_at", nullable=True),
        Column("exit_code", Integer),
        _int("assets"),
        Column("rows", BigInteger),
        Column("summary", JSONB),
        Index(f"{RUNS}_started_at", "started_at"),
    )
    Table(
        STEPS,
        METADATA,
        _text("run_id"),
        _text("builder"),
        _int("place"),
        _int("assets"),
        _bigint("estimated_rows"),
        _time("started_at"),
        _time("ended_at", nullable=True),
        _float("seconds"),
        Column("rows", BigInteger),
        PrimaryKeyConstraint("run_id", "builder"),
    )
    Table(
        OUTCOMES,
        METADATA,
        _text("run_id"),
        _text("builder"),
        _int("id"),
        _text("status"),
        _bigint("rows"),
        _float("seconds", nullable=False),
        _text("reason"),
        _text("error", nullable=True),
        _int("retries"),
        Column("notes", JSONB, nullable=False),
        _written("noted_at"),
        PrimaryKeyConstraint("run_id", "builder", "id"),
        Index(f"{OUTCOMES}_latest", "builder", "id", text("noted_at DESC")),
    )


def _dimension_tables() -> None:
    Table(
        "dim_timeframe",
        METADATA,
        Column("tf", Text(collation="C"), primary_key=True),
        _text("base_unit"),
        _int("tf_qty"),
        _int("tf_days_nominal"),
        _text("alignment"),
        _text("calendar_scheme", nullable=True),
        Column("is_enabled", Boolean, nullable=False, server_default=text("true")),
        _int("sort_order"),
    )
    Table(
        "dim_period",
        METADATA,
        Column("period", Integer, primary_key=True, autoincrement=False),
        Column("is_enabled", Boolean, nullable=False, server_default=text("true")),
        _int("sort_order"),
    )
    Table(
        "ema_alpha_lookup",
        METADATA,
        _text("tf"),
        _int("period"),
        _int("tf_days"),
        _int("effective_days"),
        *(_float(name, nullable=False) for name in ("alpha_bar", "alpha_daily_horizon", "alpha_daily_equivalent")),
        PrimaryKeyConstraint("tf", "period"),
    )
    Table(
        "refresh_settings",
        METADATA,
        Column("name", Text(collation="C"), primary_key=True),
        _text("value"),
    )


def _define() -> None:
    _dimension_tables()
    _daily_table()
    _rejects_table()
    _daily_state_table()
    _source_months_table()
    _restatements_table()
    _history_tables()
    for builder in BUILDERS:
        for leg in builder.legs:
            if builder.kind is Kind.WINDOWED:
                _snapshot_table(leg)
            elif builder.group is Group.EMAS:
                _ema_table(leg)
            if builder.kind is not Kind.DAILY:
                _series_state_table(leg, periods=builder.group is Group.EMAS)


_define()

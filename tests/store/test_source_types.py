"""A price table whose columns have other types, and values that no asset, price or calendar has."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pytest
from prices import fill
from refreshing import open_scopes, refresh
from sqlalchemy import Engine
from statements import ask, execute
from store.test_source import BUILDER, LEAN, bars_per_asset

from refresh.catalog import DAILY, SOURCE
from refresh.due import survey
from refresh.errors import SchemaError
from refresh.options.request import Request
from refresh.store.database import connect, transaction
from refresh.validate.validation import validate

REJECTS = f"{DAILY}_rejects"
NUMBERS = ("open", "high", "low", "close", "volume")
TIMES = ("timestamp", "timeopen", "timeclose")
WRONG = {
    "numbers that are text": [(name, "text", '"{}"::text') for name in NUMBERS],
    "numbers that are varchar": [(name, "varchar(30)", '"{}"::text') for name in NUMBERS],
    "money": [(name, "money", '"{}"::numeric::money') for name in NUMBERS],
    "json": [("close", "json", 'to_json("{}")'), ("open", "jsonb", 'to_jsonb("{}")')],
    "times that are text": [(name, "text", '"{}"::text') for name in TIMES],
    "times that are seconds": [(name, "float8", 'extract(epoch FROM "{}")') for name in TIMES],
    "ids that are text": [("id", "text", '"{}"::text')],
    "all at once": [
        ("id", "text", '"{}"::text'),
        ("close", "money", '"{}"::numeric::money'),
        (TIMES[0], "text", '"{}"'),
    ],
}
"""Columns, the types that they have, and how they got them."""
FITTING = {
    "small numbers": "id TYPE int2, close TYPE real, volume TYPE int8",
    "numeric": "id TYPE numeric, close TYPE numeric, open TYPE numeric(12,4), volume TYPE numeric",
    "local times": """"timestamp" TYPE timestamp, timeopen TYPE timestamp, timeclose TYPE timestamp(3)""",
    "domains": "id TYPE identity, close TYPE price",
}
KINDS = {
    "a view": "CREATE VIEW {0} AS SELECT * FROM prices",
    "a materialized view": "CREATE MATERIALIZED VIEW {0} AS SELECT * FROM prices",
    "a partitioned table": """CREATE TABLE {0} (LIKE prices) PARTITION BY LIST (id);
        CREATE TABLE part PARTITION OF {0} FOR VALUES IN (1); CREATE TABLE rest PARTITION OF {0} DEFAULT;
        INSERT INTO {0} SELECT * FROM prices""",
}
BARS = f'SELECT id, "timestamp", time_open, time_close, open, close, volume FROM {DAILY} ORDER BY 1, 2'


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """A source without a primary key, in which asset 1 has three good days and asset 2 has two."""
    with connect(database_url) as engine:
        execute(engine, LEAN)
        fill(engine, 1, "2024-01-01", "2024-01-03")
        fill(engine, 2, "2024-01-01", "2024-01-02")
        yield engine


def good_bars(engine: Engine) -> list[tuple[object, ...]]:
    """The bars of the source as it is."""
    refresh(engine, builders=[BUILDER])
    bars = ask(engine, BARS)
    assert len(bars) == 5
    execute(engine, f"TRUNCATE {DAILY}")
    return bars


def change(engine: Engine, *columns: tuple[str, str, str]) -> None:
    """Give columns other types."""
    for name, kind, value in columns:
        execute(engine, f'ALTER TABLE {SOURCE} ALTER COLUMN "{name}" TYPE {kind} USING {value.format(name)}')


def refused(engine: Engine) -> tuple[str, list[str]]:
    """What is wrong with the source, and the statements that mend it."""
    with pytest.raises(SchemaError) as caught:
        refresh(engine, builders=[BUILDER])
    what, _, mending = str(caught.value).partition("; to mend it: ")
    return what.removeprefix("the price table does not fit: "), mending.split("; ")


@pytest.mark.parametrize("columns", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("is_view", [False, True], ids=["table", "view"])
def test_types_that_do_not_fit(engine: Engine, columns: list[tuple[str, str, str]], *, is_view: bool) -> None:
    """Each column is named with its type, and what is printed mends them all."""
    before = good_bars(engine)
    change(engine, *columns)
    if is_view:
        execute(engine, f"ALTER TABLE {SOURCE} RENAME TO prices", f"CREATE VIEW {SOURCE} AS SELECT * FROM prices")
    what, mending = refused(engine)
    assert {problem.split(" is ")[0] for problem in what.split("; ")} == {f"{SOURCE}.{name}" for name, *_ in columns}
    execute(engine, *mending)
    refresh(engine, builders=[BUILDER])
    assert ask(engine, BARS) == before


def test_message(engine: Engine) -> None:
    """One line says what is wrong and what to type."""
    change(engine, ("close", "text", '"{}"::text'), ("volume", "money", '"{}"::numeric::money'))
    what, mending = refused(engine)
    assert what == f"{SOURCE}.close is text, not double precision; {SOURCE}.volume is money, not double precision"
    volume = 'ALTER COLUMN "volume" TYPE double precision USING "volume"::numeric::double precision'
    close = 'ALTER COLUMN "close" TYPE double precision USING "close"::text::double precision'
    assert mending == [f"ALTER TABLE {SOURCE} {close}, {volume}"]


@pytest.mark.parametrize("changes", FITTING.values(), ids=FITTING)
def test_types_that_fit(engine: Engine, changes: str) -> None:
    """Types whose values PostgreSQL makes ours without loss need no change."""
    before = good_bars(engine)
    execute(engine, "CREATE DOMAIN identity AS int8 CHECK (VALUE > 0)", "CREATE DOMAIN price AS numeric")
    execute(engine, f"ALTER TABLE {SOURCE} " + ", ".join(f"ALTER COLUMN {change}" for change in changes.split(", ")))
    refresh(engine, builders=[BUILDER])
    assert [row[:4] for row in ask(engine, BARS)] == [row[:4] for row in before]


@pytest.mark.parametrize("statement", KINDS.values(), ids=KINDS)
def test_relations_of_another_kind(engine: Engine, statement: str) -> None:
    """The source may be whatever can be read like a table."""
    before = good_bars(engine)
    execute(engine, f"ALTER TABLE {SOURCE} RENAME TO prices", statement.format(SOURCE))
    refresh(engine, builders=[BUILDER])
    assert ask(engine, BARS) == before


# Values


@pytest.mark.parametrize("time", ["294276-12-31", "20240-01-01", "0044-03-15 BC", "4713-01-01 BC", "infinity"])
@pytest.mark.parametrize(
    ("column", "reason"), [("timeopen", "null_time"), ("timeclose", "null_time"), ("timehigh", None), ("timelow", None)]
)
def test_times_of_no_calendar(engine: Engine, time: str, column: str, reason: str | None) -> None:
    """A time that no calendar here has is as good as none: the row is refused, or the time is filled in."""
    execute(engine, f"ALTER TABLE {SOURCE} ADD timehigh timestamptz, ADD timelow timestamptz")
    execute(engine, f"UPDATE {SOURCE} SET {column} = '{time}' WHERE id = 1 AND \"timestamp\" < '2024-01-02'")
    assert [outcome.error for outcome in refresh(engine, builders=[BUILDER])] == [None, None]
    rejects = ask(engine, f"SELECT id, reason FROM {REJECTS}")
    assert rejects == ([(1, reason)] if reason else [])
    assert bars_per_asset(engine) == [(1, 2 if reason else 3), (2, 2)]
    validity = validate(engine, open_scopes(engine, builders=[BUILDER]), [1, 2], 2, date(2030, 1, 1))
    assert not validity.findings
    assert set(validity.recomputed) == {1, 2}


@pytest.mark.parametrize("value", ["Infinity", "-Infinity", "NaN", "1e400", "-1e400", "1e-400"])
@pytest.mark.parametrize("kind", ["numeric", "float8"])
def test_numbers_that_are_no_price(engine: Engine, value: str, kind: str) -> None:
    """An infinite, huge or tiny number refuses its row and stops nothing else."""
    if kind == "float8" and "e" in value:
        value = "Infinity"
    execute(engine, f"ALTER TABLE {SOURCE} ALTER COLUMN close TYPE {kind}")
    execute(engine, f"UPDATE {SOURCE} SET close = '{value}' WHERE id = 1 AND \"timestamp\" < '2024-01-02'")
    assert [outcome.error for outcome in refresh(engine, builders=[BUILDER])] == [None, None]
    ((id, reason),) = ask(engine, f"SELECT id, reason FROM {REJECTS}")
    assert (id, reason) == (1, "nonpositive_ohlc" if value == "1e-400" else "nonfinite_ohlc")
    assert bars_per_asset(engine) == [(1, 2), (2, 2)]
    with transaction(engine) as connection:
        assert not survey.survey(connection, open_scopes(engine, builders=[BUILDER])).dues[BUILDER.key]


@pytest.mark.parametrize(("kind", "value"), [("int8", 5_000_000_000), ("int8", -5_000_000_000), ("numeric", "1.5")])
@pytest.mark.parametrize("has_index", [True, False])
def test_ids_that_no_asset_has(engine: Engine, kind: str, value: object, *, has_index: bool) -> None:
    """Their rows are left out, with a notice that names them and mends them; all others are built."""
    execute(engine, f"ALTER TABLE {SOURCE} ALTER COLUMN id TYPE {kind}")
    execute(engine, f"UPDATE {SOURCE} SET id = {value} WHERE id = 2")
    if has_index:
        execute(engine, f'CREATE INDEX ON {SOURCE} (id, "timestamp")')
    fill(engine, -7, "2024-01-01", "2024-01-02")
    refresh(engine, builders=[BUILDER])
    assert bars_per_asset(engine) == [(-7, 2), (1, 3)]
    with transaction(engine) as connection:
        (notice,) = survey.survey(connection, open_scopes(engine, Request(), [BUILDER])).notices
    assert notice.startswith(f"{SOURCE}.id {value}: an id is a whole number from -2147483648 to 2147483647")
    execute(engine, notice.partition("give it another id: ")[2])
    refresh(engine, builders=[BUILDER])
    assert bars_per_asset(engine) == [(-7, 2), (1, 3), (2, 2)]

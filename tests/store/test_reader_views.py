"""The views for readers, against the same rows asked of the tables in other ways."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from databases import database
from databases import execute as execute_outside
from prices import fill
from refreshing import FEW, enable, refresh
from sqlalchemy import URL, Engine, MetaData, make_url
from statements import address, as_user, ask, execute

from refresh.catalog import SOURCE, Leg, legs
from refresh.store.database import connect
from refresh.store.reader_views import READER_VIEWS
from refresh.store.schema import prepare
from refresh.store.tables import METADATA, source_table

LEGS = {leg.target: leg for _, leg in legs()}
BARS = [name for name, leg in LEGS.items() if leg.shape.has_timeframes and not leg.averages]
EMAS = [name for name, leg in LEGS.items() if leg.averages]
LAG = "SELECT id, table_name, days_behind FROM refresh_freshness WHERE days_behind <> 0 ORDER BY 1, 2"


@pytest.fixture(scope="module")
def whole(server: URL, template: str) -> Iterator[str]:
    """The name of a database in which three assets are built, one timeframe and period of them only at first."""
    with database(server, template) as url:
        with connect(url) as engine:
            execute(engine, "INSERT INTO dim_period VALUES (2, true, 0), (3, true, 0)")
            enable(engine, (*FEW, "3D"), [2, 3])
            for id in (1, 2):
                fill(engine, id, "2024-01-01", "2024-03-10")
            refresh(engine)
            enable(engine, FEW, [2])
            fill(engine, 1, "2024-03-11", "2024-03-20")
            fill(engine, 3, "2024-03-01", "2024-03-04")
            refresh(engine)
        yield str(make_url(url).database)


@pytest.fixture
def built(server: URL, whole: str) -> Iterator[Engine]:
    """An engine on a copy of that database."""
    with database(server, whole) as url, connect(url) as engine:
        yield engine


def differences(engine: Engine, one: str, other: str) -> list[tuple[object, ...]]:
    """The rows that only one of two queries returns."""
    return ask(engine, f"(({one}) EXCEPT ALL ({other})) UNION ALL (({other}) EXCEPT ALL ({one}))")


@pytest.mark.parametrize("name", BARS)
def test_closed_bars(built: Engine, name: str) -> None:
    """Closed bars are the canonical rows, with all columns."""
    assert ask(built, f"SELECT count(*) > 5 FROM {name}_closed") == [(True,)]
    assert differences(built, f"TABLE {name}_closed", f"SELECT * FROM {name} WHERE is_partial_end IS FALSE") == []


@pytest.mark.parametrize("name", LEGS)
def test_latest_rows(built: Engine, name: str) -> None:
    """The latest rows are those with the greatest time of their series, those of disabled series included."""
    leg = LEGS[name]
    key = ", ".join(f'"{column}"' for column in leg.shape.key if column != leg.shape.time)
    last = f'SELECT DISTINCT ON ({key}) * FROM {name} ORDER BY {key}, "{leg.shape.time}" DESC'
    assert differences(built, f"TABLE {name}_latest", last) == []
    ends = ask(built, f'SELECT count(DISTINCT "{leg.shape.time}") FROM {name}_latest WHERE id = 1')
    assert ends[0][0] == (2 if name in {"cmc_price_bars_multi_tf", *EMAS} else 1)


def test_latest_rows_after_a_loss(built: Engine) -> None:
    """Last rows that were deleted by hand are missing until the next run, and no other row takes their part."""
    execute(built, "DELETE FROM cmc_price_bars_multi_tf WHERE id = 1 AND \"timestamp\" > '2024-03-19'")
    query = "SELECT \"timestamp\"::date::text FROM cmc_price_bars_multi_tf_latest WHERE id = 1 AND tf = '2D'"
    assert ask(built, query) == []
    refresh(built)
    assert ask(built, query) == [("2024-03-20",)]


@pytest.mark.parametrize("name", EMAS)
def test_bars_with_averages(built: Engine, name: str) -> None:
    """Each EMA comes with the bar of its day and timeframe, or with the daily bar."""
    leg: Leg = LEGS[name]
    bars = LEGS[leg.follows.table]
    is_same = "AND b.tf = e.tf" if bars.shape.has_timeframes else ""
    own = [column.name for column in bars.shape.columns if column.name not in {"id", "timestamp", "tf", "ingested_at"}]
    values = [name for average in leg.averages for name in (average.roll, *average.columns)]
    columns = ", ".join(f'b."{column}"' for column in own)
    expected = f"""
        SELECT e.id, e.ts, e.tf, e.period, {columns}, {", ".join(values)} FROM {name} e
        JOIN {bars.target} b ON b.id = e.id AND b."timestamp" = e.ts {is_same}"""
    names = ", ".join(f'"{column}"' for column in ["id", "timestamp", "tf", "period", *own, *values])
    assert ask(built, f"SELECT count(*) > 50 FROM {name}_with_bars") == [(True,)]
    assert differences(built, f"SELECT {names} FROM {name}_with_bars", expected) == []


def test_nothing_is_behind(built: Engine) -> None:
    """After a refresh every asset is fresh in every table, and a disabled series that stopped is not counted."""
    assert ask(built, LAG) == []
    assert ask(built, "SELECT id, count(*), count(last_ts) FROM refresh_freshness GROUP BY id ORDER BY id") == [
        (1, 12, 12), (2, 12, 12), (3, 12, 12)
    ]  # fmt: skip


def test_days_behind(built: Engine) -> None:
    """Prices that no run has taken in count in every table; an asset that is new or gone has no number of days."""
    fill(built, 1, "2024-03-21", "2024-03-23")
    fill(built, 4, "2024-03-21", "2024-03-23")
    execute(built, f"DELETE FROM {SOURCE} WHERE id = 2")
    assert {row[2] for row in ask(built, LAG)} == {3}
    assert {row[0] for row in ask(built, LAG)} == {1}
    assert len(ask(built, LAG)) == 12
    query = """SELECT id, count(source_ts), count(last_ts), count(days_behind) FROM refresh_freshness
               WHERE id IN (2, 4) GROUP BY id ORDER BY id"""
    assert ask(built, query) == [(2, 0, 12, 0), (4, 12, 0, 0)]
    execute(built, "UPDATE cmc_price_bars_multi_tf_state SET seen_ts = seen_ts - interval '5 days' WHERE id = 3")
    assert (3, "cmc_price_bars_multi_tf", 5) in ask(built, LAG)


def test_refused_days_are_not_behind(built: Engine) -> None:
    """A day that was refused has been seen by all tables."""
    fill(built, 1, "2024-03-21", "2024-03-21")
    execute(built, f"UPDATE {SOURCE} SET open = NULL WHERE id = 1 AND \"timestamp\" > '2024-03-21'")
    assert len(ask(built, LAG)) == 12
    refresh(built)
    assert ask(built, LAG) == []


@pytest.mark.parametrize(
    "change",
    [
        f"ALTER TABLE {SOURCE} DROP CONSTRAINT {SOURCE}_pkey",
        f'ALTER TABLE {SOURCE} ALTER "timestamp" TYPE timestamp, ALTER id TYPE numeric',
        f"ALTER TABLE {SOURCE} RENAME TO mine; CREATE VIEW {SOURCE} AS TABLE mine",
    ],
    ids=["without a key", "other types", "a view"],
)
def test_freshness_of_any_source(built: Engine, change: str) -> None:
    """The price table may have no key, other types, or be a view, and nothing hinders who changes it."""
    fill(built, 1, "2024-03-21", "2024-03-22")
    before = ask(built, LAG)
    execute(built, change)
    with as_user(built.url).begin() as connection:
        connection.exec_driver_sql("SET timezone = 'Asia/Tokyo'")
        assert [tuple(row) for row in connection.exec_driver_sql(LAG)] == before
    assert len(before) == 12


def test_source_that_is_dropped(built: Engine) -> None:
    """The price table can be dropped: no view depends on it, and freshness then knows of no source."""
    execute(built, f"DROP TABLE {SOURCE}")
    assert ask(built, "SELECT count(*), count(source_ts) FROM refresh_freshness") == [(36, 0)]


def test_reader_with_select_alone(built: Engine, server: URL) -> None:
    """A role that may read and nothing else reads every view."""
    role = "reader_of_views"
    execute_outside(server, f"CREATE ROLE {role} LOGIN")
    try:
        execute(built, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
        url = make_url(address(built)).set(username=role)
        with as_user(url).connect() as connection:
            for view in READER_VIEWS:
                assert connection.exec_driver_sql(f"SELECT count(*) FROM {view}").scalar_one() > 0, view
    finally:
        as_user(url).dispose()
        execute(built, f"DROP OWNED BY {role}")
        execute_outside(server, f"DROP ROLE {role}")


@pytest.mark.parametrize("name", LEGS)
def test_latest_rows_read_no_history(built: Engine, name: str) -> None:
    """The latest rows are found by their key, one after another, whatever else the planner may do."""
    with as_user(built.url).begin() as connection:
        for way in ("seqscan", "bitmapscan"):
            connection.exec_driver_sql(f"SET LOCAL enable_{way} = off")
        plan = "\n".join(connection.exec_driver_sql(f"EXPLAIN (COSTS off) SELECT * FROM {name}_latest").scalars())
    assert re.search(rf"Index Scan (Backward )?using {LEGS[name].table}_pkey", plan), plan
    assert re.search(r"Index Cond: \(\(id = \w+\.id\) AND \(\"?(ts|timestamp)\"? = \w+\.last_\w+\)", plan), plan


def test_views_come_back(built: Engine) -> None:
    """Views that went with a table are created again by the next run, with what they showed."""
    before = ask(built, "SELECT count(*) FROM cmc_ema_multi_tf_latest")
    execute(built, "DROP TABLE cmc_ema_multi_tf_state CASCADE")
    refresh(built)
    assert ask(built, "SELECT count(*) FROM cmc_ema_multi_tf_latest")[0] <= before[0]
    assert ask(built, LAG) == []


def test_views_without_a_source(database_url: str) -> None:
    """The views are created before there are any prices."""
    with connect(database_url) as engine:
        with engine.begin() as connection:
            prepare(connection)
        assert ask(engine, "TABLE refresh_freshness") == []
        with engine.begin() as connection:
            source_table(MetaData()).create(connection)
        assert ask(engine, "TABLE refresh_freshness") == []
        assert set(READER_VIEWS).isdisjoint(METADATA.tables)

"""Looking at a database: reads only, on whatever tables exist, with whatever rights suffice for reading."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2.errors
import pytest
from databases import execute as execute_outside
from prices import fill
from refreshing import NOW, refresh
from sqlalchemy import URL, Engine, MetaData, make_url, text
from sqlalchemy.exc import DBAPIError
from statements import ask, execute

from refresh.catalog import BUILDERS, SOURCE
from refresh.due import lateness, survey
from refresh.due.decision import Survey
from refresh.errors import SchemaError, SettingsError
from refresh.options.request import Request
from refresh.store import history, overview, runs
from refresh.store.database import connect
from refresh.store.schema import is_built, looking
from refresh.store.tables import METADATA, source_table


@pytest.fixture
def unprepared(database_url: str) -> Iterator[Engine]:
    """A database that has five days of prices of asset 1, and no table of ours."""
    with connect(database_url) as engine:
        with engine.begin() as connection:
            source_table(MetaData()).create(connection)
        fill(engine, 1, "2024-01-01", "2024-01-05")
        yield engine


@contextmanager
def role_with(engine: Engine, *rights: str) -> Iterator[Engine]:
    """An engine of a role that may connect, and has some rights besides, but may neither create nor use TEMP."""
    role, database = f"role_{uuid.uuid4().hex}", engine.url.database
    execute(
        engine,
        f"CREATE ROLE {role} LOGIN",
        f"REVOKE ALL ON DATABASE {database} FROM PUBLIC",
        "REVOKE ALL ON SCHEMA public FROM PUBLIC",
        f"GRANT CONNECT ON DATABASE {database} TO {role}",
        f"GRANT USAGE ON SCHEMA public TO {role}",
        *(f"GRANT {right} TO {role}" for right in rights),
    )
    url = make_url(engine.url.render_as_string(hide_password=False)).set(username=role)
    with connect(url.render_as_string(hide_password=False)) as limited:
        yield limited
    execute(engine, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def look(engine: Engine) -> Survey:
    """Everything that looking reads: the survey of a plan, the history, and what a page shows."""
    with looking(engine, "UTC") as connection:
        scopes = survey.open_scopes(connection, BUILDERS, Request().selection, NOW)
        history.past_steps(connection)
        history.remainder(connection, ["--tfs"])
        runs.last_summary(connection)
        runs.any_good(connection)
        runs.open_since(connection, list(runs.covers(connection, ["--tfs"], None).values()), ["--tfs"], None)
        overview.refreshes(connection)
        overview.runs_alone(connection)
        overview.failures(connection)
        overview.restatements(connection)
        overview.names(connection, [1])
        for scope in scopes:
            for leg in scope.builder.legs:
                overview.reached(connection, leg)
        lateness.not_fresh(connection, scopes, [1], NOW)
        return survey.survey(connection, scopes)


def work(surveyed: Survey) -> dict[str, list[str]]:
    """The reasons of what is due, by builder that has anything due."""
    reasons: dict[str, list[str]] = {}
    for key, dues in surveyed.dues.items():
        if dues:
            reasons[key] = [due.reason for due in dues]
    return reasons


NOT_BUILT = {"bars.1d": ["build 5 days: not built yet"]}


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO dim_period VALUES (3, true, 0)",
        "UPDATE dim_period SET is_enabled = false",
        f"DELETE FROM {SOURCE}",
        "CREATE TABLE another (id int)",
        "DROP TABLE dim_period",
    ],
)
def test_writing_fails(engine: Engine, statement: str) -> None:
    """A session that looks cannot write, even if its role can."""
    with looking(engine) as connection, pytest.raises(DBAPIError) as caught:
        connection.execute(text(statement))
    assert isinstance(caught.value.orig, psycopg2.errors.ReadOnlySqlTransaction)


def test_session_can_write_afterwards(engine: Engine) -> None:
    """The next transaction of the session is an ordinary one, also on a database whose tables were absent."""
    with looking(engine) as connection:
        connection.execute(text("SELECT 1"))
    execute(engine, "INSERT INTO dim_period VALUES (3, true, 0)")
    execute(engine, "DROP VIEW cmc_ema_multi_tf_v2")
    with looking(engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM cmc_ema_multi_tf_v2")).scalar_one() == 0
    with engine.connect() as session, pytest.raises(DBAPIError, match="cmc_ema_multi_tf_v2"):
        session.execute(text("SELECT count(*) FROM cmc_ema_multi_tf_v2"))


def test_one_state_of_the_database(engine: Engine) -> None:
    """What others commit meanwhile is not seen."""
    query = text("SELECT count(*) FROM dim_period WHERE period = 3")
    with looking(engine) as connection:
        assert connection.execute(query).scalar_one() == 0
        execute(engine, "INSERT INTO dim_period VALUES (3, true, 0)")
        assert connection.execute(query).scalar_one() == 0


def test_tables_that_do_not_exist(unprepared: Engine) -> None:
    """Every table of ours reads as empty, none is created, and a plan is made from the catalogue's defaults."""
    with looking(unprepared, "Asia/Tokyo") as connection:
        for table in METADATA.tables:
            assert connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() == 0
        assert not is_built(connection)
    assert work(look(unprepared)) == NOT_BUILT
    assert ask(unprepared, "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 2200") == [(SOURCE,)]


def test_some_tables_that_do_not_exist(unprepared: Engine) -> None:
    """Tables that exist are read as they are beside those that do not."""
    refresh(unprepared)
    execute(
        unprepared, "DROP TABLE cmc_ema_multi_tf_v2_packed, cmc_ema_multi_tf_v2_state, refresh_restatements CASCADE"
    )
    with looking(unprepared, "UTC") as connection:
        assert not is_built(connection)
    surveyed = look(unprepared)
    assert work(surveyed) == {"emas.v2": ["build 5 days: not built yet"]}
    assert len(surveyed.dues["emas.v2"][0].series) == surveyed.series["emas.v2"]


def test_prepared_database(unprepared: Engine) -> None:
    """After a refresh every table exists and nothing is due."""
    refresh(unprepared)
    with looking(unprepared, "UTC") as connection:
        assert is_built(connection)
    assert work(look(unprepared)) == {}


def test_role_with_nothing_but_select(unprepared: Engine) -> None:
    """A role that may only SELECT from the source and our tables can look at everything."""
    refresh(unprepared)
    fill(unprepared, 1, "2024-01-06", "2024-01-07")
    with role_with(unprepared, "SELECT ON ALL TABLES IN SCHEMA public") as limited:
        assert work(look(limited)) == {"bars.1d": ["2 days appended"]}
        with limited.connect() as session, pytest.raises(DBAPIError, match="permission denied"):
            session.execute(text("INSERT INTO dim_period VALUES (3, true, 0)"))


def test_role_that_may_only_read_the_source(unprepared: Engine) -> None:
    """Before our tables exist, a role that may only connect and SELECT from the source can look at the plan."""
    with role_with(unprepared, f"SELECT ON {SOURCE}") as limited:
        with limited.connect() as session, pytest.raises(DBAPIError, match="permission denied"):
            session.execute(text("CREATE TEMPORARY TABLE another (id int)"))
        with limited.connect() as session, pytest.raises(DBAPIError, match="permission denied"):
            session.execute(text("CREATE TABLE another (id int)"))
        assert work(look(limited)) == NOT_BUILT


def test_read_only_database(unprepared: Engine, server: URL) -> None:
    """That sessions of a database only read by default stops no refresh: it says itself whether it writes."""
    name = unprepared.url.database
    execute_outside(server, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with connect(unprepared.url.render_as_string(hide_password=False)) as engine:
        assert work(look(engine)) == NOT_BUILT
        refresh(engine)
        assert work(look(engine)) == {}


def test_tables_that_do_not_fit(engine: Engine) -> None:
    """A table with a wrong column is refused as in a run."""
    views = "cmc_price_bars_1d_latest, cmc_ema_multi_tf_v2_with_bars"
    execute(engine, f"DROP VIEW {views}", "ALTER TABLE cmc_price_bars_1d ALTER COLUMN volume TYPE real")
    with pytest.raises(SchemaError, match=r"cmc_price_bars_1d\.volume is real"), looking(engine):
        pass


def test_other_time_zone(engine: Engine) -> None:
    """A time zone that is named has to be that of the tables."""
    message = "--tz Asia/Tokyo: the tables were built with UTC"
    with pytest.raises(SettingsError, match=message), looking(engine, "Asia/Tokyo"):
        pass
    with looking(engine) as connection:
        assert is_built(connection)

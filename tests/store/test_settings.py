"""What a database remembers of how its tables are built."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine
from statements import ask, execute

from refresh.errors import SettingsError
from refresh.store.database import connect, read_committed, transaction
from refresh.store.schema import looking, prepare
from refresh.store.settings import remember_zone, remembered_zone

TABLES = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY 1"


@pytest.fixture
def empty(database_url: str) -> Iterator[Engine]:
    """An engine on a database without any table."""
    with connect(database_url) as engine:
        yield engine


def test_nothing_is_remembered_where_nothing_exists(empty: Engine) -> None:
    """A database without tables, and one without the schema, remember no zone, and asking creates nothing."""
    with transaction(empty) as connection:
        assert remembered_zone(connection) is None
    with looking(empty) as connection:
        assert remembered_zone(connection) is None
    execute(empty, "DROP SCHEMA public CASCADE")
    with transaction(empty) as connection:
        assert remembered_zone(connection) is None


def test_remembering_creates_one_table(empty: Engine) -> None:
    """A zone is remembered without the other tables, is rolled back with its transaction, and refuses another one."""
    with transaction(empty) as connection:
        remember_zone(connection, "Asia/Tokyo")
        assert remembered_zone(connection) == "Asia/Tokyo"
        connection.rollback()
    assert ask(empty, TABLES) == []
    for _ in range(2):
        with transaction(empty) as connection:
            remember_zone(connection, "Asia/Tokyo")
    assert ask(empty, TABLES) == [("refresh_settings",)]
    with (
        pytest.raises(SettingsError, match=r"^--tz UTC: the tables were built with Asia/Tokyo; use --tz Asia/Tokyo"),
        transaction(empty) as connection,
    ):
        remember_zone(connection, "UTC")


@pytest.mark.parametrize(("given", "zone"), [(None, "Asia/Tokyo"), ("Asia/Tokyo", "Asia/Tokyo")])
def test_tables_take_the_remembered_zone(empty: Engine, given: str | None, zone: str) -> None:
    """The zone that loading remembered is that of the tables that a refresh creates later."""
    with transaction(empty) as connection:
        remember_zone(connection, "Asia/Tokyo")
    with read_committed(empty) as connection:
        assert prepare(connection, given) == zone
    with looking(empty) as connection:
        assert remembered_zone(connection) == zone


def test_new_tables_have_a_zone(empty: Engine) -> None:
    """Where nobody named a zone, it is UTC from the first run on."""
    with read_committed(empty) as connection:
        assert prepare(connection) == "UTC"
    with transaction(empty) as connection:
        assert remembered_zone(connection) == "UTC"


@pytest.mark.parametrize("tz", ["Mars", "", "utc ", "../UTC", "x" * 5_000])
def test_what_is_no_zone(empty: Engine, tz: str) -> None:
    """A zone that somebody wrote into the settings and that is none is refused, with the statement that mends it."""
    with read_committed(empty) as connection:
        prepare(connection)
    execute(empty, "UPDATE refresh_settings SET value = :tz WHERE name = 'tz'", tz=tz)
    with (
        transaction(empty) as connection,
        pytest.raises(SettingsError, match="is not the name of a time zone") as caught,
    ):
        remembered_zone(connection)
    assert len(str(caught.value)) < 300
    execute(empty, str(caught.value).partition("of the tables: ")[2])
    with transaction(empty) as connection:
        assert remembered_zone(connection) == "UTC"

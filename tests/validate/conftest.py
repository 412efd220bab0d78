"""Databases in which every table is built and right, and copies of them that tests may spoil."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from databases import database
from refreshing import NOW, TARGETS, refresh
from sqlalchemy import URL, Connection, Engine, make_url
from unpacked import make_writable
from validate import whole_tables
from validate.varied_prices import FILL, IDS, Parts
from validate.whole_tables import enable_few, execute

from refresh.catalog import BUILDERS
from refresh.due import survey
from refresh.options.request import Request
from refresh.records import Status
from refresh.store.database import connect, transaction
from refresh.validate.recompute import Part, recompute


@pytest.fixture(scope="session")
def built(server: URL, template: str) -> Iterator[str]:
    """The name of a database with two months of two assets, and three days within a week of a third."""
    with database(server, template) as url:
        with connect(url) as engine:
            whole_tables.fill(engine, 1, "2024-01-10Z", "2024-03-20Z")
            whole_tables.fill(engine, 2, "2024-01-01Z", "2024-03-05Z")
            whole_tables.fill(engine, 3, "2024-03-19Z", "2024-03-21Z")
            enable_few(engine)
            assert {outcome.status for outcome in refresh(engine)} == {Status.DONE}
            make_writable(engine)
        yield str(make_url(url).database)


@pytest.fixture
def engine(server: URL, built: str) -> Iterator[Engine]:
    """An engine on the test's own copy of that database."""
    with database(server, built) as url, connect(url) as engine:
        yield engine


@pytest.fixture(scope="module")
def shared_engine(server: URL, built: str) -> Iterator[Engine]:
    """An engine on a copy in which nothing is committed."""
    with database(server, built) as url, connect(url) as engine:
        yield engine


@pytest.fixture
def session(shared_engine: Engine) -> Iterator[Connection]:
    """A transaction that is rolled back."""
    with shared_engine.connect() as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def empty_engine(database_url: str) -> Iterator[Engine]:
    """An engine on a database without a table."""
    with connect(database_url) as engine:
        yield engine


@pytest.fixture(scope="session")
def varied(server: URL, template: str) -> Iterator[str]:
    """The name of a database with varied prices of two assets."""
    with database(server, template) as url:
        with connect(url) as engine:
            execute(engine, FILL, assets=list(IDS))
            enable_few(engine)
            assert {outcome.status for outcome in refresh(engine)} == {Status.DONE}
            make_writable(engine)
        yield str(make_url(url).database)


@pytest.fixture
def varied_engine(server: URL, varied: str) -> Iterator[Engine]:
    """An engine on the test's own copy of that database."""
    with database(server, varied) as url, connect(url) as engine:
        yield engine


@pytest.fixture(scope="module")
def varied_session(server: URL, varied: str) -> Iterator[Connection]:
    """A transaction on a copy of that database; each test undoes what it changes."""
    with database(server, varied) as url, connect(url) as engine, transaction(engine) as connection:
        yield connection
        connection.rollback()


@pytest.fixture(scope="module")
def parts(varied_session: Connection) -> Parts:
    """The rows that each table should have, recomputed before anything is changed."""
    scopes = survey.open_scopes(varied_session, BUILDERS, Request().selection, NOW)
    recomputed: dict[str, list[Part]] = {table: [] for table in TARGETS}
    for id in IDS:
        for part in recompute(varied_session, scopes, id):
            recomputed[part.leg.target].append(part)
    return recomputed

"""A real PostgreSQL for every test that asks: one server per session, a database of its own per test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import closing_server, create_tables, database, execute, guarded_folder
from sqlalchemy import URL, Engine, create_engine, make_url
from sqlalchemy.pool import NullPool

from refresh.server.programs import binaries, usable
from refresh.store.database import connect


@pytest.fixture(scope="session", autouse=True)
def logs(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Programs that the tests start leave no log in the checkout."""
    os.environ["REFRESH_LOG_DIR"] = str(tmp_path_factory.mktemp("logs"))


@pytest.fixture(scope="session")
def server() -> Iterator[URL]:
    """The session's own server: the URL of its database ``postgres``."""
    with guarded_folder() as folder:
        programs = usable(binaries(os.environ), folder / "cluster")
        with closing_server(folder, programs) as running:
            yield make_url(running.url(database="postgres")).set(drivername="postgresql+psycopg2")


@pytest.fixture(scope="session")
def template(server: URL) -> str:
    """The name of a database that has all tables and stays as it is, for others to be cloned from."""
    execute(server, "CREATE DATABASE prepared")
    engine = create_engine(server.set(database="prepared"), poolclass=NullPool)
    with engine.begin() as connection:
        create_tables(connection)
    return "prepared"


@pytest.fixture
def database_url(server: URL) -> Iterator[str]:
    """The URL of a new, empty database."""
    with database(server, "template1") as url:
        yield url


@pytest.fixture
def prepared_url(server: URL, template: str) -> Iterator[str]:
    """The URL of a new database that has the source table and all of ours, empty but for the default dimensions."""
    with database(server, template) as url:
        yield url


@pytest.fixture
def engine(prepared_url: str) -> Iterator[Engine]:
    """An engine on a new database that has all tables, with nothing in them but the default dimensions."""
    with connect(prepared_url) as engine:
        yield engine


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real price files, which are not part of the project."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("REFRESH_TEST_DATA") or beside)
    if not folder.is_dir():
        pytest.skip(f"no price files in {folder}: name their folder in REFRESH_TEST_DATA")
    return folder

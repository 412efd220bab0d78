"""What the tests of all examples ask for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from examples.schedulers import PROGRAMS, Digests, Scheduler, priced, scheduler_of
from refreshing import digests
from sqlalchemy import URL, Engine


@pytest.fixture
def prices(server: URL, template: str) -> Iterator[Engine]:
    """A database that an example refreshes."""
    with priced(server, template) as engine:
        yield engine


@pytest.fixture
def scheduler(prices: Engine, tmp_path: Path) -> Scheduler:
    """A scheduler that refreshes the database of the prices."""
    return scheduler_of(prices, tmp_path)


@pytest.fixture(scope="session")
def refreshed(server: URL, template: str, tmp_path_factory: pytest.TempPathFactory) -> Digests:
    """The digests of all tables after ``daily-refresh run`` on the same prices."""
    with priced(server, template) as engine:
        folder = tmp_path_factory.mktemp("refreshed")
        ended = scheduler_of(engine, folder).run(PROGRAMS / "daily-refresh", "run", "--quiet")
        assert ended.returncode == 0, ended.stderr
        return digests(engine)

"""A database with the sample, refreshed as a user does it, and open for reading."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from databases import database
from programs import run
from refreshing import FEW, enable
from sqlalchemy import URL

import refresh
from refresh.store.database import connect


@pytest.fixture(scope="session")
def sample_url(server: URL, template: str) -> Iterator[str]:
    """The URL of a database with the sample, whose tables are built for a few timeframes and periods."""
    with database(server, template) as url:
        with connect(url) as engine:
            enable(engine, [*FEW, "7D"], [10, 20])
        for program in ("-m refresh.load --sample", "run_daily_refresh.py --all"):
            ended = run(program, url=url)
            assert ended.returncode == 0, ended.stderr
        yield url


@pytest.fixture(scope="session")
def db(sample_url: str) -> Iterator[refresh.Database]:
    """That database, open for reading."""
    with refresh.connect(sample_url) as opened:
        yield opened

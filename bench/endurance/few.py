"""Databases with a timeframe or two of every family, so that all tables are built, and quickly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from sqlalchemy import MetaData, make_url, text

from bench.server import Bench, Database, Size, fill
from refresh.builder import work
from refresh.catalog import BUILDERS
from refresh.due import survey
from refresh.options.request import Request
from refresh.records import Outcome
from refresh.store.database import read_committed
from refresh.store.schema import prepare
from refresh.store.tables import source_table

TIMEFRAMES = ("2D", "1W_CAL_US", "1W_CAL_ISO", "1M_CAL", "1W_CAL_ANCHOR_US", "1W_CAL_ANCHOR_ISO", "1M_CAL_ANCHOR")
PERIODS = (10, 21)
_TIMEFRAMES = "UPDATE dim_timeframe SET is_enabled = tf = ANY(:enabled)"
_PERIODS = "UPDATE dim_period SET is_enabled = period = ANY(:enabled)"


@contextmanager
def prepared(bench: Bench) -> Iterator[str]:
    """The name of a database with empty tables, for others to be cloned from."""
    with bench.cloned(Size(0, 0)) as database:
        with database.engine.begin() as connection:
            source_table(MetaData()).create(connection)
            prepare(connection)
            connection.execute(text(_TIMEFRAMES), {"enabled": list(TIMEFRAMES)})
            connection.execute(text(_PERIODS), {"enabled": list(PERIODS)})
            prepare(connection)  # what is made of the dimensions
        database.engine.dispose()  # a database in which a session works cannot be cloned
        yield str(make_url(database.url).database)


@contextmanager
def built(bench: Bench, size: Size, template: str) -> Iterator[Database]:
    """A database whose tables are built from made up prices."""
    with bench.cloned(size, template) as database:
        fill(database.engine, size)
        refresh_here(database)
        yield database


def refresh_here(database: Database) -> None:
    """Refresh everything in this process, builder after builder, each as its own process would."""
    outcomes: list[Outcome] = []
    with read_committed(database.engine) as connection:
        scopes = survey.open_scopes(connection, BUILDERS, Request().selection, datetime.now(UTC))
    for scope in scopes:
        work.refresh(database.engine, scope, work.Listeners(report=outcomes.append))
    errors = [outcome.error for outcome in outcomes if outcome.error]
    assert not errors, errors[0]

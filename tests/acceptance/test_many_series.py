"""A hundred and twenty timeframes and ten periods: more series than one row of packed averages has room for."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date

import pytest
from refreshing import NOW, enable, open_scopes, refresh, rows
from sqlalchemy import Engine
from sqlalchemy.dialects.postgresql import insert
from statements import ask, execute
from validate.varied_prices import FILL

from refresh.catalog import SOURCE, by_key
from refresh.core.timeframe import Timeframe, Unit
from refresh.families import Alignment
from refresh.options.request import Request
from refresh.store.dimensions import dimension_row
from refresh.store.tables import METADATA
from refresh.validate.validation import validate

ASSETS = [1, 2, 3]
TIMEFRAMES = [Timeframe(days, Unit.DAY, Alignment.ROLLING) for days in range(2, 122)]
PERIODS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 12)
V2 = by_key("emas.v2").legs[0]
BUILDERS = [by_key(key) for key in ("bars.1d", "bars.multi_tf", "emas.multi_tf", "emas.v2")]


@pytest.fixture
def many(engine: Engine) -> Engine:
    """Three assets, and only these series."""
    execute(engine, FILL, assets=ASSETS)
    dimension = METADATA.tables["dim_timeframe"]
    with engine.begin() as connection:
        new = [asdict(dimension_row(timeframe, 1000 + place)) for place, timeframe in enumerate(TIMEFRAMES)]
        connection.execute(insert(dimension).on_conflict_do_nothing(), new)
    execute(engine, "INSERT INTO dim_period SELECT p, true, p FROM unnest(CAST(:p AS int[])) AS p", p=list(PERIODS))
    enable(engine, [timeframe.tf for timeframe in TIMEFRAMES], PERIODS)
    return engine


def test_built_revised_and_validated(many: Engine) -> None:
    """They are built, a revision reaches each of them, nothing is left to do, and every value is that of a rebuild."""
    refresh(many, builders=BUILDERS)
    places = ask(many, f"SELECT count(*), max(shelf), max(place) FROM {V2.places}")
    assert places == [(1200, 18, 64)]
    before = dict(ask(many, f"SELECT (id, tf, ts, period)::text, ema FROM {V2.target} WHERE id = 2"))
    execute(many, f'UPDATE {SOURCE} SET close = close + 1 WHERE id = 2 AND "timestamp" = (SELECT min("timestamp") '
                  f"FROM {SOURCE} WHERE id = 2)")  # fmt: skip
    refresh(many, Request(accept_restatement=True), BUILDERS)
    after = dict(ask(many, f"SELECT (id, tf, ts, period)::text, ema FROM {V2.target} WHERE id = 2"))
    assert after.keys() == before.keys()
    raised = {key for key in after if after[key] > before[key]}  # not so long after that it no longer shows
    assert all(after[key] == before[key] for key in after.keys() - raised)
    assert len(raised) > len(after) / 2
    assert refresh(many, builders=BUILDERS) == []
    scopes = open_scopes(many, builders=BUILDERS)
    validity = validate(many, scopes, ASSETS, len(ASSETS), date(2030, 1, 1))
    assert (validity.findings, list(validity.recomputed)) == ((), ASSETS)


def test_pieces_of_an_asset(many: Engine) -> None:
    """Computed in many batches of some series each, the rows are the same."""
    refresh(many, Request(ids=(1,)), BUILDERS)
    at_once = rows(many, V2.target)
    execute(many, f"TRUNCATE {V2.table}, {V2.state}")
    refresh(many, Request(ids=(1,)), BUILDERS, values_at_once=200_000, now=NOW)
    assert rows(many, V2.target) == at_once
    assert ask(many, f"SELECT count(DISTINCT shelf) FROM {V2.table}")[0][0] > 1

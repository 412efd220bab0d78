"""Rows and states that a user deletes, truncates or drops are built by the next run, bit for bit."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from databases import database
from databases import execute as execute_outside
from prices import fill
from refreshing import FEW, NOW, TARGETS, digests, enable, open_scopes, refresh
from sqlalchemy import URL, Engine
from statements import ask, execute

from refresh.catalog import BUILDERS, Leg, legs
from refresh.due import survey
from refresh.due.decision import Cause
from refresh.options.request import Request
from refresh.store.database import begin_writing, connect
from refresh.store.schema import looking
from refresh.store.tables import DAILY_STATE, LEDGER, MONTHS, REJECTS, ROWS_LOST, SETTINGS

Damage = Callable[[Leg], list[str]]
SOURCE, DAILY = "cmc_price_histories7", "cmc_price_bars_1d"
LEGS = {leg.target: leg for _, leg in legs()}
DISABLED = "3D"


def _delete(condition: str) -> Damage:
    return lambda leg: [f"DELETE FROM {leg.table} WHERE {condition.format(time=leg.shape.time)}"]


def _delete_series(leg: Leg) -> list[str]:
    if leg.averages:
        return [f"DELETE FROM {leg.places} WHERE period = 2"]
    some = "tf LIKE '1M%' OR tf = '2D'" if leg.shape.has_timeframes else "id = 1 AND bar_seq % 7 = 3"
    return [f"DELETE FROM {leg.table} WHERE {some}"]


ROWS: dict[str, Damage] = {
    "rows intact": lambda _: [],
    "some series": _delete_series,
    "first rows": _delete("\"{time}\" < '2024-02-05'"),
    "middle rows": _delete("\"{time}\" BETWEEN '2024-02-10' AND '2024-02-20' AND id = 1"),
    "last rows": _delete("\"{time}\" >= '2024-03-09'"),
    "an asset": _delete("id = 1"),
    "table truncated": lambda leg: [f"TRUNCATE {leg.table}"],
    "table dropped": lambda leg: [f"DROP TABLE {leg.table} CASCADE"],
}
PACKED: dict[str, Damage] = {
    "one series": lambda leg: [
        f"DELETE FROM {leg.places} WHERE period = 2 AND tf = (SELECT min(tf) FROM {leg.places})"
    ],
    "a shelf": lambda leg: [f"DELETE FROM {leg.table} WHERE shelf = 0"],
    "series truncated": lambda leg: [f"TRUNCATE {leg.places}"],
    "series dropped": lambda leg: [f"DROP TABLE {leg.places} CASCADE"],
    "all dropped": lambda leg: [f"DROP TABLE {leg.table}, {leg.places} CASCADE"],
    "view dropped": lambda leg: [f"DROP VIEW {leg.target}"],
    "series nowhere": lambda leg: [f"UPDATE {leg.places} SET place = -place WHERE period = 2"],
}
"""What else can happen to packed averages."""
STATES: dict[str, Damage] = {
    "state intact": lambda _: [],
    "states of an asset": lambda leg: [f"DELETE FROM {leg.state} WHERE id = 1"],
    "state truncated": lambda leg: [f"TRUNCATE {leg.state}"],
    "state dropped": lambda leg: [f"DROP TABLE {leg.state} CASCADE"],
}


def _cases() -> Iterator[tuple[str, str, str]]:
    """Every damage of every table, each with one of the damages of its state in turn, so that all pairs occur.

    With ``REFRESH_HEALING=each`` every damage of every table comes with every damage of its state.
    """
    is_whole = os.environ.get("REFRESH_HEALING") == "each"
    for number, leg in enumerate(LEGS.values()):
        for place, rows in enumerate([*ROWS, *(PACKED if leg.averages else [])]):
            for turn, state in enumerate(STATES):
                if is_whole or (number + place) % len(STATES) == turn:
                    yield leg.target, rows, state


CASES = list(_cases())


@pytest.fixture(scope="module")
def whole(server: URL, template: str) -> Iterator[tuple[str, dict[str, tuple[int, str]]]]:
    """A database in which everything is built, with a reject, and the digests of its tables."""
    with database(server, template) as url:
        with connect(url) as engine:
            for asset in (1, 2):
                fill(engine, asset, "2024-01-01", "2024-03-10")
            execute(engine, f"UPDATE {SOURCE} SET close = -1 WHERE id = 1 AND \"timestamp\"::date = '2024-02-15'")
            execute(engine, "INSERT INTO dim_period VALUES (2, true, 0), (3, true, 0)")
            enable(engine, FEW, (2, 3))
            refresh(engine)
            assert ask(engine, f"SELECT count(*) FROM {REJECTS}") == [(1,)]
            built = digests(engine)
        yield url.rpartition("/")[2], built


@pytest.fixture
def built(server: URL, whole: tuple[str, object]) -> Iterator[Engine]:
    """A copy of that database."""
    name = whole[0].partition("?")[0]
    with database(server, name) as url, connect(url) as engine:
        yield engine


@pytest.fixture(scope="module")
def shared(server: URL, whole: tuple[str, object]) -> Iterator[Engine]:
    """One copy for the whole matrix: each case begins where the one before was healed."""
    name = whole[0].partition("?")[0]
    with database(server, name) as url, connect(url) as engine:
        yield engine


def heal(engine: Engine, expected: object) -> None:
    """One ordinary refresh makes every table what it was, a second has nothing to do, and the ledger stays empty."""
    assert {outcome.error for outcome in refresh(engine)} <= {None}
    assert digests(engine) == expected
    assert refresh(engine, is_prepared=True) == []
    assert ask(engine, f"SELECT * FROM {LEDGER}") == []
    assert ask(engine, f"SELECT count(*) FROM {REJECTS}") == [(1,)]


@pytest.mark.parametrize(("table", "rows", "state"), CASES)
def test_heals(shared: Engine, whole: tuple[str, object], table: str, rows: str, state: str) -> None:
    """Any damage of a table together with any damage of its state."""
    leg = LEGS[table]
    execute(shared, *(ROWS | PACKED)[rows](leg), *STATES[state](leg))
    if rows != "rows intact":
        lost = ask(shared, "SELECT to_regclass(:name) IS NULL", name=table) == [(True,)]
        assert lost or digests(shared)[table] != dict(whole[1])[table]  # type: ignore[call-overload]
    heal(shared, whole[1])


@pytest.mark.parametrize("damage", [f"DELETE FROM {REJECTS}", f"TRUNCATE {REJECTS}", f"DROP TABLE {REJECTS} CASCADE"])
def test_rejects(built: Engine, whole: tuple[str, object], damage: str) -> None:
    """Rejects are built again."""
    execute(built, damage)
    heal(built, whole[1])


@pytest.mark.parametrize("damage", ["DELETE FROM {} WHERE id = 1", "TRUNCATE {}", "DROP TABLE {} CASCADE"])
@pytest.mark.parametrize("others", [(), (DAILY,), (DAILY_STATE,), (DAILY, DAILY_STATE)])
def test_memory_of_the_source(built: Engine, whole: tuple[str, object], damage: str, others: tuple[str, ...]) -> None:
    """What is remembered of the source is remembered again, also where bars or their state went with it."""
    execute(built, damage.format(MONTHS), *(damage.format(table) for table in others))
    heal(built, whole[1])


def causes(engine: Engine, request: Request | None = None) -> dict[str, set[Cause | None]]:
    """The causes of what is due, by builder that has anything due."""
    scopes = open_scopes(engine, request, BUILDERS)
    with engine.connect() as connection:
        dues = survey.survey(connection, scopes).dues
    return {key: {due.cause for due in of_builder} for key, of_builder in dues.items() if of_builder}


def test_only_lost_series_are_due(built: Engine) -> None:
    """Of a table that lost one series only that is rebuilt, also by a run with a filter; others wait."""
    execute(built, "DELETE FROM cmc_ema_multi_tf_series WHERE period = 2")
    assert causes(built) == {"emas.multi_tf": {Cause.CONTRADICTION}}
    refresh(built, Request(periods=(3,)))
    assert causes(built) == {"emas.multi_tf": {Cause.CONTRADICTION}}
    (outcome,) = {outcome.id: outcome for outcome in refresh(built) if outcome.id == 1}.values()
    assert outcome.reason.endswith(Cause.CONTRADICTION.value)
    assert causes(built) == {}


@pytest.mark.parametrize("damage", [f"DELETE FROM {SETTINGS}", f"DROP TABLE {SETTINGS} CASCADE"])
def test_settings(built: Engine, whole: tuple[str, dict[str, object]], damage: str) -> None:
    """What runs remember is remembered again: series that are new then get places of their own."""
    execute(built, damage, "INSERT INTO dim_period VALUES (4, true, 0)")
    refresh(built)
    assert ask(built, "SELECT count(*) > 0 FROM cmc_ema_multi_tf WHERE period = 4") == [(True,)]
    execute(built, "UPDATE dim_period SET is_enabled = false WHERE period = 4")
    for leg in LEGS.values():
        if leg.averages:
            execute(built, f"DELETE FROM {leg.places} WHERE period = 4")
    heal(built, whole[1])


def test_series_that_is_gone_leaves_nothing(built: Engine) -> None:
    """What is left in the lanes of a series that was lost contradicts no state, also where days go."""
    execute(built, "DELETE FROM cmc_ema_multi_tf_series WHERE period = 3")
    refresh(built)
    execute(built, f"DELETE FROM {SOURCE} WHERE \"timestamp\" > '2024-03-01Z'")
    refresh(built, Request(accept_restatement=True))
    assert refresh(built) == []


def test_disabled_timeframe(built: Engine) -> None:
    """Rows of a timeframe that is switched off are not due before it is switched on."""
    enable(built, (*FEW, DISABLED))
    refresh(built)
    enable(built, FEW)
    execute(built, f"DELETE FROM cmc_price_bars_multi_tf WHERE tf = '{DISABLED}' AND bar_seq = 2")
    assert causes(built) == {}
    enable(built, (*FEW, DISABLED))
    assert causes(built)["bars.multi_tf"] == {Cause.CONTRADICTION}


def test_asset_gone_from_the_source(built: Engine) -> None:
    """Bars that cannot be built again are not due, stay, and their asset is known without its state."""
    execute(
        built,
        f"DELETE FROM {SOURCE} WHERE id = 2",
        f"DELETE FROM {DAILY} WHERE id = 2 AND bar_seq = 20",
        f"DELETE FROM {DAILY_STATE} WHERE id = 2",
    )
    before = digests(built)[DAILY]
    refresh(built)
    assert digests(built)[DAILY] == before
    assert ask(built, f"SELECT count(*) FROM {DAILY} WHERE id = 2") == [(69,)]
    assert survey_ids(built) == (1, 2)


def survey_ids(engine: Engine) -> tuple[int, ...]:
    """The assets that are known."""
    scopes = open_scopes(engine)
    with engine.connect() as connection:
        return survey.asset_ids(connection, scopes[0])


@pytest.mark.parametrize("table", TARGETS[1:])
def test_watermark_that_is_set_back(built: Engine, whole: tuple[str, object], table: str) -> None:
    """A series is not continued from before its last row, where it would count closes twice: the asset is rebuilt."""
    leg = LEGS[table]
    execute(built, f"UPDATE {leg.state} SET seen_ts = seen_ts - interval '9 days' WHERE id = 2")
    (key,) = (builder.key for builder, own in legs() if own is leg)
    assert causes(built)[key] == {Cause.CONTRADICTION}
    heal(built, whole[1])


@pytest.mark.parametrize("table", TARGETS)
def test_older_version(built: Engine, whole: tuple[str, object], table: str) -> None:
    """Rows of older formulas are rebuilt, and the state then says the present version."""
    leg = LEGS[table]
    execute(built, f"UPDATE {leg.state} SET version = -1 WHERE id = 2")
    assert causes(built) == {builder.key: {Cause.OUTDATED} for builder, own in legs() if own is leg}
    heal(built, whole[1])
    assert ask(built, f"SELECT DISTINCT version FROM {leg.state}") == [(leg.version,)]


def test_our_own_deletes_are_not_noted(built: Engine) -> None:
    """Whoever writes as a builder does notes nothing; an UPDATE is never noted."""
    with built.begin() as connection:
        begin_writing(connection)
        connection.exec_driver_sql(f"DELETE FROM {DAILY} WHERE bar_seq = 5")
    execute(built, f"UPDATE {DAILY} SET close = close WHERE id = 1")
    assert ask(built, f"SELECT count(*) FROM {DAILY_STATE} WHERE version = {ROWS_LOST}") == [(0,)]


def test_another_role_deletes(built: Engine, server: URL) -> None:
    """A role that may delete rows, but not touch the state, deletes as before, and it is noted."""
    name = "healing_role"
    execute(built, f"CREATE ROLE {name}", f"GRANT SELECT, DELETE ON {DAILY} TO {name}")
    try:
        with built.begin() as connection:
            connection.exec_driver_sql(f"SET LOCAL ROLE {name}")
            connection.exec_driver_sql(f"DELETE FROM {DAILY} WHERE id = 2 AND bar_seq = 5")
        assert ask(built, f"SELECT id FROM {DAILY_STATE} WHERE version = {ROWS_LOST}") == [(2,)]
    finally:
        execute(built, f"DROP OWNED BY {name}")
        execute_outside(server, f"DROP ROLE {name}")


def test_partitioned_table(built: Engine) -> None:
    """Rows that are deleted from a partition are noted as well."""
    table = "cmc_ema_multi_tf_packed"
    execute(
        built,
        "DROP VIEW cmc_ema_multi_tf, cmc_ema_multi_tf_latest, cmc_ema_multi_tf_with_bars",
        f"ALTER TABLE {table} RENAME TO whole",
        f"CREATE TABLE {table} (LIKE whole INCLUDING DEFAULTS) PARTITION BY LIST (id)",
        f"ALTER TABLE {table} ADD PRIMARY KEY (id, ts, shelf)",
        *(f"CREATE TABLE part{id} PARTITION OF {table} FOR VALUES IN ({id})" for id in (1, 2)),
        f"INSERT INTO {table} SELECT * FROM whole",
        "DROP TABLE whole",
    )
    refresh(built)
    execute(built, "DELETE FROM part1 WHERE ts < '2024-02-01'")
    assert causes(built) == {"emas.multi_tf": {Cause.CONTRADICTION}}


def test_triggers_come_back(built: Engine, whole: tuple[str, object]) -> None:
    """Without its triggers a table may have lost rows unnoticed: they are enabled again, and it is rebuilt."""
    table = "cmc_price_bars_multi_tf"
    execute(built, f"ALTER TABLE {table} DISABLE TRIGGER USER", f"DELETE FROM {table} WHERE tf = '2D' AND bar_seq = 9")
    assert causes(built) == {"bars.multi_tf": {Cause.CONTRADICTION}}
    heal(built, whole[1])


def test_database_of_the_version_before(built: Engine, whole: tuple[str, object]) -> None:
    """It can be looked at as it is; a run adds columns and triggers, and nothing is rebuilt."""
    drops = [f"ALTER TABLE {leg.state} DROP COLUMN version" for leg in LEGS.values()]
    execute(
        built, *drops, "DROP FUNCTION refresh_note_lost_rows CASCADE", f"DELETE FROM {SETTINGS} WHERE name = 'views'"
    )
    with looking(built, "UTC") as connection:
        scopes = survey.open_scopes(connection, BUILDERS, Request().selection, NOW)
        assert not any(survey.survey(connection, scopes).dues.values())
    assert ask(built, "SELECT count(*) FROM pg_attribute WHERE attname = 'version' AND attrelid > 16384") == [(0,)]
    heal(built, whole[1])
    execute(built, "DELETE FROM cmc_ema_multi_tf_v2_series WHERE period = 3")
    assert causes(built) == {"emas.v2": {Cause.CONTRADICTION}}

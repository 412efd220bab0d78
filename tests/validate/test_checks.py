"""What is found wrong in whole tables without recomputing anything, and what is not judged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from databases import database
from programs import run
from refreshing import NOW, TARGETS, moved, open_scopes, refresh
from sqlalchemy import URL, Connection, Engine, MetaData, event, make_url, text

from refresh.catalog import BUILDERS, DAILY, SOURCE, BuilderConfig, Leg
from refresh.due import survey
from refresh.options.request import Request
from refresh.records import Status
from refresh.store.database import connect
from refresh.store.tables import METADATA, source_table
from refresh.validate.finding import Finding, Validity
from refresh.validate.validation import validate
from refresh.validate.whole import check_tables

IDS = (1, 2, 3)
TODAY = date(2030, 1, 1)
MIDDLE = "2024-02-20 23:59:59.999Z"
TFS = ["2D", "7D", "1W_CAL_US", "1W_CAL_ISO", "1M_CAL", "1W_CAL_ANCHOR_US", "1W_CAL_ANCHOR_ISO", "1M_CAL_ANCHOR"]
PERIODS = [1, 2, 3]
FILL = f"""
    INSERT INTO {SOURCE} (id, "timestamp", timeopen, timeclose, open, high, low, close, volume)
    SELECT :asset, at, at - interval '1 day - 1 ms', at, value, value + 7, value - 7, value + sin(n), 1000
    FROM generate_series(CAST(:first AS timestamptz), CAST(:last AS timestamptz), interval '1 day')
         WITH ORDINALITY AS day(midnight, n)
    CROSS JOIN LATERAL (SELECT midnight + interval '1 day - 1 ms' AS at, 50 + 20 * cos(n / 9.0) AS value) AS made
    WHERE n NOT IN (19, 20, 33, 47)
"""
SERIES = [leg for builder in BUILDERS for leg in builder.legs if leg.shape.has_timeframes]
BARS = [leg.target for leg in SERIES if not leg.averages]
EMAS = [leg.target for leg in SERIES if leg.averages]
VALUES = [pytest.param(leg.target, average.name) for leg in SERIES for average in leg.averages]


@pytest.fixture(scope="module")
def built(server: URL, template: str) -> Iterator[str]:
    """The name of a database that is right: two months of two assets, and three days within a week of a third."""
    with database(server, template) as url:
        with connect(url) as engine:
            fill(engine, 1, "2024-01-10Z", "2024-03-20Z")
            fill(engine, 2, "2024-01-01Z", "2024-03-05Z")
            fill(engine, 3, "2024-03-19Z", "2024-03-21Z")
            execute(engine, "UPDATE dim_timeframe SET is_enabled = tf = ANY(:tfs)", tfs=TFS)
            execute(engine, "UPDATE dim_period SET is_enabled = false")
            execute(engine, "INSERT INTO dim_period SELECT unnest(CAST(:periods AS int[])), true, 0", periods=PERIODS)
            assert {outcome.status for outcome in refresh(engine)} == {Status.DONE}
        yield str(make_url(url).database)


@pytest.fixture
def engine(server: URL, built: str) -> Iterator[Engine]:
    """An engine on the test's own copy of the database."""
    with database(server, built) as url, connect(url) as engine:
        yield engine


@pytest.fixture(scope="module")
def shared(server: URL, built: str) -> Iterator[Engine]:
    """An engine on a copy in which nothing is committed."""
    with database(server, built) as url, connect(url) as engine:
        yield engine


@pytest.fixture
def session(shared: Engine) -> Iterator[Connection]:
    """A transaction that is rolled back."""
    with shared.connect() as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def empty(database_url: str) -> Iterator[Engine]:
    """An engine on a database without a table."""
    with connect(database_url) as engine:
        yield engine


def fill(engine: Engine, asset: int, first: str, last: str) -> None:
    """Days of an asset, except a few of them."""
    execute(engine, FILL, asset=asset, first=first, last=last)


def execute(on: Engine | Connection, statement: str, **values: Any) -> int:
    """Run a statement in a given transaction or in its own. Returns the number of its rows."""
    if isinstance(on, Connection):
        return on.execute(text(statement), values).rowcount
    with on.begin() as connection:
        return connection.execute(text(statement), values).rowcount


def ask(on: Engine | Connection, query: str) -> Any:
    """The only value of a query."""
    if isinstance(on, Connection):
        return on.execute(text(query)).scalar_one()
    with on.connect() as connection:
        return connection.execute(text(query)).scalar_one()


def judge(
    engine: Engine, request: Request | None = None, *, ids: Sequence[int] | None = None, number: int = 0
) -> Validity:
    """A validation that recomputes only ``number`` assets."""
    if ids is None:
        ids = ask(engine, f"SELECT array_agg(DISTINCT id ORDER BY id) FROM {SOURCE}")
    return validate(engine, open_scopes(engine, request), ids, number, TODAY)


def checked(session: Connection, builders: Sequence[BuilderConfig] = BUILDERS) -> list[Finding]:
    """What is wrong in the tables of some builders, in one pass over each."""
    return check_tables(session, survey.open_scopes(session, builders, Request().selection, NOW), IDS)


def findings(session: Connection, table: str) -> list[Finding]:
    """What is wrong in a table."""
    builders = [builder for builder in BUILDERS if table in {leg.target for leg in builder.legs}]
    return [finding for finding in checked(session, builders) if finding.table == table]


def time_of(table: str) -> str:
    """The column that holds the time of a table's rows."""
    return '"timestamp"' if "timestamp" in METADATA.tables[table].columns else "ts"


def copy(engine: Engine | Connection, table: str, condition: str, **changes: str) -> None:
    """Add a row that differs from the only row for which the condition holds."""
    names = [f'"{column.name}"' for column in METADATA.tables[table].columns]
    values = ", ".join(changes.get(name.strip('"'), name) for name in names)
    insert = f"INSERT INTO {table} ({', '.join(names)}) SELECT {values} FROM {table} WHERE {condition}"
    assert execute(engine, insert) == 1


def middle_row(table: str) -> str:
    """A condition that picks a row of asset 1 in the middle of a series."""
    series = "" if table == DAILY else f"AND tf = (SELECT max(tf) FROM {table} WHERE id = 1)"
    period = "AND period = 2" if table in EMAS else ""
    return f"id = 1 AND {time_of(table)} = '{MIDDLE}' {series} {period}"


def series_of(engine: Engine | Connection, table: str) -> tuple[int, str | None, int | None]:
    """How a finding names the series of that row."""
    if table == DAILY:
        return 1, None, None
    return 1, ask(engine, f"SELECT max(tf) FROM {table} WHERE id = 1"), 2 if table in EMAS else None


def named(findings: Sequence[Finding]) -> list[tuple[int, str | None, int | None]]:
    """The series that the findings name."""
    return [(finding.id, finding.tf, finding.period) for finding in findings]


# Nothing wrong


def test_right_tables_have_no_finding(engine: Engine) -> None:
    """Every asset is judged and none is recomputed; nothing is written."""
    before = moved(engine)
    validity = judge(engine)
    assert (validity.judged, validity.recomputed, validity.pending, validity.findings) == (3, (), (), ())
    assert moved(engine) == before


def test_windows_that_begin_later_are_right(engine: Engine) -> None:
    """An aligned series begins with its first whole unit; one that has not begun has no row, and needs none."""
    first = f"SELECT min(\"timestamp\")::date FROM {BARS[1]} WHERE tf = '{{}}' AND id = {{}}"
    assert ask(engine, first.format("1M_CAL", 1)) == date(2024, 2, 1)
    assert ask(engine, first.format("1M_CAL", 2)) == date(2024, 1, 1)
    assert ask(engine, first.format("1W_CAL_US", 1)) == date(2024, 1, 14)
    assert ask(engine, first.format("1W_CAL_US", 3)) is None
    assert judge(engine).findings == ()


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York", "Pacific/Kiritimati"])
def test_days_of_another_zone_are_right(empty: Engine, zone: str) -> None:
    """The first whole unit is one of the run's time zone."""
    request = Request(tz=zone)
    source_table(MetaData()).create(empty)
    open_scopes(empty, request)
    for asset, first in enumerate(("2023-12-31Z", "2024-01-07Z", "2024-01-08Z"), 1):
        fill(empty, asset, first, "2024-02-20Z")
    execute(empty, "INSERT INTO dim_period VALUES (2, true, 0)")
    execute(empty, "UPDATE dim_period SET is_enabled = period < 11")
    assert {outcome.status for outcome in refresh(empty, request)} == {Status.DONE}
    validity = judge(empty, request, number=3)
    assert (validity.findings, validity.recomputed) == ((), IDS)


def test_share_without_weekends_is_right(empty: Engine) -> None:
    """The years of a share have no finding in any table, recomputed or not."""
    assert run("-m refresh.load", "--sample", url=empty.url.render_as_string(hide_password=False)).returncode == 0
    execute(empty, f"DELETE FROM {SOURCE} WHERE \"timestamp\" < '2020-06-01Z'")
    assert {outcome.status for outcome in refresh(empty)} == {Status.DONE}
    assert all(ask(empty, f"SELECT count(*) FROM {table}") for table in TARGETS)
    validity = judge(empty, number=1)
    assert (validity.findings, validity.pending, len(validity.recomputed)) == ((), (), 1)


def test_real_prices_are_right(empty: Engine, shared_data: Path) -> None:
    """All assets of the exports, recomputed, are what the tables hold."""
    files = sorted(str(file) for file in (shared_data / "cmc").glob("*.csv") if file.name != "manifest.csv")
    assert run("-m refresh.load", *files, url=empty.url.render_as_string(hide_password=False)).returncode == 0
    assert {outcome.status for outcome in refresh(empty)} == {Status.DONE}
    validity = judge(empty, number=100)
    assert (validity.findings, validity.pending, len(validity.recomputed)) == ((), (), 8)


# Rows that are missing or too many


@pytest.mark.parametrize("table", TARGETS)
def test_missing_row(session: Connection, table: str) -> None:
    """A row that is gone from the middle is missing in its own series, and in no other."""
    expected = series_of(session, table)
    assert execute(session, f"DELETE FROM {table} WHERE {middle_row(table)}") == 1
    (finding,) = findings(session, table)
    assert named([finding]) == [expected]
    if table == DAILY:
        assert (finding.expected, finding.found) == ("bar_seq 1 to 66", "bar_seq 1 to 67")
    else:
        assert [other.table for other in checked(session)] == [table]
        rows = [int(side.split()[0]) for side in (finding.expected, finding.found)]
        assert rows[0] == rows[1] + 1


@pytest.mark.parametrize("table", TARGETS)
def test_doubled_day(session: Connection, table: str) -> None:
    """A day that has two rows is found in its own series, and in no other."""
    expected, time = series_of(session, table), time_of(table)
    numbers = {"bar_seq": "68"} if table == DAILY else {}
    copy(session, table, middle_row(table), **{time.strip('"'): f"{time} - interval '1 second'"}, **numbers)
    (finding,) = findings(session, table)
    assert named([finding]) == [expected]
    if table == DAILY:
        assert (finding.expected, finding.found) == ("68 days", "67 days in 68 rows")


@pytest.mark.parametrize("table", [leg.target for leg in SERIES])
def test_row_before_the_first(session: Connection, table: str) -> None:
    """A row before the first one that a series should have is one too many."""
    id, tf, period = expected = series_of(session, table)
    time = time_of(table)
    series = f"id = {id} AND tf = '{tf}'" + (f" AND period = {period}" if period else "")
    copy(
        session,
        table,
        f"{series} AND {time} = (SELECT min({time}) FROM {table} WHERE {series})",
        **{time.strip('"'): f"{time} - interval '1 day'"},
    )
    assert named(findings(session, table)) == [expected]


@pytest.mark.parametrize("table", [leg.target for leg in SERIES])
def test_series_that_begins_late(session: Connection, table: str) -> None:
    """A series that lacks its first row is found, from where it now begins."""
    id, tf, period = expected = series_of(session, table)
    time = time_of(table)
    series = f"id = {id} AND tf = '{tf}'" + (f" AND period = {period}" if period else "")
    execute(
        session, f"DELETE FROM {table} WHERE {series} AND {time} = (SELECT min({time}) FROM {table} WHERE {series})"
    )
    (finding,) = findings(session, table)
    assert named([finding]) == [expected]
    assert finding.time == ask(session, f"SELECT min({time}) FROM {table} WHERE {series}")


@pytest.mark.parametrize("table", [leg.target for leg in SERIES])
def test_series_that_is_gone(session: Connection, table: str) -> None:
    """A series without any row is found, though its state says that it is done."""
    id, tf, period = expected = series_of(session, table)
    series = f"id = {id} AND tf = '{tf}'" + (f" AND period = {period}" if period else "")
    execute(session, f"DELETE FROM {table} WHERE {series}")
    (finding,) = findings(session, table)
    assert named([finding]) == [expected]
    assert finding.found == "no rows"


@pytest.mark.parametrize(("table", "tf"), [(BARS[1], "1W_CAL_US"), (BARS[2], "1M_CAL"), (EMAS[1], "1W_CAL_US")])
def test_series_that_should_not_be(session: Connection, table: str, tf: str) -> None:
    """Rows of an enabled timeframe that has not begun for an asset are too many."""
    period = "AND period = 1" if table in EMAS else ""
    copy(session, table, f"id = 2 AND tf = '{tf}' AND {time_of(table)} = '{MIDDLE}' {period}", id="3")
    assert named(checked(session)) == [(3, tf, 1 if table in EMAS else None)]


def test_hole_in_the_numbers(session: Connection) -> None:
    """Daily bars are numbered without a hole."""
    execute(session, f"UPDATE {DAILY} SET bar_seq = bar_seq + 1000 WHERE id = 2 AND bar_seq > 30")
    execute(session, f"UPDATE {DAILY} SET bar_seq = bar_seq - 999 WHERE id = 2 AND bar_seq > 1000")
    (finding,) = findings(session, DAILY)
    assert finding == Finding(table=DAILY, id=2, expected="bar_seq 1 to 61", found="bar_seq 1 to 62")


# Laws of single rows


@pytest.mark.parametrize("table", [DAILY, *BARS])
@pytest.mark.parametrize(
    "change",
    [
        "high = close - 0.5",
        "low = open + 0.5",
        "low = 0",
        "high = 'infinity'",
        "high = 'NaN'",
        "close = 'NaN'",
        "time_close = time_open - interval '1 second'",
    ],
)
def test_lawless_bar(session: Connection, table: str, change: str) -> None:
    """A bar that is not within its own high and low is found, and named with its time."""
    execute(session, f"UPDATE {table} SET {change} WHERE {middle_row(table)}")
    (finding,) = findings(session, table)
    assert named([finding]) == [series_of(session, table)]
    assert f"{finding.time:%Y-%m-%d}" == MIDDLE[:10]


@pytest.mark.parametrize(("table", "column"), VALUES)
@pytest.mark.parametrize("value", ["1000", "-1", "'NaN'", "'infinity'", "'-infinity'", "NULL"])
def test_lawless_ema(session: Connection, table: str, column: str, value: str) -> None:
    """A mean of closes lies within them; whatever does not is found, and named with its time."""
    execute(session, f"UPDATE {table} SET {column} = {value} WHERE {middle_row(table)}")
    (finding,) = findings(session, table)
    assert named([finding]) == [series_of(session, table)]
    assert f"{finding.time:%Y-%m-%d}" == MIDDLE[:10]


# What the state says


@pytest.mark.parametrize("leg", SERIES, ids=lambda leg: leg.target)
def test_state_of_a_series_has_another_end(session: Connection, leg: Leg) -> None:
    """The state of a series ends where its rows do."""
    tf = series_of(session, leg.target)[1]
    execute(session, f"UPDATE {leg.state} SET last_ts = last_ts - interval '1 day' WHERE id = 1 AND tf = '{tf}'")
    wrong = checked(session)
    assert {(finding.table, finding.id, finding.tf) for finding in wrong} == {(leg.target, 1, tf)}
    assert all("as the state says" in finding.expected for finding in wrong)


@pytest.mark.parametrize("table", TARGETS)
def test_rows_of_an_unknown_asset(engine: Engine, table: str) -> None:
    """Rows of an asset that neither the source nor the daily bars know are found in every table."""
    columns = ", ".join(f'"{column.name}"' for column in METADATA.tables[table].columns if column.name != "id")
    with engine.begin() as connection:
        connection.execute(text(f"INSERT INTO {table} (id, {columns}) SELECT 99, {columns} FROM {table} WHERE id = 1"))
    (finding,) = judge(engine).findings
    assert (finding.table, finding.id, finding.expected) == (table, 99, "no rows of an unknown asset")


@pytest.mark.parametrize(
    "kind",
    ["bars", "EMAs"],
)
def test_state_contradicts_its_table(engine: Engine, kind: str) -> None:
    """A table that does not end where its state says is a finding, and nothing else of the asset is judged."""
    tables = BARS if kind == "bars" else EMAS
    for table in tables:
        execute(engine, f"DELETE FROM {table} WHERE id = 1 AND {time_of(table)} > '2024-03-20Z'")
    validity = judge(engine, number=3)
    assert [(finding.table, finding.id) for finding in validity.findings] == [(table, 1) for table in tables]
    assert validity.pending == (1,)
    assert validity.recomputed == (2, 3)


def test_daily_state_has_another_beginning(session: Connection) -> None:
    """The daily state begins where the daily bars do."""
    execute(session, f"UPDATE {DAILY}_state SET daily_min_seen = daily_min_seen + interval '1 day' WHERE id = 2")
    (finding,) = checked(session)
    assert (finding.table, finding.id) == (DAILY, 2)
    assert finding.expected == (
        "rows from 2024-01-02 23:59:59.999000+00:00 to 2024-03-05 23:59:59.999000+00:00, as the state says"
    )


def test_daily_state_contradicts_the_daily_bars(engine: Engine) -> None:
    """Daily bars that do not end where the state says are a finding."""
    execute(engine, f"UPDATE {DAILY}_state SET last_src_ts = last_src_ts + interval '1 day' WHERE id = 2")
    assert (DAILY, 2) in {(finding.table, finding.id) for finding in judge(engine).findings}


# Who is not judged


def test_asset_with_new_days_is_not_judged(engine: Engine) -> None:
    """What has yet to be refreshed is named and left alone; all others are judged."""
    fill(engine, 2, "2024-03-06Z", "2024-03-07Z")
    for id in (1, 2):
        execute(engine, f"UPDATE {BARS[0]} SET high = low - 1 WHERE id = {id} AND \"timestamp\" = '{MIDDLE}'")
    validity = judge(engine)
    assert validity.pending == (2,)
    assert {finding.id for finding in validity.findings} == {1}


def test_changed_asset_is_not_judged(engine: Engine) -> None:
    """An asset whose past changed in the source is due as well."""
    execute(engine, f"UPDATE {SOURCE} SET volume = 7 WHERE id = 1 AND timeclose = '{MIDDLE}'")
    validity = judge(engine, number=3)
    assert (validity.pending, validity.recomputed, validity.findings) == ((1,), (2, 3), ())


def test_unbuilt_asset_is_not_judged(engine: Engine) -> None:
    """An asset without any table is due."""
    fill(engine, 4, "2024-03-06Z", "2024-03-07Z")
    assert judge(engine).pending == (4,)


def test_disabled_series_are_not_judged(engine: Engine) -> None:
    """Rows that are kept of disabled timeframes and periods may be anything."""
    execute(engine, f"UPDATE {BARS[0]} SET high = low - 1 WHERE tf = '7D'")
    execute(engine, f"DELETE FROM {EMAS[0]} WHERE period = 3 AND ts = '{MIDDLE}'")
    wrong = {(finding.table, finding.id) for finding in judge(engine).findings}
    assert wrong >= {(BARS[0], 1), (EMAS[0], 1)}
    execute(engine, "UPDATE dim_timeframe SET is_enabled = false WHERE tf = '7D'")
    execute(engine, "UPDATE dim_period SET is_enabled = false WHERE period = 3")
    validity = judge(engine, number=3)
    assert (validity.findings, validity.recomputed) == ((), IDS)


def test_filters_narrow_what_is_judged(engine: Engine) -> None:
    """What is not selected is not judged."""
    execute(engine, f"UPDATE {BARS[0]} SET high = low - 1 WHERE tf = '7D' AND id = 1")
    assert judge(engine).findings
    assert judge(engine, Request(ids=(2,)), ids=(2,), number=1).findings == ()
    assert judge(engine, Request(tfs=("2D",)), ids=IDS).findings == ()


@pytest.mark.parametrize(
    ("filters", "period"),
    [({"tfs": ("2D",)}, 2), ({"periods": (2,)}, 2), ({"tf_period_combos": (("2D", 1), ("7D", 2))}, 1)],
)
def test_filters_narrow_what_is_recomputed(engine: Engine, filters: dict[str, Any], period: int) -> None:
    """Only selected series are compared with what was recomputed; a wrong value in one of them is found."""
    request = Request(**filters)
    spoil = f"UPDATE {EMAS[0]} SET d1_roll = 7 WHERE id = 1 AND tf = :tf AND period = :period AND ts = '{MIDDLE}'"
    execute(engine, spoil, tf="7D", period=1)
    assert judge(engine, request, ids=IDS, number=3).findings == ()
    execute(engine, spoil, tf="2D", period=period)
    assert named(judge(engine, request, ids=IDS, number=3).findings) == [(1, "2D", period)]


@pytest.mark.parametrize(
    ("statement", "is_refreshed", "pending"),
    [("AS lawless", False, (2,)), ("AS lawless", True, ()), ("octet_length", False, ()), ("octet_length", True, ())],
)
def test_source_that_changes_meanwhile(
    engine: Engine, statement: str, is_refreshed: bool, pending: tuple[int, ...]
) -> None:
    """Days that are loaded, and even taken in, while tables are judged or assets recomputed are no finding."""
    scopes = open_scopes(engine)
    loaded: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def load(_connection: Connection, _cursor: Any, running: str, *_: object) -> None:
        if statement in running and not loaded:
            loaded.append(running)
            fill(engine, 2, "2024-03-06Z", "2024-03-07Z")
            if is_refreshed:
                refresh(engine)

    validity = validate(engine, scopes, IDS, 3, TODAY)
    assert loaded
    assert (validity.findings, validity.pending) == ((), pending)
    assert {*validity.recomputed, *pending} == set(IDS)


def test_asset_gone_from_the_source_is_not_judged(engine: Engine) -> None:
    """Bars that are kept of an asset that is gone from the source cannot be judged."""
    execute(engine, f"DELETE FROM {SOURCE} WHERE id = 2")
    execute(engine, f"UPDATE {BARS[0]} SET high = low - 1 WHERE id = 2")
    validity = judge(engine, ids=IDS, number=3)
    assert (validity.findings, validity.pending, validity.recomputed) == ((), (), (1, 3))


@pytest.mark.parametrize("change", ["close = NULL", "volume = -1", "low = 0, high = 0, open = 0, close = 0"])
def test_asset_without_a_bar_is_right(engine: Engine, change: str) -> None:
    """An asset whose rows are all refused has no rows, and none are missing, recomputed or not."""
    execute(engine, f"UPDATE {SOURCE} SET {change} WHERE id = 2")
    refresh(engine, Request(accept_restatement=True))
    fill(engine, 5, "2024-03-06Z", "2024-03-17Z")
    execute(engine, f"UPDATE {SOURCE} SET {change} WHERE id = 5")
    refresh(engine)
    assert ask(engine, f"SELECT count(*) FROM {DAILY} WHERE id IN (2, 5)") == 0
    validity = judge(engine, number=9)
    assert (validity.findings, validity.pending, validity.recomputed) == ((), (), (1, 2, 3, 5))


def test_rows_of_an_asset_without_a_bar_are_found(engine: Engine) -> None:
    """An asset that has no bars has no other rows either."""
    execute(engine, f"UPDATE {SOURCE} SET close = NULL WHERE id = 3")
    refresh(engine, Request(accept_restatement=True))
    assert judge(engine).findings == ()
    for table in (BARS[0], EMAS[0]):
        copy(engine, table, middle_row(table), id="3")
    assert {(finding.table, finding.id) for finding in judge(engine).findings} == {(BARS[0], 3), (EMAS[0], 3)}


def test_future_days_that_come_true_are_right(engine: Engine) -> None:
    """A day that was refused as too far ahead is due when it comes, and so no finding."""
    fill(engine, 2, "2030-01-03Z", "2030-01-03Z")
    refresh(engine)
    assert (judge(engine, number=3).findings, judge(engine).pending) == ((), ())
    later = open_scopes(engine, now=NOW.replace(day=3))
    validity = validate(engine, later, IDS, 3, TODAY)
    assert (validity.findings, validity.pending) == ((), (2,))


def test_database_without_assets_is_right(prepared_url: str) -> None:
    """Empty tables have no finding."""
    with connect(prepared_url) as engine:
        assert judge(engine, ids=()).findings == ()

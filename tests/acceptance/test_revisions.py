"""Prices that are revised, filled in, removed or refused: what is rewritten, what is not, and what is said."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from programs import run
from refreshing import NOW, TARGETS, digest, moved, refresh
from sqlalchemy import Connection, Engine, text

from refresh.catalog import BUILDERS, DAILY, SOURCE, Group
from refresh.options.request import Request
from refresh.records import Status
from refresh.store.database import connect
from refresh.store.tables import LEDGER

ACCEPTED = Request(accept_restatement=True)


@pytest.fixture
def engine(prepared_url: str) -> Iterator[Engine]:
    """A database with all tables and few series, so that many assets are quickly built."""
    made = connect(prepared_url)
    few = ["2D", "1W_CAL_US", "1W_CAL_ISO", "1M_CAL", "1W_CAL_ANCHOR_US", "1W_CAL_ANCHOR_ISO", "1M_CAL_ANCHOR"]
    with made.begin() as connection:
        connection.execute(text("UPDATE dim_timeframe SET is_enabled = tf = ANY(:few)"), {"few": few})
        connection.execute(text("UPDATE dim_period SET is_enabled = period IN (10, 20)"))
    yield made
    made.dispose()


def fill(connection: Connection, assets: int, first: str, days: int) -> None:
    """Give every asset gap-free prices that go up and down."""
    connection.execute(
        text(f"""
            INSERT INTO {SOURCE} (id, name, timeopen, timeclose, timehigh, timelow, open, high, low, close, volume,
                                  marketcap, "timestamp")
            SELECT a, 'asset ' || a, d, d + interval '23:59:59', d + interval '7h', d + interval '3h',
                   100 + sin(n + a), 102 + sin(n + a), 98 + sin(n + a), 100 + cos(n * 3 + a), 1e6, 1e9,
                   d + interval '23:59:59'
            FROM generate_series(1, :assets) a,
                 generate_series(CAST(:first AS timestamptz), CAST(:first AS timestamptz) + :days * interval '1 day',
                                 '1 day') WITH ORDINALITY AS g(d, n)
        """),
        {"assets": assets, "first": first, "days": days - 1},
    )


def change(engine: Engine, statement: str) -> None:
    """Change the source as the user's own programs would."""
    with engine.begin() as connection:
        connection.execute(text(statement))


def time_of(table: str) -> str:
    """The column that holds a row's daily timestamp."""
    return "ts" if "ema" in table else '"timestamp"'


def digests(engine: Engine) -> dict[str, tuple[int, str]]:
    """What every target table holds."""
    return {table: digest(engine, table) for table in TARGETS}


def ledger(engine: Engine) -> list[tuple[object, ...]]:
    """What the ledger says, in order."""
    columns = "id, first_day, last_day, rows_changed, old_close, new_close, reason"
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(f"SELECT {columns} FROM {LEDGER} ORDER BY noted_at, id"))]


def test_an_old_edit_of_one_asset_rewrites_that_asset_from_that_day(engine: Engine) -> None:
    """One close of one of fifty assets, edited years back: its rows from then on, one ledger row, no other write."""
    with engine.begin() as connection:
        fill(connection, 50, "2019-01-01", 2000)
        old = connection.execute(
            text(f"SELECT close FROM {SOURCE} WHERE id = 7 AND \"timestamp\"::date = '2019-05-01'")
        )
        close = old.scalar_one()
    refresh(engine)
    with engine.connect() as connection:
        built = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    before = moved(engine)
    change(engine, f"UPDATE {SOURCE} SET close = 101.5 WHERE id = 7 AND \"timestamp\"::date = '2019-05-01'")
    outcomes = refresh(engine)

    reason = f"close of 2019-05-01 changed from {close} to 101.5"
    assert [(one.builder, one.id, one.status) for one in outcomes] == [(one.key, 7, Status.DONE) for one in BUILDERS]
    assert outcomes[0].reason == reason
    assert {one.reason for one in outcomes[1:]} == {"revise from 2019-05-01"}
    assert ledger(engine) == [(7, date(2019, 5, 1), date(2019, 5, 1), 1, close, 101.5, reason)]
    after = moved(engine)
    for table in TARGETS:
        query = text(f"""SELECT count(*), min(id), max(id), min({time_of(table)})::date FROM {table}
                         WHERE ingested_at > :built""")
        with engine.connect() as connection:
            written, lowest, highest, first = connection.execute(query, {"built": built}).one()
        assert (lowest, highest, first) == (7, 7, date(2019, 5, 1)), table
        inserted, updated, deleted = (now - then for now, then in zip(after[table], before[table], strict=True))
        assert (inserted, updated, deleted) == (written, 0, written), table
    assert moved(engine)[DAILY][0] - before[DAILY][0] == 1, "of the daily bars, one row"


def test_nothing_new_writes_nothing(engine: Engine) -> None:
    """A refresh after which the source did not change touches no row of any target table."""
    with engine.begin() as connection:
        fill(connection, 3, "2023-01-01", 100)
    refresh(engine)
    before = moved(engine)
    assert refresh(engine) == []
    assert moved(engine) == before


def test_a_name_alone_changes_no_price(engine: Engine) -> None:
    """A new name is written to the daily bars and to nothing that follows them; the ledger stays empty."""
    with engine.begin() as connection:
        fill(connection, 1, "2023-01-01", 100)
    refresh(engine)
    before = moved(engine)
    change(engine, f"UPDATE {SOURCE} SET name = 'other' WHERE \"timestamp\"::date = '2023-02-01'")
    (outcome,) = refresh(engine)
    assert (outcome.builder, outcome.rows, outcome.reason) == ("bars.1d", 1, "source rows changed, but no price")
    after = moved(engine)
    assert {table for table in TARGETS if after[table] != before[table]} == {DAILY}
    assert ledger(engine) == []


def test_a_volume_alone_changes_no_ema(engine: Engine) -> None:
    """A volume that is revised rewrites the bars that hold its day and no EMA."""
    with engine.begin() as connection:
        fill(connection, 1, "2023-01-01", 200)
    refresh(engine)
    before = moved(engine)
    change(engine, f"UPDATE {SOURCE} SET volume = 5 WHERE \"timestamp\"::date = '2023-02-01'")
    refresh(engine)
    after = moved(engine)
    touched = {table: after[table][0] - before[table][0] for table in TARGETS if after[table] != before[table]}
    assert set(touched) == {leg.target for one in BUILDERS if one.group is Group.BARS for leg in one.legs}
    assert touched["cmc_price_bars_multi_tf"] == 1, "1 February is the second day of its 2D bar"


def test_a_hole_that_is_filled_later(engine: Engine, shared_data: Path, tmp_path: Path) -> None:
    """Bitcoin and Ether with fourteen months missing, then with a part of them, equal a build from all of it."""
    real = ["bitcoin_2022-2023.csv", "bitcoin_2024-2025.csv", "ethereum_2022-2023.csv", "ethereum_2024-2025.csv"]
    url = engine.url.render_as_string(hide_password=False)
    loaded = run("-m refresh.load", *(str(shared_data / "cmc" / name) for name in real), url=url)
    assert loaded.returncode == 0, loaded.stderr
    refresh(engine)
    with engine.connect() as connection:
        hole = text(f"SELECT max(count_missing_days) FROM {DAILY} WHERE id = 1")
        assert connection.execute(hole).scalar_one() == (date(2024, 11, 3) - date(2023, 9, 10)).days - 1
    part = tmp_path / "part.csv"
    first = date(2024, 1, 1)
    lines = [
        f"{asset},{first + timedelta(n)},{90 + n},{95 + n},{85 + n},{91 + n},1000"
        for asset in (1, 1027)
        for n in range(60)
    ]
    part.write_text("\n".join(["id,date,open,high,low,close,volume", *lines]))
    assert run("-m refresh.load", str(part), url=url).returncode == 0
    outcomes = refresh(engine)
    assert {one.reason for one in outcomes if one.builder == "bars.1d"} == {"60 days added in between"}
    found = digests(engine)
    refresh(engine, Request(full_rebuild=True))
    assert digests(engine) == found


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        (f"DELETE FROM {SOURCE} WHERE \"timestamp\"::date IN ('2023-02-01', '2023-02-03')", "2 days deleted"),
        (f"DELETE FROM {SOURCE} WHERE \"timestamp\"::date >= '2023-04-09'", "2 days deleted"),
        (
            f"UPDATE {SOURCE} SET high = 200 WHERE \"timestamp\"::date BETWEEN '2023-02-01' AND '2023-02-03'",
            "high of 2023-02-01 changed from 102.99991186010726 to 200.0, 2 more days changed",
        ),
        (
            f"""INSERT INTO {SOURCE} (id, open, high, low, close, timeopen, timeclose, "timestamp")
                SELECT 1, 5, 6, 4, 5, d, d, d
                FROM generate_series('2022-12-28'::timestamptz, '2022-12-30', '1 day') d""",
            "3 days added before the first one",
        ),
        (
            f"""INSERT INTO {SOURCE} (id, open, high, low, close, timeopen, timeclose, "timestamp")
                VALUES (1, 5, 6, 4, 5, '2023-04-11', '2023-04-11', '2023-04-11')""",
            "1 day appended",
        ),
        (f"UPDATE {SOURCE} SET close = NULL WHERE \"timestamp\"::date = '2023-02-01'", "1 day deleted"),
    ],
)
def test_every_revision_says_what_happened(engine: Engine, statement: str, reason: str) -> None:
    """The reason names the first changed day with its old and new value, or counts the days that came and went."""
    with engine.begin() as connection:
        fill(connection, 1, "2023-01-01", 100)
    refresh(engine)
    change(engine, statement)
    assert refresh(engine)[0].reason == reason


def test_many_assets_restated_at_once_are_refused(engine: Engine) -> None:
    """A quarter of the assets rewritten at once is not taken in until it is accepted; appends of others are."""
    with engine.begin() as connection:
        fill(connection, 48, "2023-01-01", 40)
    refresh(engine)
    before = digests(engine)
    change(engine, f"UPDATE {SOURCE} SET close = close * 1.01 WHERE id <= 12 AND \"timestamp\"::date = '2023-01-05'")
    refused = refresh(engine, builders=BUILDERS[:1])
    assert [one.id for one in refused if one.status is Status.FAILED] == list(range(1, 13))
    assert all("12 of 48 assets are restated at once (--restate-limit 20 %)" in str(one.error) for one in refused)
    assert all("--accept-restatement" in str(one.error) for one in refused)
    assert digests(engine) == before
    assert refresh(engine, Request(restate_limit=30.0), BUILDERS[:1])[0].status is Status.DONE
    assert len(ledger(engine)) == 12


def test_a_whole_history_times_one_factor_is_refused(engine: Engine) -> None:
    """One asset whose every close is multiplied looks like a unit that changed; it needs to be accepted."""
    with engine.begin() as connection:
        fill(connection, 2, "2023-01-01", 40)
    refresh(engine)
    scaled = ", ".join(f"{name} = {name} * 1000" for name in ("open", "high", "low", "close"))
    change(engine, f"UPDATE {SOURCE} SET {scaled} WHERE id = 2")
    (outcome,) = refresh(engine, builders=BUILDERS[:1])
    assert outcome.status is Status.FAILED
    assert "its whole history is multiplied by 1000" in str(outcome.error)
    assert {one.status for one in refresh(engine, ACCEPTED)} == {Status.DONE}
    assert refresh(engine) == []


def test_the_last_day_of_every_asset_may_change(engine: Engine) -> None:
    """A last day that was provisional and is completed overnight, in all assets at once, is taken in."""
    with engine.begin() as connection:
        fill(connection, 20, "2023-01-01", 40)
    refresh(engine)
    change(engine, f"UPDATE {SOURCE} SET close = close * 1.01 WHERE \"timestamp\"::date = '2023-02-09'")
    assert {one.status for one in refresh(engine)} == {Status.DONE}


def test_lookback_sees_only_the_last_days(engine: Engine) -> None:
    """With ``--detect lookback`` a recent edit is taken in, an old one is not until a run that looks at everything."""
    with engine.begin() as connection:
        fill(connection, 1, (NOW - timedelta(days=300)).date().isoformat(), 300)
    refresh(engine)
    change(engine, f"UPDATE {SOURCE} SET close = 100.5 WHERE \"timestamp\"::date = '2029-12-20'")
    change(engine, f"UPDATE {SOURCE} SET close = 100.5 WHERE \"timestamp\"::date = '2029-05-01'")
    lookback = Request(detect="lookback", lookback_days=20)
    assert refresh(engine, lookback)[0].reason.startswith("close of 2029-12-20 changed")
    assert refresh(engine, lookback) == []
    assert refresh(engine)[0].reason.startswith("close of 2029-05-01 changed")
    found = digests(engine)
    refresh(engine, Request(full_rebuild=True))
    assert digests(engine) == found


def test_an_asset_gone_from_the_source_stays_until_pruned(engine: Engine) -> None:
    """Its rows stay, with a warning on every run; ``--prune`` removes it from every table and leaves the others."""
    with engine.begin() as connection:
        fill(connection, 2, "2023-01-01", 60)
    refresh(engine)
    change(engine, f"DELETE FROM {SOURCE} WHERE id = 2")
    url = engine.url.render_as_string(hide_password=False)
    warned = run("run_daily_refresh.py", "--all", url=url)
    assert warned.returncode == 0
    assert "gone from the source, bars kept (remove them with --prune): id 2" in warned.stdout
    assert refresh(engine) == []
    before = digests(engine)
    assert run("run_daily_refresh.py", "--all", "--prune", url=url).returncode == 0
    for table, (rows, _) in digests(engine).items():
        with engine.connect() as connection:
            assert connection.execute(text(f"SELECT count(*) FROM {table} WHERE id = 2")).scalar_one() == 0, table
        assert rows == before[table][0] // 2
    assert refresh(engine) == []


def test_timeframes_and_periods_are_data(engine: Engine) -> None:
    """A timeframe or period that is added builds its own series; one that is disabled keeps its rows and rests."""
    with engine.begin() as connection:
        fill(connection, 1, "2023-01-01", 200)
    refresh(engine)
    before = moved(engine)
    change(engine, "INSERT INTO dim_period VALUES (5, true, 1)")
    change(engine, "INSERT INTO dim_timeframe VALUES ('6D', 'D', 6, 6, 'rolling', NULL, true, 1)")
    refresh(engine)
    after = moved(engine)
    for table in TARGETS:
        new = "period = 5 OR tf = '6D'" if "ema" in table else "tf = '6D'"
        with engine.connect() as connection:
            rows = connection.execute(text(f"SELECT count(*) FROM {table} WHERE {new}")).scalar_one()
        assert after[table] == (before[table][0] + rows, *before[table][1:]), table
    change(engine, "UPDATE dim_timeframe SET is_enabled = false WHERE tf = '6D'")
    change(engine, "UPDATE dim_period SET is_enabled = false WHERE period = 5")
    change(engine, f"UPDATE {SOURCE} SET close = 100.5 WHERE \"timestamp\"::date = '2023-06-01'")
    rested = run("run_daily_refresh.py", "--all", url=engine.url.render_as_string(hide_password=False))
    assert rested.returncode == 0, rested.stderr
    assert "disabled and not refreshed, rows kept: 6D, period 5" in rested.stdout
    with engine.connect() as connection:
        stale = text("SELECT close FROM cmc_price_bars_multi_tf WHERE tf = '6D' AND \"timestamp\"::date = '2023-06-01'")
        assert connection.execute(stale).scalar_one() != 100.5
    change(engine, "UPDATE dim_timeframe SET is_enabled = true")
    change(engine, "UPDATE dim_period SET is_enabled = true")
    refresh(engine)
    found = digests(engine)
    refresh(engine, Request(full_rebuild=True))
    assert digests(engine) == found


def test_another_time_zone_is_refused(engine: Engine) -> None:
    """Tables built with one time zone are not continued with another."""
    url = engine.url.render_as_string(hide_password=False)
    refused = run("run_daily_refresh.py", "--all", "--tz", "Asia/Tokyo", url=url)
    assert (refused.returncode, refused.stderr) == (
        3,
        "error: --tz Asia/Tokyo: the tables were built with UTC; use --tz UTC, or drop the tables and rebuild\n",
    )


def test_filters_advance_only_what_they_pick(engine: Engine) -> None:
    """A filtered run leaves the other series where they stand; the next full run completes each from there."""
    with engine.begin() as connection:
        fill(connection, 2, "2023-01-01", 200)
        connection.execute(text(f"CREATE TABLE held AS SELECT * FROM {SOURCE} WHERE \"timestamp\" >= '2023-07-10'"))
        connection.execute(text(f"DELETE FROM {SOURCE} WHERE \"timestamp\" >= '2023-07-10'"))
    refresh(engine)
    change(engine, f"INSERT INTO {SOURCE} SELECT * FROM held")
    refresh(engine, Request(tfs=("2D",)), [one for one in BUILDERS if one.name in {"1d", "multi_tf"}])
    refresh(engine, Request(periods=(10,)), [one for one in BUILDERS if one.key == "emas.v2"])
    last = "SELECT max(ts)::date FROM cmc_ema_multi_tf{} WHERE period = {}"
    with engine.connect() as connection:
        ends = {
            (suffix, period): connection.execute(text(last.format(suffix, period))).scalar_one()
            for suffix in ("", "_v2", "_cal_us")
            for period in (10, 20)
        }
    reached, held = date(2023, 7, 19), date(2023, 7, 9)
    assert ends == {
        ("", 10): reached, ("", 20): reached, ("_v2", 10): reached, ("_v2", 20): held,
        ("_cal_us", 10): held, ("_cal_us", 20): held,
    }  # fmt: skip
    refresh(engine)
    found = digests(engine)
    refresh(engine, Request(full_rebuild=True))
    assert digests(engine) == found

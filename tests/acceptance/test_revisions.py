"""Prices that are revised, filled in, removed or refused: what is rewritten, what is not, and what is reported."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from programs import run
from refreshing import FEW, NOW, digests, enable, hash_of, moved, refresh
from sqlalchemy import Engine
from statements import address, ask, execute
from unpacked import TABLES

from refresh.catalog import BUILDERS, DAILY, SOURCE, Group, builders, by_key
from refresh.options.request import Request
from refresh.records import Status
from refresh.store.database import connect
from refresh.store.tables import LEDGER

ACCEPTED = Request(accept_restatement=True)


@pytest.fixture
def engine(prepared_url: str) -> Iterator[Engine]:
    """A database with all tables and few series, so that many assets are built quickly."""
    with connect(prepared_url) as engine:
        enable(engine, FEW, [10, 20])
        yield engine


def fill(engine: Engine, assets: int, first: str, days: int) -> None:
    """Give every asset prices without a gap that go up and down."""
    execute(
        engine,
        f"""
            INSERT INTO {SOURCE} (id, name, timeopen, timeclose, timehigh, timelow, open, high, low, close, volume,
                                  marketcap, "timestamp")
            SELECT a, 'asset ' || a, d, d + interval '23:59:59', d + interval '7h', d + interval '3h',
                   100 + sin(n + a), 102 + sin(n + a), 98 + sin(n + a), 100 + cos(n * 3 + a), 1e6, 1e9,
                   d + interval '23:59:59'
            FROM generate_series(1, :assets) a,
                 generate_series(CAST(:first AS timestamptz), CAST(:first AS timestamptz) + :days * interval '1 day',
                                 '1 day') WITH ORDINALITY AS g(d, n)
        """,
        assets=assets,
        first=first,
        days=days - 1,
    )


def time_of(table: str) -> str:
    """The column with the daily timestamp of a row."""
    return "ts" if "ema" in table else '"timestamp"'


def check_equals_rebuild(engine: Engine) -> None:
    """The tables are, bit for bit, those of a rebuild."""
    refreshed = digests(engine)
    refresh(engine, Request(full_rebuild=True))
    assert digests(engine) == refreshed


def ledger(engine: Engine) -> list[tuple[object, ...]]:
    """The lines of the ledger, in order."""
    columns = "id, first_day, last_day, rows_changed, old_close, new_close, reason"
    return ask(engine, f"SELECT {columns} FROM {LEDGER} ORDER BY noted_at, id")


def test_old_revision_rewrites_one_asset_from_that_day(engine: Engine) -> None:
    """An old close of one of fifty assets changes: its rows from then on are written, and one line of the ledger."""
    fill(engine, 50, "2019-01-01", 2000)
    ((close,),) = ask(engine, f"SELECT close FROM {SOURCE} WHERE id = 7 AND \"timestamp\"::date = '2019-05-01'")
    refresh(engine)
    ((built,),) = ask(engine, "SELECT clock_timestamp()")
    before = moved(engine)
    execute(engine, f"UPDATE {SOURCE} SET close = 101.5 WHERE id = 7 AND \"timestamp\"::date = '2019-05-01'")
    outcomes = refresh(engine)

    reason = f"close of 2019-05-01 changed from {close} to 101.5"
    done = [(outcome.builder, outcome.id, outcome.status) for outcome in outcomes]
    assert done == [(builder.key, 7, Status.DONE) for builder in BUILDERS]
    assert outcomes[0].reason == reason
    assert {outcome.reason for outcome in outcomes[1:]} == {"revise from 2019-05-01"}
    assert ledger(engine) == [(7, date(2019, 5, 1), date(2019, 5, 1), 1, close, 101.5, reason)]
    after = moved(engine)
    for target, table in TABLES.items():
        columns = f"count(*), min(id), max(id), min({time_of(target)})::date"
        ((written, *scope),) = ask(engine, f"SELECT {columns} FROM {table} WHERE ingested_at > :built", built=built)
        assert scope == [7, 7, date(2019, 5, 1)], table
        inserted, updated, deleted = (now - then for now, then in zip(after[table], before[table], strict=True))
        assert (inserted, updated, deleted) == (written, 0, written), table
    assert moved(engine)[DAILY][0] - before[DAILY][0] == 1, "one row of the daily bars"


def test_nothing_new_writes_nothing(engine: Engine) -> None:
    """A second refresh of an unchanged source touches no row of any target table."""
    fill(engine, 3, "2023-01-01", 100)
    refresh(engine)
    before = moved(engine)
    assert refresh(engine) == []
    assert moved(engine) == before


def test_a_name_alone_changes_no_price(engine: Engine) -> None:
    """A new name is written to the daily bars and to no table that follows them. The ledger stays empty."""
    fill(engine, 1, "2023-01-01", 100)
    refresh(engine)
    before = moved(engine)
    execute(engine, f"UPDATE {SOURCE} SET name = 'other' WHERE \"timestamp\"::date = '2023-02-01'")
    (outcome,) = refresh(engine)
    assert (outcome.builder, outcome.rows, outcome.reason) == ("bars.1d", 1, "source rows changed, but no price")
    after = moved(engine)
    assert {table for table in TABLES.values() if after[table] != before[table]} == {DAILY}
    assert ledger(engine) == []


def test_a_volume_alone_changes_no_ema(engine: Engine) -> None:
    """A revised volume rewrites the bars that contain its day, and no EMA."""
    fill(engine, 1, "2023-01-01", 200)
    refresh(engine)
    before = moved(engine)
    execute(engine, f"UPDATE {SOURCE} SET volume = 5 WHERE \"timestamp\"::date = '2023-02-01'")
    refresh(engine)
    after = moved(engine)
    touched = {table: after[table][0] - before[table][0] for table in TABLES.values() if after[table] != before[table]}
    assert set(touched) == {leg.table for builder in builders(Group.BARS) for leg in builder.legs}
    assert touched["cmc_price_bars_multi_tf"] == 1, "1 February is the second day of its 2D bar"


def test_gap_that_is_filled_later(engine: Engine, shared_data: Path, tmp_path: Path) -> None:
    """Bitcoin and Ether lack fourteen months; after a part of them arrives, the tables equal a rebuild."""
    real = ["bitcoin_2022-2023.csv", "bitcoin_2024-2025.csv", "ethereum_2022-2023.csv", "ethereum_2024-2025.csv"]
    url = address(engine)
    loaded = run("-m refresh.load", *(str(shared_data / "cmc" / name) for name in real), url=url)
    assert loaded.returncode == 0, loaded.stderr
    refresh(engine)
    missing = (date(2024, 11, 3) - date(2023, 9, 10)).days - 1
    assert ask(engine, f"SELECT max(count_missing_days) FROM {DAILY} WHERE id = 1") == [(missing,)]
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
    reasons = {outcome.reason for outcome in outcomes if outcome.builder == "bars.1d"}
    assert reasons == {"60 days added in between"}
    check_equals_rebuild(engine)


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
        (
            f"UPDATE {SOURCE} SET close = NULL WHERE \"timestamp\"::date = '2023-02-01'",
            "1 day lost its prices: 2023-02-01",
        ),
    ],
)
def test_reason_of_a_revision(engine: Engine, statement: str, reason: str) -> None:
    """The reason names the first changed day with its old and new value, or counts the days added or deleted."""
    fill(engine, 1, "2023-01-01", 100)
    refresh(engine)
    execute(engine, statement)
    assert refresh(engine)[0].reason == reason


def test_restatement_of_many_assets_is_refused(engine: Engine) -> None:
    """A restatement of a quarter of the assets is refused until it is accepted."""
    fill(engine, 48, "2023-01-01", 40)
    refresh(engine)
    before = digests(engine)
    execute(engine, f"UPDATE {SOURCE} SET close = close * 1.01 WHERE id <= 12 AND \"timestamp\"::date = '2023-01-05'")
    refused = refresh(engine, builders=BUILDERS[:1])
    assert [outcome.id for outcome in refused if outcome.status is Status.FAILED] == list(range(1, 13))
    for outcome in refused:
        assert "12 of 48 assets are restated at once (--restate-limit 20 %)" in str(outcome.error)
        assert "--accept-restatement" in str(outcome.error)
    assert digests(engine) == before
    assert refresh(engine, Request(restate_limit=30.0), BUILDERS[:1])[0].status is Status.DONE
    assert len(ledger(engine)) == 12


def test_history_times_one_factor_is_refused(engine: Engine) -> None:
    """An asset with all prices multiplied looks like a change of unit; it has to be accepted."""
    fill(engine, 2, "2023-01-01", 40)
    refresh(engine)
    scaled = ", ".join(f"{name} = {name} * 1000" for name in ("open", "high", "low", "close"))
    execute(engine, f"UPDATE {SOURCE} SET {scaled} WHERE id = 2")
    (outcome,) = refresh(engine, builders=BUILDERS[:1])
    assert outcome.status is Status.FAILED
    assert "its whole history is multiplied by 1000" in str(outcome.error)
    assert {outcome.status for outcome in refresh(engine, ACCEPTED)} == {Status.DONE}
    assert refresh(engine) == []


def test_rows_rewritten_earlier_are_paired_by_their_day(engine: Engine) -> None:
    """Bars that revisions have moved within the table are compared day by day all the same."""
    fill(engine, 12, "2024-01-01", 100)
    refresh(engine)
    for day in ("2024-01-05", "2024-02-20", "2024-01-09"):
        execute(
            engine, f"UPDATE {SOURCE} SET close = close + 0.5 WHERE \"timestamp\"::date = '{day}' AND id IN (2, 7, 12)"
        )
        refresh(engine)
    execute(engine, f"DELETE FROM {SOURCE} WHERE \"timestamp\"::date = '2024-01-20' AND id = 7")
    refresh(engine)
    lines = ledger(engine)
    assert [(line[0], str(line[1]), line[3]) for line in lines] == [
        *((id, "2024-01-05", 1) for id in (2, 7, 12)),
        *((id, "2024-02-20", 1) for id in (2, 7, 12)),
        *((id, "2024-01-09", 1) for id in (2, 7, 12)),
        (7, "2024-01-20", 1),
    ]
    prices = ", ".join(f"{name} = {name} / 4" for name in ("open", "high", "low", "close"))
    execute(engine, f"UPDATE {SOURCE} SET {prices} WHERE id = 7")
    execute(engine, f"UPDATE {SOURCE} SET close = close + 1 WHERE id = 12 AND \"timestamp\"::date = '2024-03-01'")
    refused, revised = sorted(refresh(engine, builders=[by_key("bars.1d")]), key=lambda outcome: outcome.id)
    assert (refused.id, refused.status) == (7, Status.FAILED)
    assert "its whole history is multiplied by 0.25" in str(refused.error)
    assert (revised.id, revised.status) == (12, Status.DONE)
    assert revised.reason.startswith("close of 2024-03-01 changed from ")
    assert len(ledger(engine)) == len(lines) + 1


def test_last_day_of_every_asset_may_change(engine: Engine) -> None:
    """A change of the last day of all assets at once is accepted: it was provisional."""
    fill(engine, 20, "2023-01-01", 40)
    refresh(engine)
    execute(engine, f"UPDATE {SOURCE} SET close = close * 1.01 WHERE \"timestamp\"::date = '2023-02-09'")
    assert {outcome.status for outcome in refresh(engine)} == {Status.DONE}


def test_lookback_sees_only_the_last_days(engine: Engine) -> None:
    """With ``--detect lookback`` a recent revision is noticed, and an old one only by a run without it."""
    fill(engine, 1, (NOW - timedelta(days=300)).date().isoformat(), 300)
    refresh(engine)
    execute(engine, f"UPDATE {SOURCE} SET close = 100.5 WHERE \"timestamp\"::date = '2029-12-20'")
    execute(engine, f"UPDATE {SOURCE} SET close = 100.5 WHERE \"timestamp\"::date = '2029-05-01'")
    lookback = Request(detect="lookback", lookback_days=20)
    assert refresh(engine, lookback)[0].reason.startswith("close of 2029-12-20 changed")
    assert refresh(engine, lookback) == []
    assert refresh(engine)[0].reason.startswith("close of 2029-05-01 changed")
    check_equals_rebuild(engine)


def test_asset_gone_from_the_source_stays_until_pruned(engine: Engine) -> None:
    """Its rows stay, with a warning in every run. ``--prune`` removes it from every table and keeps the others."""
    fill(engine, 2, "2023-01-01", 60)
    refresh(engine)
    execute(engine, f"DELETE FROM {SOURCE} WHERE id = 2")
    url = address(engine)
    warned = run("run_daily_refresh.py", "--all", url=url)
    assert warned.returncode == 0
    assert "gone from the source, bars kept (remove them with --prune): id 2" in warned.stdout
    assert refresh(engine) == []
    before = digests(engine)
    assert run("run_daily_refresh.py", "--all", "--prune", url=url).returncode == 0
    for table, (rows, _) in digests(engine).items():
        assert ask(engine, f"SELECT count(*) FROM {table} WHERE id = 2") == [(0,)], table
        assert rows == before[table][0] // 2
    assert refresh(engine) == []


def test_timeframes_and_periods_are_data(engine: Engine) -> None:
    """An added timeframe or period builds its own series. A disabled one keeps its rows and is not refreshed."""
    fill(engine, 1, "2023-01-01", 200)
    refresh(engine)
    before, kept = moved(engine), digests(engine)
    execute(engine, "INSERT INTO dim_period VALUES (5, true, 1)")
    execute(engine, "INSERT INTO dim_timeframe VALUES ('6D', 'D', 6, 6, 'rolling', NULL, true, 1)")
    refresh(engine)
    after = moved(engine)
    for target, table in TABLES.items():
        new = "period = 5 OR tf = '6D'" if "ema" in target else "tf = '6D'"
        ((rows,),) = ask(engine, f"SELECT count(*) FROM {target} WHERE {new}")
        inserted, updated, deleted = (now - then for now, then in zip(after[table], before[table], strict=True))
        if target == table:
            assert (inserted, updated, deleted) == (rows, 0, 0), table
        else:
            assert rows
            assert (updated, deleted <= before[table][0]) == (0, True), table
        others = f"SELECT count(*), coalesce(sum({hash_of(target)}), 0)::text FROM {target} WHERE NOT ({new})"
        assert ask(engine, others) == [kept[target]], target
    execute(engine, "UPDATE dim_timeframe SET is_enabled = false WHERE tf = '6D'")
    execute(engine, "UPDATE dim_period SET is_enabled = false WHERE period = 5")
    execute(engine, f"UPDATE {SOURCE} SET close = 100.5 WHERE \"timestamp\"::date = '2023-06-01'")
    narrowed = run("run_daily_refresh.py", "--all", url=address(engine))
    assert narrowed.returncode == 0, narrowed.stderr
    assert "disabled and not refreshed, rows kept: 6D, period 5" in narrowed.stdout
    stale = "SELECT close FROM cmc_price_bars_multi_tf WHERE tf = '6D' AND \"timestamp\"::date = '2023-06-01'"
    assert ask(engine, stale) != [(100.5,)]
    execute(engine, "UPDATE dim_timeframe SET is_enabled = true")
    execute(engine, "UPDATE dim_period SET is_enabled = true")
    refresh(engine)
    check_equals_rebuild(engine)


def test_another_time_zone_is_refused(engine: Engine) -> None:
    """Tables built with one time zone are not continued with another."""
    url = address(engine)
    refused = run("run_daily_refresh.py", "--all", "--tz", "Asia/Tokyo", url=url)
    assert refused.returncode == 3
    assert refused.stderr == (
        "error: --tz Asia/Tokyo: the tables were built with UTC; use --tz UTC, "
        "or change the zone of all assets with --all --full-rebuild --tz Asia/Tokyo\n"
    )


def test_filters_advance_only_selected_series(engine: Engine) -> None:
    """A filtered run leaves the other series unchanged. The next run without filters completes each of them."""
    fill(engine, 2, "2023-01-01", 200)
    execute(
        engine,
        f"CREATE TABLE later_prices AS SELECT * FROM {SOURCE} WHERE \"timestamp\" >= '2023-07-10'",
        f"DELETE FROM {SOURCE} WHERE \"timestamp\" >= '2023-07-10'",
    )
    refresh(engine)
    execute(engine, f"INSERT INTO {SOURCE} SELECT * FROM later_prices")
    refresh(engine, Request(tfs=("2D",)), [builder for builder in BUILDERS if builder.name in {"1d", "multi_tf"}])
    refresh(engine, Request(periods=(10,)), [by_key("emas.v2")])
    ends = {}
    for suffix in ("", "_v2", "_cal_us"):
        query = f"SELECT max(ts)::date FROM cmc_ema_multi_tf{suffix} WHERE period = :period"
        for period in (10, 20):
            ((ends[suffix, period],),) = ask(engine, query, period=period)
    new, old = date(2023, 7, 19), date(2023, 7, 9)
    assert ends == {
        ("", 10): new, ("", 20): new, ("_v2", 10): new, ("_v2", 20): old, ("_cal_us", 10): old, ("_cal_us", 20): old,
    }  # fmt: skip
    refresh(engine)
    check_equals_rebuild(engine)

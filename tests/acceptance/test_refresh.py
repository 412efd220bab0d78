"""The real programs on real prices: what a first run writes, and that a second one has nothing to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from programs import run
from refreshing import digest, digests, moved, refresh
from sqlalchemy import Engine
from statements import ask, execute
from unpacked import make_writable

from refresh.catalog import BUILDERS, DAILY, SOURCE, Group, Kind
from refresh.core.timeframe import DEFAULT_PERIODS, DEFAULT_TIMEFRAMES
from refresh.families import Alignment
from refresh.store.database import connect


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """The engine of the test's own empty database."""
    with connect(database_url) as engine:
        yield engine


def missing_or_double(engine: Engine, target: str, expected: str, time: str, key: str) -> int:
    """The number of expected keys without exactly one row, plus the number of rows without an expected key."""
    query = f"""
        SELECT count(*) FROM ({expected}) AS e
        FULL JOIN (SELECT id, {time} AS at, {key}, count(*) AS n FROM {target} GROUP BY id, {time}, {key}) AS t
          USING (id, at, {key}) WHERE n IS DISTINCT FROM 1 OR wanted IS NULL
    """
    ((number,),) = ask(engine, query)
    return int(number)


def check_bars(engine: Engine) -> None:
    """Exactly one snapshot for each daily bar and timeframe; aligned calendars begin with the first whole unit."""
    for builder in BUILDERS:
        if builder.kind is not Kind.WINDOWED:
            continue
        leg = builder.legs[0]
        assert leg.family is not None
        tfs = [timeframe.tf for timeframe in DEFAULT_TIMEFRAMES if timeframe.belongs_to(leg.family)]
        week = "'1970-01-04'" if leg.target.endswith("us") else "'1970-01-05'"
        begin = {
            "W": f"{week}::date + 7 * ceil((first - {week}::date) / 7.0)::int",
            "M": "(date_trunc('month', first - 1) + interval '1 month')::date",
            "Y": "(date_trunc('year', first - 1) + interval '1 year')::date",
        }
        unit = " ".join(f"WHEN '{name}' THEN {day}" for name, day in begin.items())
        start = (
            f"CASE substring(w.tf from '[DWMY]') {unit} END" if leg.family.alignment is Alignment.ALIGNED else "first"
        )
        expected = f"""
            SELECT d.id, d."timestamp" AS at, w.tf, true AS wanted FROM cmc_price_bars_1d d
            JOIN (SELECT id, min("timestamp" AT TIME ZONE 'UTC')::date AS first FROM cmc_price_bars_1d GROUP BY id) f
              USING (id) CROSS JOIN unnest(ARRAY{tfs}) AS w(tf)
            WHERE (d."timestamp" AT TIME ZONE 'UTC')::date >= {start}
        """
        assert missing_or_double(engine, leg.target, expected, '"timestamp"', "tf") == 0, leg.target


def check_emas(engine: Engine) -> None:
    """Exactly one row for each daily bar, timeframe and period from the first defined day on."""
    for builder in BUILDERS:
        for leg in builder.legs if builder.group is Group.EMAS else ():
            assert leg.family is not None
            days = {
                timeframe.tf: timeframe.days_nominal
                for timeframe in DEFAULT_TIMEFRAMES
                if timeframe.belongs_to(leg.family)
            }
            first = {
                Kind.EMA_OVER_DAYS: """SELECT d.id, w.tf, w.period, d."timestamp" AS first FROM wanted w
                    JOIN cmc_price_bars_1d d ON d.bar_seq = w.n * w.period""",
                Kind.EMA_OVER_BARS: f"""SELECT b.id, w.tf, w.period, b."timestamp" AS first FROM wanted w
                    JOIN {leg.inputs[-1]} b USING (tf) WHERE NOT b.is_partial_end AND b.bar_seq = w.period""",
            }[builder.kind]
            expected = f"""
                WITH wanted AS (SELECT * FROM unnest(ARRAY{list(days)}, ARRAY{list(days.values())}) AS w(tf, n)
                                CROSS JOIN unnest(ARRAY{list(DEFAULT_PERIODS)}) AS p(period)),
                defined AS ({first})
                SELECT d.id, d."timestamp" AS at, f.tf, f.period, true AS wanted FROM cmc_price_bars_1d d
                JOIN defined f ON f.id = d.id AND d."timestamp" >= f.first
            """
            assert missing_or_double(engine, leg.target, expected, "ts", "tf, period") == 0, leg.target


def test_real_prices_fill_every_table_once(engine: Engine, database_url: str, shared_data: Path) -> None:
    """All exports, loaded and refreshed by the real programs, give exactly the rows that the daily bars imply."""
    files = sorted(str(file) for file in (shared_data / "cmc").glob("*.csv") if file.name != "manifest.csv")
    loaded = run("-m refresh.load", *files, url=database_url)
    assert loaded.returncode == 0, loaded.stderr
    built = run("run_daily_refresh.py", "--all", url=database_url)
    assert (built.returncode, built.stderr) == (0, "")
    assert ask(engine, f"SELECT count(*), count(DISTINCT id) FROM {DAILY}") == [(3518, 8)]
    check_bars(engine)
    check_emas(engine)

    before = moved(engine)
    again = run("run_daily_refresh.py", "--all", url=database_url)
    assert again.returncode == 0
    assert again.stdout.splitlines()[1:] == ["Nothing to do: 8 assets up to date in 12 tables."]
    assert moved(engine) == before


def test_share_without_weekends(engine: Engine, database_url: str) -> None:
    """The sample of a share, which has no weekends, fills every table. Bars and EMAs are separate commands."""
    assert run("-m refresh.load", "--sample", url=database_url).returncode == 0
    bars = run("run_all_bar_builders.py", url=database_url)
    assert (bars.returncode, bars.stderr) == (0, "")
    emas = run("run_all_ema_refreshes.py", url=database_url)
    assert (emas.returncode, emas.stderr) == (0, "")
    check_bars(engine)
    check_emas(engine)
    ((weeks, closed),) = ask(
        engine,
        "SELECT count(DISTINCT bar_seq), count(*) FILTER (WHERE NOT is_partial_end) "
        "FROM cmc_price_bars_multi_tf_cal_iso WHERE tf = '1W_CAL_ISO'",
    )
    assert weeks - closed == 1, "every week closes on its last session, except the one still forming"


def test_long_history_of_another_export(engine: Engine, database_url: str, shared_data: Path) -> None:
    """A Kaggle file of eight years fills every table."""
    assert run("-m refresh.load", str(shared_data / "kaggle" / "coin_Litecoin.csv"), url=database_url).returncode == 0
    assert run("run_daily_refresh.py", "--all", "--quiet", url=database_url).returncode == 0
    check_bars(engine)
    check_emas(engine)


def test_days_one_by_one_equal_all_at_once(engine: Engine, database_url: str, shared_data: Path) -> None:
    """Refreshing after each of the last days, after gaps too, gives bit for bit what one build gives."""
    files = [str(shared_data / "cmc" / f"bitcoin_{years}.csv") for years in ("2022-2023", "2024-2025")]
    assert run("-m refresh.load", *files, url=database_url).returncode == 0
    refresh(engine)
    expected = digests(engine)
    last_days = ask(engine, f'SELECT "timestamp" FROM {SOURCE} ORDER BY 1 DESC LIMIT 12')
    around_the_hole = ask(
        engine, f"SELECT \"timestamp\" FROM {SOURCE} WHERE \"timestamp\" BETWEEN '2023-08-30' AND '2024-11-06'"
    )
    execute(
        engine,
        f"CREATE TABLE later_prices AS SELECT * FROM {SOURCE}",
        f"DELETE FROM {SOURCE} WHERE \"timestamp\" >= '2023-08-30'",
        f"TRUNCATE {DAILY}_state, {DAILY}_source_months, {DAILY}",
    )
    refresh(engine)
    arrival = f'INSERT INTO {SOURCE} SELECT * FROM later_prices WHERE "timestamp" <= :time ON CONFLICT DO NOTHING'
    for (time,) in sorted([*last_days, *around_the_hole]):
        execute(engine, arrival, time=time)
        refresh(engine)
    assert digests(engine) == expected


def test_dry_run(engine: Engine, database_url: str) -> None:
    """A dry run prints every step with its command, assets and reason, and creates not even a table."""
    assert run("-m refresh.load", "--sample", url=database_url).returncode == 0
    before = moved(engine)
    shown = run("run_daily_refresh.py", "--all", "--dry-run", url=database_url)
    assert shown.returncode == 0, shown.stderr
    for number, builder in enumerate(BUILDERS, 1):
        headline = rf"{number}\. {builder.title}: 1 asset, about [\d,]+ rows in \d+ s\n   (.*)\n"
        step = re.search(headline, shown.stdout)
        assert step, shown.stdout
        assert step[1] == f"python -m refresh.builder {builder.key} --ids all --tz UTC"
    assert "build 1,509 days: not built yet: id 900000001" in shown.stdout.replace("1509", "1,509")
    assert "Dry run: nothing was written." in shown.stdout
    assert moved(engine) == before


def test_rebuild_replaces_what_is_selected(engine: Engine, database_url: str) -> None:
    """``--full-rebuild`` with filters repairs the selected series, and touches no row but those that hold it."""
    assert run("-m refresh.load", "--sample", url=database_url).returncode == 0
    refresh(engine)
    expected = digest(engine, "cmc_ema_multi_tf")
    make_writable(engine)
    execute(engine, "UPDATE cmc_ema_multi_tf SET ema = 0 WHERE tf = '7D' AND period = 10 AND ts > '2024-01-01Z'")
    ((last, shelves),) = ask(engine, "SELECT max(ingested_at), count(DISTINCT shelf) FROM cmc_ema_multi_tf_packed")
    arguments = ("--emas", "--refreshers", "multi_tf", "--tf-period-combos", "7d:10", "--full-rebuild")
    assert run("run_daily_refresh.py", *arguments, url=database_url).returncode == 0
    assert digest(engine, "cmc_ema_multi_tf") == expected
    assert shelves > 1
    rebuilt = "SELECT DISTINCT shelf, ts > '2024-01-01Z' FROM cmc_ema_multi_tf_packed WHERE ingested_at > :time"
    of_series = "SELECT shelf, true FROM cmc_ema_multi_tf_series WHERE tf = '7D' AND period = 10"
    assert ask(engine, rebuilt, time=last) == ask(engine, of_series)

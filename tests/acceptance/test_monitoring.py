"""Monitoring: the heartbeat of every run, and the check of the last refresh. Neither of them stops a run."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from bot_api import HEARTBEAT, TOKEN, Bot, serving
from programs import run
from refreshing import written
from sqlalchemy import Engine
from statements import address, execute, with_password

from refresh.catalog import SOURCE
from refresh.store.database import connect
from refresh.store.tables import RUNS

DAILY = "run_daily_refresh.py"
QUICK = ("--bars", "--builders", "1d")
PASSWORD = "s3cret-of-the-user"  # noqa: S105 - the server trusts everybody; it must not be shown
NEVER = "this database has no successful run yet\n"
FILL = f"""
    INSERT INTO {SOURCE} (id, "timestamp", timeopen, timeclose, open, high, low, close, volume)
    SELECT asset, at, at - interval '1 day - 1 ms', at, 10, 20, 5, 10 + asset / 1000.0, 1000
    FROM generate_series(CAST(:last AS timestamptz) - interval '30 days', :last, interval '1 day') AS at
    CROSS JOIN unnest(ARRAY[1, 52]) AS asset
"""


@pytest.fixture
def bot() -> Iterator[Bot]:
    """A server that answers as Telegram does."""
    with serving() as server:
        yield server


@pytest.fixture
def nowhere() -> str:
    """An address of loopback on which nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}"


@pytest.fixture
def engine(prepared_url: str) -> Iterator[Engine]:
    """A database with a month of two assets that ends yesterday. Its URL has a password."""
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    with connect(with_password(prepared_url, PASSWORD)) as engine:
        execute(engine, FILL, last=midnight - timedelta(milliseconds=1))
        yield engine


def refuse_asset(engine: Engine) -> None:
    """Make the database refuse the bars of an asset."""
    execute(engine, "ALTER TABLE cmc_price_bars_1d ADD CONSTRAINT not_today CHECK (id <> 52)")


def refuse_asset_later(engine: Engine) -> None:
    """Make the database refuse the changed bars of an asset."""
    execute(engine, "ALTER TABLE cmc_price_bars_1d ADD CONSTRAINT not_today CHECK (id <> 52) NOT VALID")
    execute(engine, f"UPDATE {SOURCE} SET close = 11 WHERE id = 52")


def check(url: str, *arguments: str, **environ: str) -> tuple[int, str]:
    """The exit code and the one line of --check."""
    ended = run(DAILY, "--check", *arguments, url=url, **environ)
    assert (ended.stderr, ended.stdout.count("\n")) == ("", 1)
    return ended.returncode, ended.stdout


def test_check_of_an_empty_database(database_url: str, bot: Bot) -> None:
    """In an empty database there is no good run, and --check creates no table and sends nothing."""
    assert check(database_url, **bot.environ) == (1, NEVER)
    with connect(database_url) as engine:
        assert written(engine) == {}
    assert (bot.beats, bot.messages) == ([], [])


def test_check_of_the_last_refresh(engine: Engine) -> None:
    """A good refresh is good until it is too old, or a later run fails. --check writes nothing."""
    url = address(engine)
    assert check(url) == (1, NEVER)
    assert run(DAILY, *QUICK, url=url).returncode == 0
    before = written(engine)
    ended = r"the last refresh of all assets of bars\.1d \(.+\) ended {} ago, \d{{4}}-\d\d-\d\d \d\d:\d\d UTC"
    fresh = r"fresh: 2 assets in 1 table; " + ended + r"; the limit is {}\n"
    code, printed = check(url, *QUICK)
    assert code == 0
    assert re.fullmatch(fresh.format(r"\d+ (s|minutes)", "26 hours"), printed)

    execute(engine, f"UPDATE {RUNS} SET ended_at = ended_at - interval '2 days'")
    code, printed = check(url, *QUICK)
    assert code == 1
    assert re.fullmatch("too old: " + ended.format("48 hours") + "; the limit is 26 hours\n", printed)
    code, printed = check(url, *QUICK, "--max-age", "3d")
    assert code == 0
    assert re.fullmatch(fresh.format("48 hours", "72 hours"), printed)
    execute(engine, f"UPDATE {RUNS} SET ended_at = clock_timestamp() - interval '2 seconds'")
    code, printed = check(url, *QUICK, "--max-age", "1s")
    assert (code, printed.split(":")[0]) == (1, "too old")
    after = written(engine)
    assert {table for table in before if after[table] != before[table]} == {RUNS}, "changed by the test itself"

    refuse_asset_later(engine)
    assert run(DAILY, *QUICK, url=url).returncode == 1
    code, printed = check(url, *QUICK)
    assert code == 1
    assert printed.startswith("not fresh: 1 of 2 assets in 1 of 1 table; worst: ID 52, bars.1d: failed since ")


def test_only_bad_runs(engine: Engine, bot: Bot) -> None:
    """If every run failed the check fails. Heartbeats report start and failure, and an alert sounds."""
    refuse_asset(engine)
    assert run(DAILY, *QUICK, url=address(engine), **bot.environ).returncode == 1
    code, printed = check(address(engine), *QUICK)
    assert (code, printed.split(" since ")[0]) == (
        1,
        "not fresh: 1 of 2 assets in 1 of 1 table; worst: ID 52, bars.1d: failed",
    )
    assert bot.beats == ["start", "fail"]
    assert bot.sounds == [True]


def test_heartbeat(engine: Engine, bot: Bot) -> None:
    """Heartbeats report start and success of a run, also if it has nothing to do. A dry run sends none."""
    url = address(engine)
    for arguments in (["--dry-run"], [], []):
        ended = run(DAILY, *QUICK, *arguments, url=url, **bot.environ)
        assert (ended.returncode, ended.stderr) == (0, "")
    assert bot.beats == ["start", "", "start", ""]
    assert bot.messages == []


def test_no_database(nowhere: str, bot: Bot) -> None:
    """An unreachable database is a critical alert and a failure for the monitor, without its password."""
    host = nowhere.removeprefix("http://")
    url = f"postgresql://postgres:{PASSWORD}@{host}/prices"
    ended = run(DAILY, "--all", url=url, **bot.environ)
    assert (ended.returncode, ended.stdout) == (3, "")
    (line,) = ended.stderr.splitlines()
    assert bot.texts == [line.replace("error: ", "🚨 the refresh could not run: ", 1)]
    assert f"cannot connect to postgresql://{host}/prices" in line
    assert PASSWORD not in line
    assert bot.sounds == [True]
    assert bot.beats == ["start", "fail"]


def test_unreachable_services(engine: Engine, nowhere: str) -> None:
    """If Telegram and the monitor cannot be reached, a run ends as usual, and reports that without addresses."""
    environ = {
        "TELEGRAM_BOT_TOKEN": TOKEN,
        "TELEGRAM_CHAT_ID": "1",
        "TELEGRAM_API_URL": nowhere,
        "HEARTBEAT_URL": nowhere + HEARTBEAT,
    }
    beat = "heartbeat not sent: no connection"
    good = run(DAILY, *QUICK, url=address(engine), **environ)
    assert (good.returncode, good.stderr.splitlines()) == (0, [beat, beat])
    refuse_asset_later(engine)
    bad = run(DAILY, *QUICK, url=address(engine), **environ)
    assert bad.returncode == 1
    first, failure, *others = bad.stderr.splitlines()
    assert failure.startswith("ID 52 bars.1d: failed: ")
    assert sorted([first, *others]) == sorted(["Telegram message not sent: no connection", beat, beat])
    assert run(DAILY, *QUICK, url=f"postgresql://{PASSWORD}@127.0.0.1:1/x", **environ).returncode == 3


def test_no_alert_channel(engine: Engine) -> None:
    """--alert-on-error warns if no channel is configured. Without it there is no warning."""
    url = address(engine)
    warned = run(DAILY, *QUICK, "--alert-on-error", url=url)
    advice = "set TELEGRAM_BOT_TOKEN and TELEGRAM_CHAT_ID, or ALERT_URLS"
    warning = f"--alert-on-error: no alert channel is configured; {advice}\n"
    assert (warned.returncode, warned.stderr) == (0, warning)
    assert run(DAILY, *QUICK, url=url).stderr == ""


def test_unknown_level(engine: Engine, bot: Bot) -> None:
    """An alert level that does not exist is a setting that cannot be used: nothing runs."""
    ended = run(DAILY, *QUICK, url=address(engine), ALERT_LEVEL="loud", **bot.environ)
    assert (ended.returncode, ended.stdout, ended.stderr) == (
        3,
        "",
        "error: ALERT_LEVEL has an unknown level; use one of info, warning, error, critical\n",
    )


def test_quiet(engine: Engine, bot: Bot, tmp_path: Path) -> None:
    """With alerts, heartbeats and a log, a quiet run still prints only its summary."""
    arguments = ("--quiet", "--alert-on-error", "--log-dir", str(tmp_path))
    ended = run(DAILY, *QUICK, *arguments, url=address(engine), **bot.environ)
    assert (ended.returncode, ended.stderr) == (0, "")
    header, daily, total, written, repaired, verdict = ended.stdout.splitlines()
    assert header.split() == ["builder", "assets", "rows", "seconds", "result"]
    assert re.fullmatch(r"1d bars +2 +62 +\d+\.\d +2 done *", daily)
    assert re.fullmatch(r"total +2 +62 +\d+\.\d *", total)
    assert (written, repaired) == ("written: 62 bars, 0 EMAs", "repaired source values: timehigh 62, timelow 62")
    assert re.fullmatch(r"Done: 62 rows written in \d+\.\ds\.", verdict)
    assert bot.beats == ["start", ""]


@pytest.mark.parametrize("fails", [False, True])
def test_no_log(engine: Engine, tmp_path: Path, fails: bool) -> None:
    """A log folder that cannot be created is reported once, and a run ends as usual."""
    (tmp_path / "file").touch()
    if fails:
        refuse_asset(engine)
    ended = run(DAILY, *QUICK, "--log-dir", str(tmp_path / "file" / "logs"), url=address(engine))
    assert ended.returncode == int(fails)
    about_log = [line for line in ended.stderr.splitlines() if line.startswith("the log ")]
    assert len(about_log) == 1
    assert re.fullmatch(r"the log .*/refresh-\d{4}-\d\d-\d\d\.log is incomplete: .+", about_log[0])

"""Monitors: the sign of life of every run, the look at the last good one, and that nothing of it stops a run."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bot_api import HEARTBEAT, TOKEN, Bot, serving
from programs import run
from sqlalchemy import Engine, make_url, text
from statements import execute

from refresh.catalog import SOURCE
from refresh.store.database import connect
from refresh.store.tables import RUNS

DAILY = "run_daily_refresh.py"
QUICK = ("--bars", "--builders", "1d")
PASSWORD = "s3cret-of-the-user"  # noqa: S105 - the server trusts everybody; it must not be shown
NEVER = "no run of this database has ended well yet\n"
FILL = f"""
    INSERT INTO {SOURCE} (id, "timestamp", timeopen, timeclose, open, high, low, close, volume)
    SELECT asset, at, at - interval '1 day - 1 ms', at, 10, 20, 5, 10 + asset / 1000.0, 1000
    FROM generate_series(CAST(:last AS timestamptz) - interval '30 days', :last, interval '1 day') AS at
    CROSS JOIN unnest(ARRAY[1, 52]) AS asset
"""


@pytest.fixture
def bot() -> Iterator[Bot]:
    """A server that answers as Telegram does."""
    with serving() as made:
        yield made


@pytest.fixture
def nowhere() -> str:
    """An address of loopback where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture
def engine(prepared_url: str) -> Iterator[Engine]:
    """A database with a month of two assets that ends yesterday; its address has a password."""
    made = connect(make_url(prepared_url).set(password=PASSWORD).render_as_string(hide_password=False))
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    execute(made, FILL, last=midnight - timedelta(milliseconds=1))
    yield made
    made.dispose()


def address(engine: Engine) -> str:
    """The address of the engine's database, with the password."""
    return engine.url.render_as_string(hide_password=False)


def refuse_asset(engine: Engine) -> None:
    """Have the database refuse the bars of an asset."""
    execute(engine, "ALTER TABLE cmc_price_bars_1d ADD CONSTRAINT not_today CHECK (id <> 52)")


def refuse_asset_later(engine: Engine) -> None:
    """Have the database refuse what has changed of an asset."""
    execute(engine, "ALTER TABLE cmc_price_bars_1d ADD CONSTRAINT not_today CHECK (id <> 52) NOT VALID")
    execute(engine, f"UPDATE {SOURCE} SET close = 11 WHERE id = 52")


def check(url: str, *arguments: str, **environ: str) -> tuple[int, str]:
    """The exit code and the one line of a look at the last good run."""
    ended = run(DAILY, "--check", *arguments, url=url, **environ)
    assert (ended.stderr, ended.stdout.count("\n")) == ("", 1)
    return ended.returncode, ended.stdout


def contents(engine: Engine) -> list[tuple[Any, ...]]:
    """Every table, and how many rows were ever written to it."""
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_stat_force_next_flush()"))
    query = "SELECT relname, n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_user_tables ORDER BY 1"
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def test_nothing_to_look_at(database_url: str, bot: Bot) -> None:
    """In an empty database there is no good run, and the look creates no table and tells nobody."""
    assert check(database_url, **bot.environ) == (1, NEVER)
    engine = connect(database_url)
    assert contents(engine) == []
    engine.dispose()
    assert (bot.beats, bot.messages) == ([], [])


def test_the_last_good_run(engine: Engine) -> None:
    """A run that went well is good until it is too old, whatever fails after it; a look writes nothing."""
    url = address(engine)
    assert check(url) == (1, NEVER)
    assert run(DAILY, *QUICK, url=url).returncode == 0
    before = contents(engine)
    line = r"the last good run \(.+\) ended {} ago, \d{{4}}-\d\d-\d\d \d\d:\d\d UTC; it may be {}\n"
    code, said = check(url)
    assert (code, bool(re.fullmatch(line.format(r"\d+ (s|minutes)", "26 hours"), said))) == (0, True), said

    execute(engine, f"UPDATE {RUNS} SET ended_at = ended_at - interval '2 days'")
    for age, shown, expected in (([], "26 hours", 1), (["--max-age", "3d"], "72 hours", 0)):
        code, said = check(url, *age)
        late = "too old: " if expected else ""
        assert (code, bool(re.fullmatch(late + line.format("48 hours", shown), said))) == (expected, True), said
    execute(engine, f"UPDATE {RUNS} SET ended_at = clock_timestamp() - interval '2 seconds'")
    code, said = check(url, "--max-age", "1s")
    assert (code, said.split(":")[0]) == (1, "too old")
    after = {name: counts for name, *counts in contents(engine)}
    changed = {name for name, *counts in before if after[name] != counts}
    assert changed == {RUNS}, "the test itself"

    refuse_asset_later(engine)
    assert run(DAILY, *QUICK, url=url).returncode == 1
    assert check(url)[0] == 0


def test_only_bad_runs(engine: Engine, bot: Bot) -> None:
    """Where every run failed there is no good one; each was signalled as started and as failed, and told aloud."""
    refuse_asset(engine)
    assert run(DAILY, *QUICK, url=address(engine), **bot.environ).returncode == 1
    assert check(address(engine)) == (1, NEVER)
    assert bot.beats == ["start", "fail"]
    assert bot.sounds == [True]


def test_a_sign_of_life(engine: Engine, bot: Bot) -> None:
    """A run that goes well is signalled as started and as over, also one with nothing to do; a plan is no run."""
    url = address(engine)
    for arguments in (["--dry-run"], [], []):
        ended = run(DAILY, *QUICK, *arguments, url=url, **bot.environ)
        assert (ended.returncode, ended.stderr) == (0, "")
    assert bot.beats == ["start", "", "start", ""]
    assert bot.messages == []


def test_no_database(nowhere: str, bot: Bot) -> None:
    """A database out of reach is told as critical, and signalled as a failure, without its password."""
    host = nowhere.removeprefix("http://")
    url = f"postgresql://postgres:{PASSWORD}@{host}/prices"
    ended = run(DAILY, "--all", url=url, **bot.environ)
    assert (ended.returncode, ended.stdout) == (3, "")
    (line,) = ended.stderr.splitlines()
    assert bot.texts == [line.replace("error: ", "🚨 the refresh could not run: ", 1)]
    assert f"cannot connect to postgresql://postgres:***@{host}/prices" in line
    assert PASSWORD not in line
    assert bot.sounds == [True]
    assert bot.beats == ["start", "fail"]


def test_the_dead_stop_nothing(engine: Engine, nowhere: str) -> None:
    """With Telegram and the monitor out of reach a run ends as it would; that they are is said without addresses."""
    environ = {
        "TELEGRAM_BOT_TOKEN": TOKEN,
        "TELEGRAM_CHAT_ID": "1",
        "TELEGRAM_API_URL": nowhere,
        "HEARTBEAT_URL": nowhere + HEARTBEAT,
    }
    beat = "the heartbeat did not get through: no connection"
    good = run(DAILY, *QUICK, url=address(engine), **environ)
    assert (good.returncode, good.stderr.splitlines()) == (0, [beat, beat])
    refuse_asset_later(engine)
    bad = run(DAILY, *QUICK, url=address(engine), **environ)
    assert bad.returncode == 1
    first, failure, *others = bad.stderr.splitlines()
    assert failure.startswith("ID 52 bars.1d: failed: ")
    assert [first, *others] == [beat, "Telegram was not told: no connection", beat]
    assert run(DAILY, *QUICK, url=f"postgresql://{PASSWORD}@127.0.0.1:1/x", **environ).returncode == 3


def test_nobody_to_tell(engine: Engine) -> None:
    """Alerts that are asked for and lead nowhere are warned of; alerts that nobody asked for are not missed."""
    url = address(engine)
    warned = run(DAILY, *QUICK, "--alert-on-error", url=url)
    assert (warned.returncode, warned.stderr) == (
        0,
        "--alert-on-error: nobody would be told; set TELEGRAM_BOT_TOKEN and TELEGRAM_CHAT_ID, or ALERT_URLS\n",
    )
    assert run(DAILY, *QUICK, url=url).stderr == ""


def test_wrong_level(engine: Engine, bot: Bot) -> None:
    """A level that there is not is a setting that cannot be used: nothing runs."""
    ended = run(DAILY, *QUICK, url=address(engine), ALERT_LEVEL="loud", **bot.environ)
    assert (ended.returncode, ended.stdout, ended.stderr) == (
        3,
        "",
        "error: ALERT_LEVEL=loud: no such level; say one of info, warning, error, critical\n",
    )


def test_quiet(engine: Engine, bot: Bot, tmp_path: Path) -> None:
    """With alerts, heartbeats and a log, a quiet run still prints its summary alone."""
    arguments = ("--quiet", "--alert-on-error", "--log-dir", str(tmp_path))
    ended = run(DAILY, *QUICK, *arguments, url=address(engine), **bot.environ)
    assert (ended.returncode, ended.stderr) == (0, "")
    head, daily, total, written, repaired, verdict = ended.stdout.splitlines()
    assert head.split() == ["builder", "assets", "rows", "seconds", "result"]
    assert re.fullmatch(r"1d bars +2 +62 +\d+\.\d +2 done *", daily)
    assert re.fullmatch(r"total +2 +62 +\d+\.\d *", total)
    assert (written, repaired) == ("written: 62 bars, 0 EMAs", "repaired in the source: timehigh 62, timelow 62")
    assert re.fullmatch(r"Done: 62 rows written in \d+\.\ds\.", verdict)
    assert bot.beats == ["start", ""]


@pytest.mark.parametrize("fails", [False, True])
def test_no_log(engine: Engine, tmp_path: Path, fails: bool) -> None:
    """A folder that cannot be made is said once, and a run ends as it would."""
    (tmp_path / "file").touch()
    if fails:
        refuse_asset(engine)
    ended = run(DAILY, *QUICK, "--log-dir", str(tmp_path / "file" / "logs"), url=address(engine))
    assert ended.returncode == int(fails)
    about_log = [line for line in ended.stderr.splitlines() if line.startswith("the log ")]
    assert len(about_log) == 1
    assert re.fullmatch(r"the log .*/refresh-\d{4}-\d\d-\d\d\.log is incomplete: .+", about_log[0])

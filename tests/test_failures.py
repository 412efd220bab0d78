"""The real programs if something is wrong: one line about it, the right exit code, and never a password."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from databases import database
from programs import PROJECT
from sqlalchemy import URL, Engine, make_url, text
from statements import address, execute, with_password

from refresh.store.database import connect

DAILY, BARS, EMAS, BUILDER = (
    "run_daily_refresh.py",
    "run_all_bar_builders.py",
    "run_all_ema_refreshes.py",
    "-m refresh.builder",
)
PASSWORD = "s3cret-of-the-user"  # noqa: S105 - the server trusts everybody; it must not be shown
NOBODY = f"postgresql://postgres:{PASSWORD}@127.0.0.1:1/prices"
FILL = """
    INSERT INTO cmc_price_histories7 (id, "timestamp", timeopen, timeclose, open, high, low, close, volume)
    SELECT asset, at, at - interval '1 day - 1 ms', at, 10, 20, 5, 10, 1000
    FROM generate_series(timestamptz '2024-01-01 23:59:59.999Z', '2024-01-25Z', interval '1 day') AS at
    CROSS JOIN unnest(ARRAY[1, 52, 825]) AS asset
"""


@pytest.fixture(scope="module")
def shared_url(server: URL, template: str) -> Iterator[str]:
    """The URL of a database with three assets, for programs that must not change it."""
    with database(server, template) as url:
        with connect(url) as engine:
            execute(engine, FILL)
        yield with_password(url, PASSWORD)


@pytest.fixture
def engine(prepared_url: str) -> Iterator[Engine]:
    """An engine on a database with three assets."""
    with connect(with_password(prepared_url, PASSWORD)) as engine:
        execute(engine, FILL)
        yield engine


def environment(url: str | None, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The settings of this process that programs need to start, the database if one is given, and more."""
    kept = {name: os.environ[name] for name in ("PATH", "REFRESH_LOG_DIR")}
    if url is not None:
        kept["TARGET_DB_URL"] = url
    return {**kept, "HOME": "/nonexistent", **(more or {})}


def run(
    program: str, *arguments: str, url: str | None, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end. It never prints the password."""
    ended = subprocess.run(
        [sys.executable, *program.split(), *arguments],
        cwd=PROJECT,
        env=environment(url, environ),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert PASSWORD not in ended.stdout + ended.stderr
    return ended


def refusal(program: str, *arguments: str, url: str | None, code: int, environ: Mapping[str, str] | None = None) -> str:
    """The one line on stderr of a program that could not start. Stdout has at most the database that was opened."""
    ended = run(program, *arguments, url=url, environ=environ)
    assert ended.returncode == code
    assert re.fullmatch(r"(database postgresql://\S+ \(TARGET_DB_URL in the environment\)\n)?", ended.stdout)
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: ")
    return line.removeprefix("error: ")


USAGE = {
    "no target": (DAILY, [], "name exactly one of --all, --bars and --emas, not none of them"),
    "two targets": (DAILY, ["--bars", "--emas"], "name exactly one of --all, --bars and --emas, not --bars and --emas"),
    "unknown option": (DAILY, ["--all", "--fast"], "unrecognized arguments: number 2 is no option"),
    "unknown id": (DAILY, ["--all", "--ids", "1,9"], "--ids 9: not in cmc_price_histories7; nearest: 1, 52, 825"),
    "no id": (DAILY, ["--all", "--ids", ""], "--ids: the list is empty; leave the option out to select everything"),
    "unknown timeframe": (DAILY, ["--bars", "--tfs", "8d"], "--tfs 8d: no such timeframe in the builders being run"),
    "unknown period": (EMAS, ["--periods", "11"], "--periods 11: no such period in dim_period; nearest: 10, 14"),
    "unknown pair": (EMAS, ["--tf-period-combos", "7d:11"], "--tf-period-combos 7d:11: no such period"),
    "unknown builder": (BARS, ["--builders", "cal_usa"], "--builders cal_usa: no such builder; nearest: cal_us"),
    "unknown refresher": (EMAS, ["--skip", "v3"], "--skip v3: no such builder; nearest: v2"),
    "unknown zone": (BARS, ["--tz", "Mars/Phobos"], "--tz: 'Mars/Phobos' is not a time zone name such as UTC"),
    "unknown single builder": (BUILDER, ["call"], "builder call: no such builder; nearest: "),
}


@pytest.mark.parametrize(("program", "arguments", "line"), USAGE.values(), ids=USAGE)
def test_usage_error(shared_url: str, program: str, arguments: list[str], line: str) -> None:
    """What does not exist or does not fit together is named in one line, and the program ends with 2."""
    assert refusal(program, *arguments, url=shared_url, code=2).startswith(line)


ADDRESSES = {
    "nobody listens": (NOBODY, "cannot connect to postgresql://127.0.0.1:1/prices: "),
    "another kind": (
        f"mysql://root:{PASSWORD}@127.0.0.1/prices",
        "the database URL cannot be read: it does not begin with postgresql://",
    ),
    "no URL": (f"postgres:{PASSWORD}@127.0.0.1", "the database URL cannot be read"),
    "port in words": (f"postgresql://postgres:{PASSWORD}@127.0.0.1:port/prices", "the database URL cannot be read"),
    "no host": (f"postgresql://postgres:{PASSWORD}/prices", "the database URL cannot be read"),
    "password as an option": (
        f"postgresql://postgres@127.0.0.1:1/prices?password={PASSWORD}",
        "cannot connect to postgresql://127.0.0.1:1/prices",
    ),
    "unknown option": (
        f"postgresql://postgres:{PASSWORD}@127.0.0.1:1/prices?fast=1",
        "the database URL cannot be read: libpq knows no such parameter as number 1 after the ?",
    ),
}


@pytest.mark.parametrize(("url", "line"), ADDRESSES.values(), ids=ADDRESSES)
def test_unusable_address(url: str, line: str) -> None:
    """A URL that cannot be used is refused without its password, and the program ends with 3."""
    assert refusal(DAILY, "--all", url=url, code=3).startswith(line)


def test_address_on_the_command_line() -> None:
    """A URL on the command line is treated in the same way, and goes before the one of the environment."""
    line = refusal(DAILY, "--all", "--db-url", NOBODY, url="nonsense", code=3)
    assert line.startswith("cannot connect to postgresql://127.0.0.1:1/prices: ")


@pytest.mark.parametrize("url", [NOBODY, *(ADDRESSES[name][0] for name in ("no URL", "no host"))])
def test_traceback_on_request(url: str) -> None:
    """With --verbose there is a traceback without a password, and the exit code is the same."""
    ended = run(DAILY, "--all", "--verbose", url=url)
    assert "Traceback" in ended.stderr
    assert ended.returncode == 3


def test_database_that_does_not_exist(shared_url: str) -> None:
    """The message of the server is passed on."""
    url = make_url(shared_url).set(database="nothing").render_as_string(hide_password=False)
    assert 'database "nothing" does not exist; check --db-url or TARGET_DB_URL' in refusal(
        DAILY, "--all", url=url, code=3
    )


SETTINGS = {
    "zone": ({"REFRESH_TZ": "Mars/Phobos"}, "REFRESH_TZ: 'Mars/Phobos' is not a time zone name"),
    "other zone": ({"REFRESH_TZ": "Asia/Tokyo"}, "--tz Asia/Tokyo: the tables were built with UTC; use --tz UTC"),
}


@pytest.mark.parametrize(("environ", "line"), SETTINGS.values(), ids=SETTINGS)
def test_bad_setting(shared_url: str, environ: dict[str, str], line: str) -> None:
    """A setting that cannot be used is named in one line, and the program ends with 3."""
    assert refusal(DAILY, "--all", url=shared_url, environ=environ, code=3).startswith(line)


def test_missing_programs_of_postgresql() -> None:
    """Without a URL the embedded database is used, and what it lacks is named."""
    line = refusal(DAILY, "--all", url=None, environ={"PG_BIN_DIR": "/nonexistent"}, code=3)
    assert line.startswith("PG_BIN_DIR=/nonexistent lacks one of initdb")


def test_no_prices(database_url: str) -> None:
    """Without the source table, the error explains how to fill one."""
    line = refusal(DAILY, "--all", url=with_password(database_url, PASSWORD), code=3)
    assert line.startswith("table cmc_price_histories7 does not exist")


@pytest.mark.parametrize(
    ("statement", "line"),
    [
        (
            "ALTER TABLE cmc_price_bars_1d DROP COLUMN volume CASCADE",
            "the tables do not fit: cmc_price_bars_1d.volume is missing: ALTER TABLE",
        ),
        (
            "ALTER TABLE cmc_price_histories7 DROP COLUMN volume, DROP COLUMN close",
            "table cmc_price_histories7 lacks the columns close, volume",
        ),
        (
            "INSERT INTO dim_timeframe VALUES ('9M_CAL_ANCHOR', 'M', 9, 270, 'anchored', NULL, true, 99)",
            "dim_timeframe row '9M_CAL_ANCHOR': ",
        ),
        (
            "ALTER TABLE dim_period DROP CONSTRAINT dim_period_period_check; INSERT INTO dim_period SELECT 0, true, 9",
            "dim_period row 0: a period is at least 1 bar",
        ),
    ],
    ids=["our table", "the user's table", "timeframe", "period"],
)
def test_tables_that_do_not_fit(engine: Engine, statement: str, line: str) -> None:
    """A table or a dimension row that cannot be used is named in one line, and the program ends with 3."""
    execute(engine, statement)
    assert refusal(DAILY, "--all", url=address(engine), code=3).startswith(line)


def test_one_asset_fails(engine: Engine) -> None:
    """Everything else is done. Each failed or skipped asset has a line, and the program ends with 1."""
    execute(engine, "ALTER TABLE cmc_price_bars_1d ADD CONSTRAINT spare CHECK (id <> 825)")
    ended = run(DAILY, "--all", "--builders", "1d,cal_us", "--refreshers", "v2", "--quiet", url=address(engine))
    assert ended.returncode == 1
    assert ended.stderr.splitlines() == [
        'ID 825 bars.1d: failed: new row for relation "cmc_price_bars_1d" violates check constraint "spare"',
        "Skipping ID 825 bars (1d bars failed) [bars.cal_us]",
        "Skipping ID 825 EMAs (bars failed) [emas.v2]",
    ]
    assert "Not complete: 1 of 3 assets (ID 825)" in ended.stdout
    assert "Traceback" not in ended.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_output_that_cannot_be_written(engine: Engine) -> None:
    """A full disk behind stdout is reported in one line on stderr."""
    command = [sys.executable, DAILY, "--bars"]
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        ended = subprocess.run(
            command, cwd=PROJECT, env=environment(address(engine)), text=True, stdout=full, stderr=subprocess.PIPE,
            check=False, timeout=120,
        )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (1, "error: [Errno 28] No space left on device\n")


def descendants(pid: int) -> str:
    """The command lines of the children of a process, and of theirs."""
    ids = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout.split()
    if not ids:
        return ""
    command = ["ps", "-ww", "-o", "args=", "-p", ",".join(ids)]
    shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return "".join([shown, *(descendants(int(id)) for id in ids)])


def test_processes_show_no_password(engine: Engine) -> None:
    """While a refresh runs, no command line contains the URL of the database."""
    command = [sys.executable, DAILY, "--bars", "--builders", "1d"]
    environ, pipe = environment(address(engine)), subprocess.PIPE
    with engine.connect() as connection:
        connection.execute(text("LOCK TABLE cmc_price_bars_1d IN SHARE MODE"))  # the builder waits to write
        with subprocess.Popen(command, cwd=PROJECT, env=environ, text=True, stdout=pipe, stderr=pipe) as process:
            deadline = time.monotonic() + 60
            while "refresh.builder bars" not in (seen := descendants(process.pid)) and time.monotonic() < deadline:
                time.sleep(0.05)
            connection.rollback()
            out, err = process.communicate(timeout=60)
    assert "-m refresh.builder bars.1d --ids all" in seen
    assert PASSWORD not in seen + out + err
    assert "postgresql" not in seen
    assert process.returncode == 0

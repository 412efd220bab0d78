"""Databases of older layouts, which the next run that may write brings to the layout of the program."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import pytest
from databases import database
from databases import execute as execute_outside
from layouts import catalogue, contents, restore
from programs import PROJECT, run
from refreshing import FEW, enable
from sqlalchemy import URL, Engine, make_url
from statements import address, as_user, ask, execute
from waiting import eventually

from refresh.errors import SchemaError, SettingsError
from refresh.store.database import connect, read_committed
from refresh.store.migrating import layout_of, migrate, outstanding
from refresh.store.migrations import LATEST, MIGRATIONS, Migration
from refresh.store.schema import looking, prepare
from refresh.store.tables import LEDGER, METADATA, OUTCOMES, RUNS, STEPS, TARGET_TABLES
from refresh.store.views import VIEWS

PROGRAM = "run_daily_refresh.py"
LINE = f"layout 1 -> {LATEST}: "
LAYOUT = "SELECT value FROM refresh_settings WHERE name = 'schema'"
OF_RUNS = {LEDGER, RUNS, STEPS, OUTCOMES}
FORMER = "SELECT run_id, count(*) AS steps FROM refresh_steps GROUP BY run_id"
PRESENT = VIEWS["refresh_last_good"]


@pytest.fixture(scope="module")
def former(server: URL) -> Iterator[str]:
    """The name of a database of layout 1 in which everything is built."""
    with database(server, "template1") as url:
        restore(url, 1)
        yield str(make_url(url).database)


@pytest.fixture
def old(server: URL, former: str) -> Iterator[Engine]:
    """An engine on a copy of that database."""
    with database(server, former) as url, connect(url) as engine:
        yield engine


@pytest.fixture(scope="module")
def fresh(server: URL, former: str) -> Iterator[Engine]:
    """An engine on a database that was built from the same prices by this program."""
    with database(server, former) as url, connect(url) as engine:
        assets = ask(engine, "SELECT id, symbol, name FROM dim_asset")
        execute(
            engine, f"DROP TABLE IF EXISTS {', '.join(METADATA.tables)} CASCADE", "DROP FUNCTION refresh_note_lost_rows"
        )
        with read_committed(engine) as connection:
            prepare(connection)
        execute(engine, "INSERT INTO dim_period VALUES (2, true, 98), (3, true, 99)")
        for id, symbol, name in assets:
            execute(engine, "INSERT INTO dim_asset VALUES (:id, :symbol, :name)", id=id, symbol=symbol, name=name)
        enable(engine, FEW, [2, 3])
        assert run(PROGRAM, "--all", url=url).returncode == 0
        yield engine


def refused(result: subprocess.CompletedProcess[str]) -> str:
    """Why a program could not start, in its one line."""
    assert (result.returncode, result.stderr.count("\n")) == (3, 1)
    return result.stderr.removeprefix("error: ").rstrip()


def test_migrated_database_equals_one_that_is_built(old: Engine, fresh: Engine, tmp_path: Path) -> None:
    """A run migrates, says it once, and leaves what a build of the same prices makes: in all parts and all rows."""
    assert ask(old, LAYOUT) == []
    result = run(PROGRAM, "--all", url=address(old), REFRESH_LOG_DIR=str(tmp_path))
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.count(LINE) == 1
    (log,) = tmp_path.iterdir()
    assert re.findall(r"event=migrate run=\S+ line=\"(.*?): ", log.read_text(encoding="utf-8")) == [LINE.strip(": ")]
    for kind, expected in catalogue(fresh).items():
        assert catalogue(old)[kind] == expected
    names = {**METADATA.tables, **TARGET_TABLES, **{name: None for name in VIEWS if name not in PRIVATE}}
    compared = {name: table for name, table in names.items() if name not in OF_RUNS}
    for engine in (old, fresh):  # a digest of the numbers of relations, which differ
        execute(engine, "DELETE FROM refresh_settings WHERE name = 'views seen'")
    expected_rows = contents(fresh, compared)
    for name, rows in contents(old, compared).items():
        assert rows == expected_rows[name], name
    again = run(PROGRAM, "--all", url=address(old))
    assert (again.returncode, "layout" in again.stdout) == (0, False)


PRIVATE = {"refresh_slowest_steps", "refresh_flaky_assets", "refresh_last_good"}
"""Views of the history of runs."""


def test_new_database_has_the_latest_layout(database_url: str) -> None:
    """What is created needs no migration, also where loading prices has created tables before."""
    with connect(database_url) as engine:
        with engine.begin() as connection:
            METADATA.tables["refresh_settings"].create(connection)
            METADATA.tables["dim_asset"].create(connection)
        with read_committed(engine) as connection:
            assert (layout_of(connection), outstanding(connection), migrate(connection)) == (LATEST, "", "")
            prepare(connection)
        assert ask(engine, LAYOUT) == [(str(LATEST),)]


@pytest.mark.parametrize("command", [f"{PROGRAM} --all", "-m refresh.builder bars.1d"])
def test_no_migrate(old: Engine, command: str) -> None:
    """A run that must not migrate says what is outstanding, ends, and changes nothing; after a migration it works."""
    before = catalogue(old)
    line = refused(run(command, "--no-migrate", url=address(old)))
    assert line.startswith(f"--no-migrate: {LINE}")
    assert line.endswith("a run without --no-migrate does it")
    assert (catalogue(old), ask(old, LAYOUT)) == (before, [])
    with read_committed(old) as connection:
        prepare(connection)
    assert run(command, "--no-migrate", url=address(old)).returncode == 0


def test_single_builder_migrates(old: Engine) -> None:
    """A builder that is started by itself migrates, too, and says so beside its outcomes."""
    result = run("-m refresh.builder", "bars.1d", url=address(old))
    assert result.returncode == 0
    assert [line for line in result.stderr.splitlines() if line.startswith(LINE)]
    assert ask(old, LAYOUT) == [(str(LATEST),)]


def test_looking_at_an_older_layout(old: Engine, tmp_path: str) -> None:
    """Whatever only looks works as before and changes nothing; a dry run says what a run would do first."""
    before = catalogue(old)
    url = address(old)
    for arguments in (["--explain", "52"], ["--html", f"{tmp_path}/p.html", "--validate"]):
        result = run(PROGRAM, *arguments, url=url)
        assert (result.returncode, result.stderr) == (0, ""), arguments
    assert "fresh: 3 assets" in run(PROGRAM, "--check", "--max-age", "9999d", url=url).stdout
    result = run(PROGRAM, "--all", "--dry-run", url=url)
    assert f"a run would migrate first: {LINE}" in result.stdout
    assert (catalogue(old), ask(old, LAYOUT)) == (before, [])


NEWER = f"the tables have layout {LATEST + 1}, and this program knows none after {LATEST}: install"
NONSENSE = "refresh_settings, schema: {!r} is not the number of a layout"


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (str(LATEST + 1), NEWER),
        *((value, NONSENSE.format(value)) for value in ("two", "0", "", "-1", "1.5", "\u0663")),
        ("9" * 5_000, f"refresh_settings, schema: '{'9' * 80}'... (5,000 characters) is not the number of a layout"),
    ],
)
def test_layout_that_is_refused(engine: Engine, value: str, line: str) -> None:
    """A layout of a newer program, and a setting that is none, stop whoever writes and whoever looks, by name."""
    execute(engine, "UPDATE refresh_settings SET value = :value WHERE name = 'schema'", value=value)
    before = catalogue(engine)
    with pytest.raises((SchemaError, SettingsError), match=re.escape(line)), looking(engine):
        pass
    with pytest.raises((SchemaError, SettingsError), match=re.escape(line)), read_committed(engine) as connection:
        prepare(connection)
    assert (catalogue(engine), ask(engine, LAYOUT)) == (before, [(value,)])


@pytest.mark.parametrize("command", [f"{PROGRAM} --all", f"{PROGRAM} --check", "-m refresh.builder bars.1d"])
def test_older_program(engine: Engine, command: str) -> None:
    """Each program says in one line what to install for tables of a newer one."""
    execute(engine, "UPDATE refresh_settings SET value = value::int + 1 WHERE name = 'schema'")
    assert refused(run(command, url=address(engine))).startswith(NEWER)


def test_layout_that_is_forgotten(engine: Engine) -> None:
    """Without its row a database counts as the first layout: a migration that was made before changes nothing."""
    before = catalogue(engine)
    execute(engine, "DELETE FROM refresh_settings WHERE name = 'schema'")
    with read_committed(engine) as connection:
        assert migrate(connection).startswith(LINE)
    assert (catalogue(engine), ask(engine, LAYOUT)) == (before, [(str(LATEST),)])


def test_rows_that_break_a_rule(old: Engine) -> None:
    """Rows of older programs stop no migration: the rule then holds for rows to come."""
    execute(
        old,
        f"INSERT INTO {LEDGER} (id, first_day, last_day, rows_changed, reason, run_id) "
        "VALUES (1, '2024-02-01', '2024-01-01', 1, 'by hand', 'none')",
        f"DELETE FROM {RUNS}",
    )
    with read_committed(old) as connection:
        migrate(connection)
    query = "SELECT conname, convalidated FROM pg_constraint WHERE contype IN ('c', 'f') AND connamespace = 2200"
    found = dict(ask(old, query))
    assert {name for name, is_valid in found.items() if not is_valid} == {
        f"{LEDGER}_days_check",
        f"{STEPS}_run_id_fkey",
    }
    assert run(PROGRAM, "--all", url=address(old)).returncode == 0


def test_steps_go_with_their_run(old: Engine) -> None:
    """Whoever removes runs by hand removes their steps, and keeps all else."""
    with read_committed(old) as connection:
        migrate(connection)
    outcomes = ask(old, f"SELECT count(*) FROM {OUTCOMES}")
    execute(old, f"DELETE FROM {RUNS}")
    assert ask(old, f"SELECT count(*) FROM {STEPS}") == [(0,)]
    assert ask(old, f"SELECT count(*) FROM {OUTCOMES}") == outcomes


def test_statement_that_fails(old: Engine) -> None:
    """A migration is whole or not at all: once the reason is gone, the next run makes it."""
    failing = Migration(
        number=LATEST + 1, words="fails", steps=("ALTER TABLE dim_period ADD COLUMN a int", "SELECT 1/0")
    )
    before = catalogue(old)
    with pytest.raises(Exception, match="division by zero"), read_committed(old) as connection:
        migrate(connection, (*MIGRATIONS, failing))
    assert (catalogue(old), ask(old, LAYOUT)) == (before, [])
    with read_committed(old) as connection:
        mended = replace(failing, steps=("ALTER TABLE dim_period ADD COLUMN a int",))
        assert migrate(connection, (*MIGRATIONS, mended)) == f"layout 1 -> {LATEST + 1}: {MIGRATIONS[0].words}; fails"
    assert ask(old, LAYOUT) == [(str(LATEST + 1),)]


def test_killed_in_the_middle(old: Engine) -> None:
    """A run that is killed while it migrates leaves the former layout; the next run makes the migration."""
    before = catalogue(old)
    waits = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with as_user(old.url).begin() as reader:
        reader.exec_driver_sql("LOCK TABLE dim_timeframe IN ACCESS SHARE MODE")
        with subprocess.Popen(
            [sys.executable, PROGRAM, "--all"],
            cwd=PROJECT,
            env={"PATH": "", "HOME": "/nonexistent", "TARGET_DB_URL": address(old), "REFRESH_LOG_DIR": "/nonexistent"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            assert eventually(lambda: ask(old, waits))
            process.send_signal(signal.SIGKILL)
            process.wait()
    assert eventually(lambda: not ask(old, f"{waits} OR application_name LIKE 'refresh {process.pid}@%'"))
    assert (catalogue(old), ask(old, LAYOUT)) == (before, [])
    result = run(PROGRAM, "--all", url=address(old))
    assert (result.returncode, result.stdout.count(LINE)) == (0, 1)


def test_two_programs_migrate_together(old: Engine) -> None:
    """Of two programs that meet an older layout one migrates and says so, and the other one goes on."""
    ready = Barrier(2)

    def meet(engine: Engine) -> str:
        with read_committed(engine) as connection:
            ready.wait(10)
            return migrate(connection)

    with connect(address(old)) as other, ThreadPoolExecutor(2) as pool:
        lines = [pool.submit(meet, engine) for engine in (old, other)]
        assert sorted(len(line.result()) > 0 for line in lines) == [False, True]


def view_migration(former: str) -> tuple[Migration, ...]:
    """A migration after which a view of ours has another definition than before."""
    return (*MIGRATIONS, Migration(number=LATEST + 1, words="a view", former_views={"refresh_last_good": former}))


def test_view_of_an_older_layout_is_replaced(old: Engine) -> None:
    """A view that is as an older program made it gets its present definition, and its readers keep their right."""
    former = PRESENT.replace("o.status = 'done'", "o.status IN ('done', 'skipped')")
    assert former != PRESENT
    execute(old, f"CREATE OR REPLACE VIEW refresh_last_good AS {former}", "GRANT SELECT ON refresh_last_good TO PUBLIC")
    with read_committed(old) as connection:
        migrate(connection, view_migration(former))
    (definition,) = ask(
        old,
        "SELECT pg_get_viewdef('refresh_last_good'), relacl::text FROM pg_class WHERE oid = "
        "'refresh_last_good'::regclass",
    )
    assert "skipped" not in definition[0]
    assert "=r/" in definition[1]


def test_view_of_the_user_is_refused(old: Engine) -> None:
    """A view that the user changed is not replaced by a migration: it is named, and nothing is changed."""
    execute(
        old,
        "CREATE OR REPLACE VIEW refresh_last_good AS "
        "SELECT id, builder, run_id, noted_at AS done_at, rows, reason FROM refresh_outcomes",
    )
    before = catalogue(old)
    message = "refresh_last_good is another view: DROP VIEW refresh_last_good"
    with pytest.raises(SchemaError, match=message), read_committed(old) as connection:
        prepare(connection)
    assert (catalogue(old), ask(old, LAYOUT)) == (before, [])


def test_role_that_may_not_migrate(old: Engine, server: URL) -> None:
    """Only the owner of the tables migrates; any other role is told whose run it takes, and which right is missing."""
    role, owner = "migrating_of_tests", old.url.username
    execute_outside(server, f"CREATE ROLE {role} LOGIN")
    url = make_url(address(old)).set(username=role).render_as_string(hide_password=False)
    try:
        execute(old, f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}")
        line = refused(run(PROGRAM, "--all", url=url))
        assert line.startswith(LINE)
        expected = f"only the owner of the tables can do this, not the role {role}; let the first run after the update"
        assert line.endswith(f"{expected} be one of {owner}")
        relations = ask(old, "SELECT relname FROM pg_class WHERE relkind IN ('r', 'v') AND relnamespace = 2200")
        execute(old, *(f"ALTER TABLE {name} OWNER TO {role}" for (name,) in relations))
        execute(old, f"ALTER FUNCTION refresh_note_lost_rows OWNER TO {role}")
        assert refused(run(PROGRAM, "--all", url=url)).endswith(f"GRANT CREATE ON SCHEMA public TO {role}")
        execute(old, f"GRANT CREATE ON SCHEMA public TO {role}")
        assert run(PROGRAM, "--all", url=url).returncode == 0
    finally:
        execute(old, f"DROP OWNED BY {role} CASCADE")
        execute_outside(server, f"DROP ROLE {role}")

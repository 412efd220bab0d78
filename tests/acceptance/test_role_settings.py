"""Whatever a role's defaults are, a refresh writes the same: every setting that a role may have is given other values.

They are tried many at a time. ``REFRESH_WALK=each`` tries each by itself, which takes minutes.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
from databases import create_tables, database
from refreshing import FEW, digests, enable, refresh
from sqlalchemy import URL, Engine, make_url
from statements import ask, execute

from refresh.catalog import SOURCE
from refresh.errors import RefreshError
from refresh.store.database import connect
from refresh.store.server_errors import ASSET_ERRORS, first_line

SETTINGS = """
    SELECT name, vartype, boot_val, reset_val, min_val, max_val, enumvals FROM pg_settings
    WHERE context IN ('user', 'superuser')
      AND name NOT IN ('transaction_deferrable', 'transaction_isolation', 'transaction_read_only') ORDER BY name
"""
WORDS = {
    "DateStyle": ["German, YMD", "SQL, DMY", "Postgres, DMY"],
    "TimeZone": ["Asia/Kathmandu", "America/Los_Angeles"],
    "application_name": ["somebody's; name"],
    "client_encoding": ["LATIN1", "SQL_ASCII", "EUC_JP"],
    "default_text_search_config": ["pg_catalog.german"],
    "lc_messages": ["POSIX"],
    "lc_monetary": ["POSIX"],
    "lc_numeric": ["POSIX"],
    "lc_time": ["POSIX"],
    "restrict_nonsystem_relation_kind": ["view, foreign-table"],
    "search_path": ["strange, public", "pg_catalog", "''"],
    "timezone_abbreviations": ["Australia", "India"],
    "wal_consistency_checking": ["all"],
}
"""Other values of settings that are words."""
LENGTHS = {
    "from_collapse_limit": ["1"],
    "geqo_generations": ["20"],
    "geqo_pool_size": ["20"],
    "geqo_threshold": ["2"],
    "join_collapse_limit": ["1"],
    "max_stack_depth": ["1024"],
    "post_auth_delay": ["1"],
    "pre_auth_delay": ["1"],
    "temp_file_limit": ["99999"],
}
"""Values of settings whose smallest or largest values nobody could work with."""
LIMITS = ("timeout", "log_rotation", "commit_delay", "vacuum_cost_delay", "deadlock")
"""Their smallest values end or slow down statements, as those who set them want."""
LEFT_OUT = {
    "default_table_access_method": "there is only one",
    "default_tablespace": "there is only one",
    "temp_tablespaces": "there is only one",
}
LARGE = 1 << 20
QUOTE = "'"
DAYS = f"""
    INSERT INTO {SOURCE} (id, timeopen, timeclose, timehigh, timelow, open, high, low, close, volume, "timestamp", name)
    SELECT a, d, d + '1 day' - '1 ms'::interval, d, d, 100 + sin(n + a), 102, 98, 100 + cos(n * a), n * 0.1,
           d + '1 day' - '1 ms'::interval, 'Münze'
    FROM generate_series(1, 2) a, generate_series(CAST(:first AS timestamptz), CAST(:last AS timestamptz), '1 day')
         WITH ORDINALITY AS g(d, n)
"""
REVISION = f"UPDATE {SOURCE} SET close = close * 1.01 WHERE id = 1 AND \"timestamp\" < '2024-01-20Z'"


def other_values(row: tuple[str, ...]) -> list[str]:
    """Values that a setting does not have by itself."""
    name, kind, default, now, least, most, words = row
    if name in LEFT_OUT or name.endswith("_libraries") or (name.endswith("_path") and name != "search_path"):
        return []
    if kind == "bool":
        return ["off" if now == "on" else "on"]
    if kind == "enum":
        return [word for word in words if word != now]
    if kind == "string":
        return WORDS.get(name, [])
    if name in LENGTHS:
        return LENGTHS[name]
    smallest = [] if any(limit in name for limit in LIMITS) else [least]
    largest = str(min(float(most), max(float(default) * 2, LARGE)) if kind == "real" else min(int(most), LARGE))
    return [value for value in [*smallest, largest] if value != now]


def groups(rows: list[tuple[str, ...]]) -> dict[str, dict[str, str]]:
    """Settings with values that are tried together: the first other value of each kind, the second, and so on."""
    tried: dict[str, dict[str, str]] = {}
    for row in rows:
        for number, value in enumerate(other_values(row), 1):
            key = f"{row[0]} = {value}" if os.environ.get("REFRESH_WALK") == "each" else f"{row[1]} {number}"
            tried.setdefault(key, {})[row[0]] = value
    return tried


@pytest.fixture(scope="module")
def filled(server: URL) -> Iterator[str]:
    """The name of a database with two assets, from which others are cloned, and a strange schema in it."""
    with database(server, "template1") as url:
        with connect(url) as engine:
            with engine.begin() as connection:
                create_tables(connection)
            enable(engine, FEW, [10, 20])
            execute(engine, DAYS, first="2023-12-01Z", last="2024-02-10Z")
            execute(engine, "CREATE SCHEMA strange", f"CREATE TABLE strange.{SOURCE} (id text)")
        yield str(make_url(url).database)


def built(server: URL, template: str, settings: Mapping[str, str]) -> dict[str, tuple[int, str]]:
    """The digests of all tables after a build, a new day and a revision, by a role that has these settings."""
    with database(server, template) as url, connect(url) as owner:
        with role(owner, settings) as name, connect(owner.url.set(username=name).render_as_string(False)) as engine:
            for statements in ((), (DAYS, REVISION)):
                for statement in statements:
                    execute(owner, statement, first="2024-02-11Z", last="2024-02-11Z")
                outcomes = refresh(engine)
                assert not [outcome for outcome in outcomes if outcome.error], outcomes
        return digests(owner)


@contextmanager
def role(owner: Engine, settings: Mapping[str, str]) -> Iterator[str]:
    """A role that may do everything, and has these settings."""
    name = f"role_{uuid.uuid4().hex}"
    execute(owner, f"CREATE ROLE {name} LOGIN SUPERUSER")
    for setting, value in settings.items():
        words = value if setting in {"search_path", "DateStyle"} else f"'{value.replace(QUOTE, QUOTE * 2)}'"
        execute(owner, f'ALTER ROLE {name} SET "{setting}" TO {words}')
    try:
        yield name
    finally:
        execute(owner, f"REASSIGN OWNED BY {name} TO CURRENT_USER", f"DROP OWNED BY {name}", f"DROP ROLE {name}")


def test_every_setting_of_a_role(server: URL, filled: str) -> None:
    """No setting that a role may have changes a row."""
    with connect(server.set(database=filled).render_as_string(False)) as engine:
        rows = ask(engine, SETTINGS)
    expected = built(server, filled, {})
    assert all(count for count, _ in expected.values())
    tried = groups(rows)
    wrong: dict[str, object] = {}
    for key, settings in tried.items():
        try:
            found: object = built(server, filled, settings)
        except (AssertionError, RefreshError, *ASSET_ERRORS) as error:
            found = first_line(error)
        if found != expected:
            wrong[key] = found
    assert not wrong
    names = {name for settings in tried.values() for name in settings}
    assert len(names) > 150

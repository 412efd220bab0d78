"""Sessions: what users give stays theirs, what has to hold is set and verified, and what ends a statement is named."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from programs import run
from sqlalchemy import Engine, make_url, text
from sqlalchemy.exc import DBAPIError
from statements import address, execute

from refresh.errors import SettingsError
from refresh.store.database import connect
from refresh.store.retry import is_transient
from refresh.store.server_errors import first_line
from refresh.store.session import SETTINGS

DAILY = "run_daily_refresh.py"
NAME = "SELECT current_setting('application_name')"


def with_options(engine: Engine, **parameters: str) -> str:
    """The URL with parameters of libpq, which does not read + as a space."""
    return address(engine) + "?" + "&".join(f"{name}={quote(value)}" for name, value in parameters.items())


def ask_ours(engine: Engine, query: str, **values: str) -> list[tuple[Any, ...]]:
    """The rows of a query in a session as programs open them."""
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query), values)]


def run_all(engine: Engine, statements: Iterable[str]) -> None:
    """Run statements in one transaction of such a session."""
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def test_settings_hold(engine: Engine) -> None:
    """A role that has other settings works with ours."""
    for name, value in {"search_path": "nowhere", "TimeZone": "Asia/Tokyo", "DateStyle": "German"}.items():
        execute(engine, f"ALTER DATABASE {engine.url.database} SET {name} = {value!r}")
    with connect(address(engine)) as other:
        for name, value in SETTINGS.items():
            assert ask_ours(other, "SELECT current_setting(:name, true)", name=name) in ([(value,)], [(None,)])


def test_options_of_users_stay(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the URL or PGOPTIONS sets is set, beside what has to hold."""
    url = with_options(engine, options="-c work_mem=7MB -c search_path=nowhere", application_name="mine")
    with connect(url, "refresh 1@here") as other:
        assert ask_ours(other, "SELECT current_setting('work_mem'), current_setting('search_path')") == [
            ("7MB", SETTINGS["search_path"])
        ]
        assert ask_ours(other, NAME) == [("refresh 1@here mine",)]
    monkeypatch.setenv("PGOPTIONS", "-c work_mem=9MB")
    with connect(address(engine)) as other:
        assert ask_ours(other, "SELECT current_setting('work_mem')") == [("9MB",)]


def test_service_file(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service of libpq names the database, and its password file the password."""
    url = make_url(engine.url.render_as_string(hide_password=False))
    lines = [
        "[prices]",
        f"host={url.host}",
        f"port={url.port}",
        f"dbname={url.database}",
        "user=postgres",
    ]
    (tmp_path / "services").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    for named in ("service=prices", "postgresql:///?service=prices"):
        with connect(named) as other:
            assert ask_ours(other, "SELECT current_database()") == [(url.database,)]


def test_several_hosts(engine: Engine) -> None:
    """The first host that answers is taken."""
    url = make_url(address(engine))
    several = f"postgresql://postgres@127.0.0.1:1,127.0.0.1:{url.port}/{url.database}"
    with connect(several) as other:
        assert ask_ours(other, "SELECT current_database()") == [(url.database,)]


def test_setting_that_cannot_be_changed_back(engine: Engine) -> None:
    """A setting that the role may not change is named with the way out."""
    execute(engine, "CREATE ROLE settled LOGIN", "ALTER ROLE settled SET session_replication_role = replica")
    url = engine.url.set(username="settled").render_as_string(hide_password=False)
    try:
        with pytest.raises(SettingsError, match=r"session_replication_role.*RESET"), connect(url):
            pass
    finally:
        execute(engine, "DROP ROLE settled")


@pytest.mark.parametrize(
    ("limit", "value", "statements", "is_tried_again"),
    [
        ("statement_timeout", "50ms", ["SELECT pg_sleep(10)"], False),
        ("transaction_timeout", "200ms", ["SELECT 1", "SELECT pg_sleep(10)"], True),
    ],
)
def test_limits_are_named(
    engine: Engine, limit: str, value: str, statements: list[str], *, is_tried_again: bool
) -> None:
    """What ended a statement is named, with its value and the way to lift it; some limits are worth another try."""
    with connect(with_options(engine, options=f"-c {limit}={value}")) as limited:
        with pytest.raises(DBAPIError) as caught:
            run_all(limited, statements)
        assert first_line(caught.value).endswith(
            f"({limit} is {value} for this role, database or server; lift it with ALTER ROLE ... SET {limit} = 0, "
            f"or in the URL: ?options=-c%20{limit}%3D0)"
        )
        assert is_transient(caught.value) == is_tried_again


def test_cancelled_statement_is_no_limit(engine: Engine) -> None:
    """Without a limit nothing is guessed about a statement that somebody cancelled."""
    with engine.connect() as connection:
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        threading.Timer(0.3, execute, [engine, f"SELECT pg_cancel_backend({pid})"]).start()
        with pytest.raises(DBAPIError) as caught:
            connection.exec_driver_sql("SELECT pg_sleep(30)")
    assert first_line(caught.value) == "canceling statement due to user request"


@contextmanager
def refusing_server(message: bytes) -> Iterator[int]:
    """A server that refuses every session with these words. Yields its port."""

    def refuse() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                (length,) = struct.unpack("!i", client.recv(4))
                client.recv(length - 4)
                body = b"SFATAL\0C28000\0M" + message + b"\0\0"
                client.sendall(b"E" + struct.pack("!i", len(body) + 4) + body)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=refuse, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


@pytest.mark.parametrize("encoding", ["latin-1", "koi8-r", "euc-jp", "utf-8"])
def test_words_of_any_encoding(encoding: str) -> None:
    """A refusal in the server's own encoding is one line, exit code 3."""
    words = {"koi8-r": "пользователь", "euc-jp": "ユーザ"}.get(encoding, "Benutzer »größer« fehlt")
    with refusing_server(words.encode(encoding, "replace")) as port:
        ended = run(DAILY, "--all", url=f"postgresql://me:s3cret@127.0.0.1:{port}/prices?sslmode=disable")
    assert (ended.returncode, ended.stdout) == (3, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"error: cannot connect to postgresql://127.0.0.1:{port}/prices: ")
    if encoding in {"latin-1", "utf-8"}:
        assert words in line

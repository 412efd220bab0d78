"""No part of a password or token is in any message, whatever the mistake in a command line or a setting."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refresh.errors import RefreshError
from refresh.options.builders import selected
from refresh.options.declaration import Program
from refresh.options.environment import Settings, settings
from refresh.options.parsing import completed, parse, parse_load
from refresh.store.address import read_address

SIGNS = "QXZ0189@:/?#%&=+[] \\'\",;!$~^|é"
SECRETS = st.text(st.sampled_from(SIGNS), min_size=4, max_size=24).map(lambda text: f"QXZ{text}ZXQ")
URLS = (
    "postgresql://refresher:{}@127.0.0.1:1/prices",
    "refresher:{}@127.0.0.1/prices",
    "postgres:{}@h/p",
    "123456789:AA{}",
)
MISTAKES: tuple[Callable[[str], list[str]], ...] = (
    lambda url: [url],
    lambda url: ["--all", url],
    lambda url: ["--dburl", url],
    lambda url: [f"--db_url={url}"],
    lambda url: [f"--dburl={url}"],
    lambda url: [f"--quiet={url}"],
    lambda url: ["--db", url],
    lambda url: ["-d", url],
    lambda url: [f"-d{url}"],
    lambda url: ["--db-url", *url.split(" ")],
    lambda url: ["--db-url", *url.replace("&", ";").split(";")],
    lambda url: ["--db-url", url, url],
    lambda url: [f"--{url}"],
    lambda url: ["--json", url],
    lambda url: ["--html", url],
    lambda url: ["--log-dir", url],
    lambda url: ["--ids", url],
    lambda url: ["--tfs", url],
    lambda url: ["--builders", url],
    lambda url: ["--tz", url],
    lambda url: ["--jobs", url],
    lambda url: ["--timeout", url],
    lambda url: ["--config", url],
    lambda url: ["--explain", url],
    lambda url: ["--sample", "all", "--db-url", url],
)
NAMES = ("TARGET_DB_URL", "REFRESH_TZ", "REFRESH_LOG_DIR", "ALERT_LEVEL")


def message(act: Callable[[], object]) -> str:
    """Everything that is shown of the error that an act raises."""
    try:
        act()
    except RefreshError as error:
        return "".join(traceback.format_exception(error, limit=0))
    return ""


def parts(secret: str) -> list[str]:
    """Pieces of a secret that no message has by chance."""
    pieces = (secret[at : at + 4] for at in range(len(secret) - 3))
    return [piece for piece in pieces if any(sign in "QXZ" for sign in piece)]


@pytest.mark.parametrize("mistake", range(len(MISTAKES)))
@given(secret=SECRETS, url=st.sampled_from(URLS), program=st.sampled_from((Program.DAILY, Program.BARS, Program.LOAD)))
def test_command_lines(mistake: int, secret: str, url: str, program: Program) -> None:
    """A command line with an address in a wrong place is refused without a word of it."""
    arguments = MISTAKES[mistake](url.format(secret))

    def act() -> None:
        if program is Program.LOAD:
            read_address(parse_load(arguments).db_url or "postgresql:///")
            return
        request = parse(program, ["--all", *arguments] if program is Program.DAILY else arguments)
        selected(program, request)
        read_address(request.db_url or "postgresql:///")

    shown = message(act)
    assert not [part for part in parts(secret) if part in shown]


LINES = (
    "TARGET_DB_URL {}",
    "TARGET_DB_URL: {}",
    "TARGET_DB_URL='{}",
    'TARGET_DB_URL="{}',
    "TARGET_DBURL={}",
    "TARGET_{}",
    "REFRESH_{}=x",
    "export {}",
    "{}",
    "'{}'=1",
    "A=1\n\n{}\nB=2",
)


@given(
    secret=SECRETS,
    url=st.sampled_from(URLS),
    line=st.sampled_from(LINES),
    encoding=st.sampled_from(("utf-8", "utf-16")),
)
def test_lines_of_a_file(
    tmp_path_factory: pytest.TempPathFactory, secret: str, url: str, line: str, encoding: str
) -> None:
    """So is a file whose lines are no settings."""
    path = tmp_path_factory.mktemp("settings") / "settings.env"
    path.write_text(line.format(url.format(secret)), encoding=encoding)

    def act() -> None:
        read_address(settings({}, str(path)).get("TARGET_DB_URL", "postgresql:///"))

    assert not [part for part in parts(secret) if part in message(act)]


@pytest.mark.parametrize("name", NAMES)
@given(secret=SECRETS, url=st.sampled_from(URLS))
def test_settings(name: str, secret: str, url: str) -> None:
    """So is a setting that holds the address of another one."""
    environ = Settings({name: url.format(secret)})

    def act() -> None:
        request = completed(Program.DAILY, parse(Program.DAILY, ["--all"]), environ)
        read_address(request.db_url or "postgresql:///")

    assert not [part for part in parts(secret) if part in message(act)]

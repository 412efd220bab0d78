"""The records that travel through a run: none of them shows a secret when it is printed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from rich.console import Console
from sqlalchemy import make_url
from statements import with_password

from refresh.catalog import BUILDERS
from refresh.commands.job import Job
from refresh.commands.record import Recorder
from refresh.faces.alerts import read_settings
from refresh.options.declaration import Program
from refresh.options.environment import Settings
from refresh.options.request import Request
from refresh.run.context import RunContext
from refresh.store.database import Opened, opened
from refresh.store.history import Started
from refresh.store.locks import RefreshLock

SECRET = "s3cret-of-the-user"  # noqa: S105 - the server trusts everybody; it must not be shown
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ENVIRON = {
    "TELEGRAM_BOT_TOKEN": f"1:{SECRET}",
    "TELEGRAM_CHAT_ID": "1",
    "TELEGRAM_API_URL": f"https://{SECRET}.example",
    "ALERT_URLS": f"mailto://me:{SECRET}@example.com",
    "HEARTBEAT_URL": f"https://example.com/{SECRET}",
}


@pytest.fixture(params=["password", "parameter"])
def url(request: pytest.FixtureRequest, prepared_url: str) -> str:
    """A URL with a password, in its usual part or as a connection parameter."""
    if request.param == "password":
        return with_password(prepared_url, SECRET)
    return make_url(prepared_url).update_query_dict({"password": SECRET}).render_as_string(hide_password=False)


@pytest.fixture
def open_database(url: str) -> Iterator[Opened]:
    """The open database of that URL."""
    with opened(url, {}) as database:
        yield database


def test_no_record_shows_a_secret(url: str, open_database: Opened) -> None:
    """The database, the request, the alerts and whatever contains them print without a password, token or address."""
    environ = Settings({**ENVIRON, "TARGET_DB_URL": url})
    request = Request(all=True, db_url=url)
    job = Job(
        program=Program.DAILY,
        request=request,
        builders=BUILDERS,
        now=NOW,
        environ=environ,
        opened=open_database,
        console=Console(),
    )
    run = Started(
        run_id="now",
        command=job.typed,
        arguments=(),
        host="here",
        pid=1,
        started_at=NOW,
        assets=1,
        program=job.program.key,
        builders=(),
    )
    recorder = Recorder(engine=job.engine, lock=RefreshLock(job.engine), scopes={}, run=run, retries=0, say=print)
    context = RunContext(run_id="now", now=NOW, environ=environ, end_sessions=recorder.end_sessions)
    for record in (open_database, request, job, run, recorder, context, read_settings(environ)):
        assert SECRET not in repr(record), type(record).__name__
        assert SECRET not in str(record), type(record).__name__

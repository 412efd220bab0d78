"""What every command gets, and where its lines and results go."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

from rich.console import Console
from sqlalchemy import Connection, Engine

from refresh.catalog import DEFAULT_ZONE, BuilderConfig
from refresh.faces import console as face
from refresh.faces import document
from refresh.faces.log import Log
from refresh.options.arguments import typed
from refresh.options.declaration import Program
from refresh.options.environment import Settings
from refresh.options.request import Request
from refresh.run.summary import Summary
from refresh.store.database import Opened
from refresh.store.retry import may_pass, retried
from refresh.store.server_errors import first_line
from refresh.store.settings import remembered_zone
from refresh.wording import escaped

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One use of a program: its options, builders, clock and environment, the open database, and the console."""

    program: Program
    request: Request
    builders: tuple[BuilderConfig, ...]
    now: datetime
    environ: Settings = field(repr=False)
    opened: Opened
    console: Console

    @property
    def engine(self) -> Engine:
        """The engine of the open database."""
        return self.opened.engine

    @property
    def typed(self) -> str:
        """The command line, without the address of the database, which may hold a password."""
        return typed(self.program, self.request)

    @property
    def where(self) -> str:
        """The database, and which setting named it."""
        is_typed = "db_url" not in self.request.from_environment
        return self.opened.named_by(self.environ.source("TARGET_DB_URL", "--db-url" if is_typed else ""))

    def zoned(self, connection: Connection) -> Job:
        """The job in the time zone of the tables, or that which new tables will have, if no other one was named."""
        return replace(self, request=self.request.zoned(remembered_zone(connection) or DEFAULT_ZONE))

    def say(self, line: str) -> None:
        """Print a line about the run itself, unless ``--quiet`` was given."""
        if not self.request.quiet:
            self.console.print(line)

    def patiently(self, work: Callable[[], Result]) -> Result:
        """The result of work that changes nothing until its end: after an interruption it is done again."""

        def note(error: Exception) -> None:
            complain(f"trying again: {first_line(error)}")

        return retried(lambda _: work(), self.request.retries, note, is_temporary=may_pass)

    def publish(self, summary: Summary) -> None:
        """Write the result of a run to the log and the console."""
        Log(summary.run_id).summary(summary)
        face.show_summary(self.console, summary)

    def deliver(self, summary: Summary) -> None:
        """Write the JSON document of a run that has ended; raises ``SettingsError``. Its reader may be slow."""
        if self.request.json:
            document.write(document.run_document(summary), self.request.json)


def complain(line: str) -> None:
    """Print a line on stderr, in one piece: other threads print too."""
    sys.stderr.write(f"{escaped(line)}\n")

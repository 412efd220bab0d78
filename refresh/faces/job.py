"""What a command is about: the values that every act of a program is given."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from rich.console import Console

from refresh.catalog import BuilderConfig
from refresh.options import OPTIONS, Command, Request
from refresh.store import database


@dataclass(frozen=True, slots=True)
class Job:
    """What a command is about: what was asked, of which database, and where to say what."""

    command: Command
    request: Request
    builders: tuple[BuilderConfig, ...]
    now: datetime
    environ: Mapping[str, str]
    opened: database.Opened
    console: Console

    def say(self, line: str) -> None:
        """A line about the run itself."""
        if not self.request.quiet:
            self.console.print(line)

    @property
    def typed(self) -> str:
        """The command line, without the address of the database, which may hold a password."""
        arguments: list[str] = []
        for option in OPTIONS:
            value = getattr(self.request, option.name)
            if option.name != "db_url" and value is not None and value is not False:
                arguments += [option.flag, option.text.show(value)] if option.text else [option.flag]
        return shlex.join([self.command.value, *arguments])

"""What a command is about: the values that every command gets."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from rich.console import Console

from refresh.catalog import BuilderConfig
from refresh.options.arguments import typed
from refresh.options.declaration import Program
from refresh.options.request import Request
from refresh.store import database


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What a command is about: what was asked, of which database, and where to print what."""

    program: Program
    request: Request
    builders: tuple[BuilderConfig, ...]
    now: datetime
    environ: Mapping[str, str] = field(repr=False)
    opened: database.Opened
    console: Console

    def say(self, line: str) -> None:
        """Print a line about the run itself."""
        if not self.request.quiet:
            self.console.print(line)

    @property
    def typed(self) -> str:
        """The command line, without the address of the database, which may hold a password."""
        return typed(self.program, self.request)


def complain(line: str) -> None:
    """Print a line on stderr."""
    print(line, file=sys.stderr)

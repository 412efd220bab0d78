"""A builder run inside the process of the test, as its own process would run it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from refresh.builder.__main__ import main
from refresh.catalog import SOURCE
from refresh.records import Outcome
from refresh.stop import Stop


def build(engine: Engine, *arguments: str) -> tuple[int, list[Outcome]]:
    """Run a builder. Returns its exit code and the outcomes that it reported."""
    environ = {"TARGET_DB_URL": engine.url.render_as_string(hide_password=False)}
    with tempfile.NamedTemporaryFile() as reported:
        code = main([*arguments, "--outcomes-fd", str(os.dup(reported.fileno()))], environ, Stop())
        lines = Path(reported.name).read_text(encoding="utf-8").splitlines()
    return code, [Outcome.parse(line) for line in lines]


class Statements(list[str]):
    """The statements that were executed, in order."""

    @property
    def whole_digests(self) -> int:
        """The number of digests over all rows of the source, or all rows of the selected assets."""
        return sum("hash_record_extended" in statement and "LATERAL" not in statement for statement in self)

    @property
    def raw_reads(self) -> int:
        """The number of times that raw rows were read; before each, the longest text is measured."""
        return sum("octet_length" in statement and SOURCE in statement for statement in self)


@contextmanager
def recorded() -> Iterator[Statements]:
    """Record the statements of every engine for the length of the block."""
    statements = Statements()

    def record(_connection: Any, _cursor: Any, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(Engine, "before_cursor_execute", record)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", record)

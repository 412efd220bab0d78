"""A week beside the one before, as lines for people and as an alert."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from refresh.faces.alerts import Digest
from refresh.records import Week
from refresh.run.summary import Severity
from refresh.wording import counted

_NONE = "-"
_LINES: tuple[tuple[str, Callable[[Week], str]], ...] = (
    ("refreshes", lambda week: f"{week.refreshes:,}"),
    ("that did all their work", lambda week: f"{week.good:,}"),
    ("seconds, median", lambda week: _NONE if week.seconds is None else f"{week.seconds:,.1f}"),
    ("rows written", lambda week: f"{week.rows:,}"),
    ("assets that failed", lambda week: f"{week.failed:,}"),
    ("revisions of prices", lambda week: f"{week.revisions:,}"),
    ("refused source rows", lambda week: f"{week.refused:,}"),
    ("validations", lambda week: f"{week.validations:,}"),
    ("wrong values found", lambda week: f"{week.findings:,}"),
)


def weekly(this: Week, last: Week) -> Digest:
    """What people should read about a week: a headline, and each number with that of the week before."""
    lines = tuple(f"{name}: {now} (before: {then})" for name, now, then in _numbers(this, last))
    return Digest(severity=_severity(this), headline=_headline(this), lines=lines)


def show_week(console: Console, this: Week, last: Week) -> None:
    """The same as a table, and the headline behind it."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", no_wrap=True)
    for name in ("7 days", "before"):
        table.add_column(name, justify="right", no_wrap=True)
    for numbers in _numbers(this, last):
        table.add_row(*numbers)
    console.print(table)
    console.print(_headline(this))


def _numbers(this: Week, last: Week) -> list[tuple[str, str, str]]:
    return [(name, show(this), show(last)) for name, show in _LINES]


def _severity(week: Week) -> Severity:
    if week.findings or not week.refreshes:
        return Severity.ERROR
    return Severity.WARNING if week.failed or week.good < week.refreshes else Severity.INFO


def _headline(week: Week) -> str:
    if not week.refreshes:
        return "No refresh in seven days."
    wrong = f", {counted(week.findings, 'wrong value')} found" if week.findings else ""
    return f"Seven days: {week.good:,} of {week.refreshes:,} refreshes did all their work{wrong}."

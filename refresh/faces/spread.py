"""What programs did that worked on one database each, told as one: a table, a document, an alert, metrics, a page."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from refresh.errors import ExitCode
from refresh.faces.alerts import Digest
from refresh.faces.document import VERSION
from refresh.faces.metrics import PREFIX
from refresh.run.summary import Severity
from refresh.wording import counted, listed

_SAMPLE = re.compile(rf"(?P<name>{PREFIX}\w+)(?:{{(?P<labels>.*)}})? (?P<value>\S+)")
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Daily refresh: shards</title>
<style>
:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }}
body {{ margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }}
table {{ border-collapse: collapse; width: 100%; }}
td, th {{ border-bottom: 1px solid #8886; padding: 0.4rem 0.6rem; text-align: left; vertical-align: top; }}
</style>
<h1>Daily refresh</h1>
<p>Assets are spread over {number}. Each has a page of its own. Written {written} UTC.</p>
<table>
<tr><th>shard</th><th>last seen</th></tr>
{rows}
</table>
</html>
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """How the program of one shard ended.

    ``code``: its exit code, ``None`` if a signal came before its start. ``document``: the JSON document that it wrote.
    """

    name: str
    code: int | None
    seconds: float
    lines: Sequence[str] = ()
    document: Mapping[str, Any] | None = None

    @property
    def result(self) -> str:
        """How it ended, in words."""
        if self.document and "headline" in self.document:
            return str(self.document["headline"])
        if self.code is None:
            return "not started"
        last = next(reversed([line for line in self.lines if line.strip()]), "")
        known = {int(code): code.meaning for code in ExitCode}
        return last or known.get(self.code, f"ended with {self.code}")

    def number(self, name: str) -> int:
        """A number of its document; 0 without one."""
        return int((self.document or {}).get(name, 0))


def exit_code(ended: Sequence[Ended], stopped: int) -> int:
    """The exit code of all: that of the signal, else that on which all agree, else that something failed."""
    if stopped:
        return stopped
    first, *others = {shard.code for shard in ended}
    is_common = not others and first is not None and first >= 0  # below are those of programs that a signal ended
    return first if is_common and first is not None else ExitCode.FAILED


def headline(ended: Sequence[Ended], code: int, seconds: float) -> str:
    """All in one sentence."""
    rows = sum(shard.number("rows") for shard in ended)
    bad = [shard.name for shard in ended if shard.code]
    what = f"{counted(rows, 'row')} written in {seconds:.1f}s, in {counted(len(ended), 'shard')}"
    if code > ExitCode.ALREADY_RUNNING:
        return f"Stopped: {what}."
    return f"Not all is done: {what}; look at {listed(bad)}." if bad else f"Done: {what}."


def show(console: Console, ended: Sequence[Ended], line: str) -> None:
    """A table of the shards, and the sentence."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("shard", no_wrap=True)
    for name in ("assets", "rows", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("result", overflow="fold")
    for shard in ended:
        numbers = [f"{shard.number(name):,}" for name in ("assets", "rows")]
        table.add_row(shard.name, *numbers, f"{shard.seconds:.1f}", shard.result)
    console.print(table)
    console.print(line)


def document(ended: Sequence[Ended], code: int, seconds: float) -> dict[str, Any]:
    """The document of all: totals, and the document of each."""
    return {
        "version": VERSION,
        "kind": "shards",
        "exit_code": code,
        "seconds": round(seconds, 3),
        "headline": headline(ended, code, seconds),
        "assets": sum(shard.number("assets") for shard in ended),
        "rows": sum(shard.number("rows") for shard in ended),
        "shards": {shard.name: {"exit_code": shard.code, "document": shard.document} for shard in ended},
    }


def digest(ended: Sequence[Ended], code: int, seconds: float) -> Digest | None:
    """One alert about all; ``None`` if no shard has anything to report."""
    lines: list[str] = []
    for shard in ended:
        details = (shard.document or {}).get("details", ())
        if shard.code or details:
            lines += [f"{shard.name}: {line}" for line in (shard.result, *details)]
    if not lines:
        return None
    is_new = any(_has_news(shard) for shard in ended)
    return Digest(severity=_severity(ended), headline=headline(ended, code, seconds), lines=tuple(lines), is_new=is_new)


def _severity(ended: Iterable[Ended]) -> Severity:
    worst = Severity.INFO
    for shard in ended:
        said = (shard.document or {}).get("severity")
        failed = Severity.CRITICAL if shard.code else Severity.INFO
        worst = max(worst, Severity[said.upper()] if said else failed)
    return worst


def _has_news(shard: Ended) -> bool:
    """Whether there is more to report than what is known to be unfinished."""
    said = shard.document or {}
    fresh = [entry for entry in said.get("unfinished", ()) if entry["since"] is None]
    findings = (said.get("validation") or {}).get("findings")
    return bool(fresh or findings or said.get("restated") or said.get("notices") or (shard.code and not said))


def metrics(texts: Mapping[str, str]) -> str:
    """The metrics of all shards, each value with the label ``shard``; what a name means is said once."""
    blocks: dict[str, list[str]] = {}
    for shard, text in texts.items():
        for line in text.splitlines():
            sample = _SAMPLE.fullmatch(line)
            name = sample["name"] if sample else line.split()[2]
            block = blocks.setdefault(name, [])
            if sample:
                labels = ",".join(filter(None, (f'shard="{shard}"', sample["labels"])))
                block.append(f"{name}{{{labels}}} {sample['value']}")
            elif line not in block:
                block.append(line)
    return "".join(f"{line}\n" for block in blocks.values() for line in block)


def page(ended: Sequence[Ended], pages: Mapping[str, str], written: str) -> str:
    """A page that leads to that of each shard, with how each ended."""
    rows = []
    for shard in ended:
        link = f'<a href="{html.escape(pages[shard.name])}">{html.escape(shard.name)}</a>'
        rows.append(f"<tr><td>{link}</td><td>{html.escape(shard.result)}</td></tr>")
    return _PAGE.format(number=counted(len(ended), "database"), written=written, rows="\n".join(rows))

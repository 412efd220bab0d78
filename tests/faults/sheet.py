"""The fault sheet: how often each fault struck, and what was left. A run of the tests writes it."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Self

from faults.scene import Fault, Struck

LONGEST = 150
HEAD = """\
| fault | hits | tables and states equal | ledger equal | exit codes | what the user saw, once |
|---|---|---|---|---|---|
"""
START, END = "<!-- lines: written by make faults -->", "<!-- end of lines -->"


@dataclass(frozen=True, kw_only=True)
class Line:
    """What became of one fault. ``problems``: each seed after which something was wrong, and what."""

    fault: str
    seed: int
    hits: int = 0
    equal: int = 0
    told: int = 0
    codes: Mapping[str, int] = field(default_factory=dict)
    said: str = ""
    problems: tuple[str, ...] = ()

    def with_hit(
        self, struck: Struck, seed: int, wrong: Collection[str], *, is_told: bool, codes: Collection[int]
    ) -> Self:
        """The line with one hit more. ``codes``: how the programs may end."""
        problems = [f"wrong: {name}" for name in wrong]
        problems += ["the ledger is wrong"] * (not is_told)
        problems += [f"exit code {code}" for code in struck.codes if code not in codes]
        return replace(
            self,
            hits=self.hits + 1,
            equal=self.equal + (not wrong),
            told=self.told + is_told,
            codes=dict(Counter(self.codes) + Counter(map(str, struck.codes))),
            said=self.said or struck.said,
            problems=(*self.problems, *(f"{seed}: {problem}" for problem in problems)),
        )

    def as_text(self) -> str:
        """The line in JSON, which may pass from one process of the tests to another."""
        return json.dumps(asdict(self))

    @classmethod
    def of_text(cls, text: str) -> Self:
        """The line that such JSON says."""
        return cls(**json.loads(text))

    def as_row(self) -> str:
        """The line of a table in Markdown."""
        codes = ", ".join(
            f"{code} ({number})" for code, number in sorted(self.codes.items(), key=lambda pair: int(pair[0]))
        )
        said = self.said.replace("|", "\\|").replace("`", "'")
        shown = textwrap.shorten(said, LONGEST, placeholder=" …")  # half a word could be a flag that there is not
        return f"| {self.fault} | {self.hits} | {self.equal} | {self.told} | {codes} | {f'`{shown}`' * bool(shown)} |\n"


def with_lines(page: str, groups: Mapping[str, Iterable[Fault]], lines: Iterable[Line], run: str) -> str:
    """The page with these lines, in a table for each group. A fault that did not strike this time keeps its own.

    ``run`` says when and where they struck, after how often they did.
    """
    rows = {_fault_of(row): row for row in page.splitlines(keepends=True) if row.startswith("| ")}
    rows |= {line.fault: line.as_row() for line in lines}
    listed = {title: [rows[fault.name] for fault in faults if fault.name in rows] for title, faults in groups.items()}
    hits = [_hits_of(row) for group in listed.values() for row in group]
    tables = [f"{sum(hits):,} hits of {len(hits)} faults; {run}\n"]
    tables += [f"### {title}\n\n{HEAD}{''.join(group)}" for title, group in listed.items() if group]
    before, _, rest = page.partition(START)
    _, _, after = rest.partition(END)
    written = "\n".join(tables)
    return f"{before}{START}\n{written}{END}{after}"


def _hits_of(row: str) -> int:
    return int(row.split(" | ")[1])


def _fault_of(row: str) -> str:
    return row.split(" | ", maxsplit=1)[0].removeprefix("| ")

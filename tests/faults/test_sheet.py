"""The page that tells what became of each fault."""

from __future__ import annotations

import re
from dataclasses import replace

from faults.catalogue import FAULTS, GROUPS
from faults.scene import Struck
from faults.sheet import END, START, Line, with_lines
from programs import PROJECT

PAGE = (PROJECT / "docs" / "faults.md").read_text(encoding="utf-8")
OFTEN, MOST = 20, 60


def test_the_page_is_of_these_faults() -> None:
    """Its faults are in the order of the catalogue; most struck often, and after no hit anything was wrong."""
    rows = re.findall(r"^\| (.+?) \| (\d+) \| (\d+) \| (\d+) \|", PAGE, re.MULTILINE)
    listed = {name for name, *_ in rows}
    assert [name for name, *_ in rows] == [fault.name for fault in FAULTS if fault.name in listed]
    assert [(name, right) for name, hits, *right in rows if right != [hits, hits]] == []
    assert sum(int(hits) >= OFTEN for _, hits, *_ in rows) >= MOST


def test_names_differ() -> None:
    """No two faults have one name, by which the page knows them."""
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


def test_a_wrong_hit_is_counted_and_named() -> None:
    """A line counts what was equal, and says after which seed something was not, and what."""
    line = Line(fault="a fault", seed=1)
    line = line.with_hit(Struck(codes=(0,), said="a | b"), 1, [], is_told=True, codes={0})
    line = line.with_hit(Struck(codes=(0, 3), said=""), 2, ["a_table"], is_told=False, codes={0})
    assert line.problems == ("2: wrong: a_table", "2: the ledger is wrong", "2: exit code 3")
    assert Line.of_text(line.as_text()).as_row() == "| a fault | 2 | 1 | 1 | 0 (2), 3 (1) | `a \\| b` |\n"


def test_lines_are_replaced() -> None:
    """Writing a line replaces that of its fault, and leaves those of other faults and the rest of the page."""
    first, second = (Line(fault=fault.name, seed=1) for fault in FAULTS[:2])
    empty = PAGE.partition(START)[0] + START + END
    both = with_lines(empty, GROUPS, [first, second], "one run.")
    assert both.startswith(PAGE.partition(START)[0])
    changed = with_lines(both, GROUPS, [replace(first, hits=7)], "one run.")
    assert changed == both.replace(f"| {first.fault} | 0 |", f"| {first.fault} | 7 |").replace("0 hits of", "7 hits of")

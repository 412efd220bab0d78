"""The page that tells what became of each fault."""

from __future__ import annotations

import re

from faults.catalogue import FAULTS, GROUPS
from faults.scene import Struck
from faults.sheet import Line, with_lines
from programs import PROJECT

PAGE = (PROJECT / "docs" / "faults.md").read_text(encoding="utf-8")
ENOUGH = 20


def test_every_fault_is_on_the_page() -> None:
    """Each has a line, in the order of the catalogue, and struck often enough; after no hit anything was wrong."""
    rows = re.findall(r"^\| (.+?) \| (\d+) \| (\d+) \| (\d+) \|", PAGE, re.MULTILINE)
    assert [name for name, *_ in rows] == [fault.name for fault in FAULTS]
    for name, hits, *right in rows:
        assert int(hits) >= ENOUGH, name
        assert right == [hits, hits], name


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
    """Writing lines leaves the rest of the page as it is."""
    line = Line(fault=FAULTS[0].name, seed=1)
    once = with_lines(PAGE, GROUPS, [line], "One run.\n")
    assert once.partition("## The sheet")[0] == PAGE.partition("## The sheet")[0]
    assert once.count("| 0 | 0 | 0 |") == 1
    assert with_lines(once, GROUPS, [line], "One run.\n") == once

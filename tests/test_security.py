"""docs/security.md against the tests: each threat is proved by tests that exist, or accepted with a reason."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
DOCUMENT = CHECKOUT / "docs" / "security.md"
COLUMNS = ["who", "what they can try", "what stops it", "proof"]
PROOF = re.compile(r"\[(test_\w+)\]\(([^)]+)\)")
ACCEPTED = "accepted, because "


def rows() -> list[list[str]]:
    """The cells of every row of every table."""
    lines = re.findall(r"^\| ?(.*?) ?\|$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    cells = [[cell.strip() for cell in line.split("|")] for line in lines]
    return [row for row in cells if row != COLUMNS and not row[0].startswith("--")]


def proofs() -> set[tuple[str, str]]:
    """Each test that is named, with the file that it is said to be in."""
    return set(PROOF.findall("".join(row[-1] for row in rows())))


def test_every_threat_has_an_answer() -> None:
    """A threat has either tests, and nothing else, in its last column, or a reason why it is accepted, and no test."""
    assert len(rows()) > 40
    for row in rows():
        assert len(row) == len(COLUMNS), row
        assert all(row[:-1]), row
        is_accepted = row[-2].startswith(ACCEPTED)
        assert is_accepted != bool(PROOF.findall(row[-1])), row
        assert PROOF.sub("", row[-1]).strip(", ") == "", row


@pytest.mark.parametrize(("name", "file"), sorted(proofs()))
def test_named_test_exists(name: str, file: str) -> None:
    """A test that proves something is in the file that its link leads to."""
    path = (DOCUMENT.parent / file).resolve()
    assert path.is_relative_to(CHECKOUT / "tests")
    assert re.search(rf"^def {name}\(", path.read_text(encoding="utf-8"), re.MULTILINE)

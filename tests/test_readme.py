"""The documents against the code: what exists must be told, in the words of its declaration."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from refresh.store.tables import METADATA

CHECKOUT = Path(__file__).resolve().parents[1]
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = {path.name: path.read_text(encoding="utf-8") for path in sorted((CHECKOUT / "docs").glob("*.md"))}
ABOUT = {"cmc_price_bars_": "bars.md", "cmc_ema_": "emas.md"}
"""Which document tells of the tables whose names begin so; of others, any does."""
TARGETS = re.findall(r"^([a-z-]+):.*## ", (CHECKOUT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def code_spans(text: str) -> Iterator[str]:
    """What stands between backticks."""
    return (span for line in text.splitlines() for span in re.findall(r"`([^`]+)`", line))


def first_cells(text: str) -> Iterator[str]:
    """The first cell of every row of every table."""
    return (cell.strip() for cell in re.findall(r"^\|([^|\n]*)\|", text, re.MULTILINE))


@pytest.mark.parametrize("target", TARGETS)
def test_make_target_is_told(target: str) -> None:
    """Each target that ``make help`` lists is in the README."""
    assert f"make {target}" in set(code_spans(README)), f"README.md does not tell of `make {target}`"


def test_makefile_has_targets() -> None:
    """The targets are found in the Makefile at all."""
    assert {"daily-refresh", "test"} <= set(TARGETS)


def test_every_make_command_exists() -> None:
    """The README names no target that the Makefile lacks."""
    named = {span.split()[1] for span in code_spans(README) if re.match(r"make [a-z]", span)}
    assert named <= set(TARGETS)


@pytest.mark.parametrize("table", METADATA.tables)
def test_table_is_told(table: str) -> None:
    """Each table has a row in the README's table of tables; a state table shares that of its table."""
    told = set(first_cells(README.partition("## The tables\n")[2].partition("\n## ")[0]))
    owner = table.removesuffix("_state")
    assert f"`{owner}`" in told, f"README.md has no row for {owner}"
    assert owner == table or "`<table>_state`" in told, "README.md has no row for `<table>_state`"


@pytest.mark.parametrize("table", METADATA.tables)
def test_columns_are_told(table: str) -> None:
    """Each column is named in the document about its table."""
    document = next((name for start, name in ABOUT.items() if table.startswith(start)), None)
    text = DOCUMENTS[document] if document else "\n".join(DOCUMENTS.values())
    told = {word for span in code_spans(text) for word in re.findall(r"\w+", span)}
    untold = [column.name for column in METADATA.tables[table].columns if column.name not in told]
    assert not untold, f"docs/{document or ''} does not tell of {', '.join(untold)} of {table}"

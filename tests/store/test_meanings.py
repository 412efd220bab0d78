"""The comments in a database and the tables of the documents against the meanings from which both are made."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sqlalchemy import Engine
from statements import ask, execute

from refresh.store.database import read_committed
from refresh.store.meanings import COLUMNS, ROWS, Meaning, by_column, column_table, meanings, without_links
from refresh.store.schema import prepare
from refresh.store.tables import METADATA
from refresh.store.views import VIEWS

DOCS = Path(__file__).resolve().parents[2] / "docs"
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.md"))}
BLOCK = re.compile(r"<!-- columns of (\w+): .*-->\n(.*?)<!-- end of \1 -->", re.DOTALL)
BLOCKS = [(name, *block) for name, text in TEXTS.items() for block in BLOCK.findall(text)]
TABLES = TEXTS["tables.md"]
SHARED = ("_state", "_packed", "_series", "_closed", "_latest", "_with_bars")
"""Endings of tables and views that are described together with others of their kind."""
COMMENTS = """
    SELECT c.relname, a.attname, col_description(c.oid, a.attnum) FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relnamespace = 2200 AND c.relkind IN ('r', 'v') AND c.relname <> 'cmc_price_histories7'
"""
OF_RELATIONS = """
    SELECT relname, obj_description(oid, 'pg_class') FROM pg_class
    WHERE relnamespace = 2200 AND relkind IN ('r', 'v') AND relname <> 'cmc_price_histories7'
"""


def test_lines_of_a_text() -> None:
    """A line has columns and their meaning, in which there may be colons, and an indented line continues it."""
    text = "\na b: one: two\nc: long\n  and longer\n"
    assert meanings(text) == [Meaning(("a", "b"), "one: two"), Meaning(("c",), "long and longer")]
    assert without_links("see [the `tz`](bars.md#the-time-zone) here") == "see the tz here"


@pytest.mark.parametrize(("document", "relation", "table"), BLOCKS, ids=[f"{block[0]} {block[1]}" for block in BLOCKS])
def test_columns_in_the_documents(document: str, relation: str, table: str) -> None:
    """The tables of columns in the documents are those of the meanings."""
    expected = column_table(relation)
    assert table == expected, f"paste this between the two comments of docs/{document}:\n\n{expected}"


def test_every_kind_of_table_has_its_columns_in_a_document() -> None:
    """Whatever has columns of its own is explained; what shares its columns with another table, once."""
    explained = [COLUMNS[relation] for _, relation, _ in BLOCKS]
    columns = {name for meanings_of in explained for meaning in meanings_of for name in meaning.columns}
    missing = {name for name in ROWS if name in METADATA.tables} - {relation for _, relation, _ in BLOCKS}
    assert {name for name in missing if not by_column(COLUMNS[name]).keys() <= columns} == set()
    assert {"cmc_price_bars_1d", "refresh_runs", "refresh_freshness"} <= {relation for _, relation, _ in BLOCKS}


@pytest.mark.parametrize("relation", [name for name in ROWS if not name.endswith(SHARED) and name in METADATA.tables])
def test_rows_in_the_documents(relation: str) -> None:
    """docs/tables.md says of each table what one row of it is, in the words of the meanings."""
    expected = f"| `{relation}` | {ROWS[relation]} |"
    assert expected in TABLES, f"docs/tables.md needs: {expected}"


def test_everything_has_a_comment(engine: Engine) -> None:
    """Every table, view and column of ours is explained in the database, without links, and nothing else is."""
    relations = dict(ask(engine, OF_RELATIONS))
    assert relations == {name: f"A row is {without_links(ROWS[name])}." for name in {*METADATA.tables, *VIEWS}}
    for name, column, comment in ask(engine, COMMENTS):
        assert comment == without_links(by_column(COLUMNS[name])[column]), f"{name}.{column}"
    assert relations["cmc_price_bars_1d"] == "A row is the bar of an asset and day."
    query = (
        "SELECT col_description('dim_timeframe'::regclass, 1), obj_description('refresh_source_times()'::regprocedure)"
    )
    assert ask(engine, query) == [
        ("the label; it follows from the other columns", "The last timestamp of each asset in the source.")
    ]


def test_comments_of_the_user_stay(engine: Engine) -> None:
    """What a user writes, or removes, is left alone; a table that is created again gets comments again."""
    execute(
        engine,
        "COMMENT ON TABLE dim_period IS 'mine'",
        "COMMENT ON COLUMN dim_period.period IS 'mine'",
        "COMMENT ON VIEW refresh_freshness IS NULL",
        "DROP TABLE refresh_restatements",
    )
    with read_committed(engine) as connection:
        prepare(connection)
    found = dict(ask(engine, OF_RELATIONS))
    assert (found["dim_period"], found["refresh_freshness"]) == ("mine", None)
    assert found["refresh_restatements"] == "A row is a change of known prices: the ledger."
    assert ("dim_period", "period", "mine") in ask(engine, COMMENTS)

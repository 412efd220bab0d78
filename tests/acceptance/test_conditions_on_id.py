"""The statements that a refresh, a check and a validation really send: nearly all say which assets they are about.

What a server that spreads rows over machines by ``id`` could do with them depends on that. docs/scale.md lists those
that do not, and the calls that would spread the tables; neither was run on such a server.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import closing_server, create_tables, guarded_folder
from prices import fill
from programs import PROJECT, run
from refreshing import FEW, enable
from sqlalchemy import Engine, UniqueConstraint
from statements import address, execute
from surveys import SURVEYS, table

from refresh.catalog import DAILY, SOURCE, legs
from refresh.server.programs import binaries, usable
from refresh.store.database import connect
from refresh.store.tables import METADATA, TARGET_TABLES, VALIDATIONS

DOCUMENT = (PROJECT / "docs" / "scale.md").read_text(encoding="utf-8")
WITH_ID = {name for name, table in {**METADATA.tables, **TARGET_TABLES}.items() if "id" in table.columns} | {SOURCE}
RUNS = (
    ("--all",),
    ("--all", "--accept-restatement", "--prune"),
    ("--all",),
    ("--check",),
    ("--validate", "--sample", "1"),
)
CHANGES = (
    f"UPDATE {SOURCE} SET close = close * 1.001 WHERE id = 2 AND timestamp > '2024-02-20'",
    f"DELETE FROM {SOURCE} WHERE id = 3",
)
ENTRY = re.compile(r"LOG:  statement: (.*?)(?=\n\d{4}-\d\d-\d\d |\Z)", re.DOTALL)
OF_SCHEMA = re.compile(r"(CREATE|ALTER|COMMENT|DROP|LOCK|REVOKE|GRANT|TRUNCATE) ")
OF_ALL = "(true OR id = ANY(CAST('…' AS int[])))"
CONDITION = re.compile(
    r"""\bid = ANY ?\((?:CAST\()?(?:'…'|ARRAY\[)|\bid = 0\b|\bid IN \(0|\bAS \w+\((?:\w+, )*id\b"""
    r"""|^INSERT INTO|^COPY \w+ \(.*FROM STDIN"""
)
"""Ids that a statement names, is given as rows, or has in the rows that it writes."""


@pytest.fixture(scope="module")
def sent() -> Iterator[list[str]]:
    """What a server of its own has logged of some runs, with constants left out."""
    with guarded_folder() as folder:
        programs = usable(binaries({}), folder / "cluster")
        with closing_server(folder, programs) as running:
            with connect(running.url(database="postgres").replace("://", "+psycopg2://", 1)) as engine:
                begin(engine)
                for number, words in enumerate(RUNS):
                    if number == 1:
                        execute(engine, *CHANGES)
                    done = run("run_daily_refresh.py", *words, url=address(engine))
                    assert done.returncode == 0 or words[0] == "--check", done.stdout + done.stderr
            yield statements(folder / "cluster" / "Postgresql.log")


def begin(engine: Engine) -> None:
    """Three assets in a database that logs every statement from now on."""
    with engine.begin() as connection:
        create_tables(connection)
    enable(engine, FEW, (10, 20))
    for id in (1, 2, 3):
        fill(engine, id, "2024-01-01", "2024-03-10")
    execute(engine, "ALTER DATABASE postgres SET log_statement = 'all'")


def statements(log: Path) -> list[str]:
    """Each statement on a table that has ids, once."""
    every = {shape(found) for found in ENTRY.findall(log.read_text(encoding="utf-8"))}
    names = {collapsed(f"public.{name}") for name in WITH_ID}
    return sorted(text for text in every if names.intersection(re.findall(r"\w+", text)) and not OF_SCHEMA.match(text))


def shape(statement: str) -> str:
    """A statement without constants, and with one name for all tables of a kind."""
    text = re.sub(r"E?'(?:[^']|'')*'", "'…'", statement)
    text = re.sub(r"\b\d+\b", "0", " ".join(text.split()))
    return collapsed(text)


def collapsed(text: str) -> str:
    """The names of tables without their schema, those of snapshots and averages as BARS and EMAS."""
    for leg in sorted((leg for _, leg in legs()), key=lambda leg: -len(leg.target)):
        if leg.target != DAILY:
            kind = "EMAS" if leg.averages else "BARS"
            text = re.sub(rf"\bpublic\.{leg.target}(_packed|_series|_state)?\b", rf"{kind}\1", text)
    return text.replace("public.", "")


def test_only_surveys_name_no_id(sent: list[str]) -> None:
    """Every statement names its assets, except those that look for what is due among all of them, or ask by run."""
    without = [text for text in sent if not CONDITION.search(text.replace(OF_ALL, ""))]
    unexpected = [text for text in without if not any(survey.part in text for survey in SURVEYS)]
    assert unexpected == []
    assert len(sent) - len(without) > 2 * len(SURVEYS)


@pytest.mark.parametrize("survey", SURVEYS, ids=lambda survey: survey.asks)
def test_every_survey_is_sent(sent: list[str], survey: object) -> None:
    """No statement is listed that is not sent."""
    fitting = [next((one for one in SURVEYS if one.part in text), None) for text in sent]
    assert survey in fitting


def test_document_lists_the_surveys() -> None:
    """docs/scale.md has the list."""
    assert table() in DOCUMENT, f"paste this into docs/scale.md:\n\n{table()}"


def calls() -> str:
    """The calls that would spread the tables: by id where each key has it, and as copies on each machine otherwise."""
    lines = [f"SELECT create_distributed_table('{SOURCE}', 'id');"]
    for name, declared in METADATA.tables.items():
        uniques = [item for item in declared.constraints if isinstance(item, UniqueConstraint)]
        keys = [declared.primary_key, *uniques]
        if "id" in declared.columns and all("id" in key.columns for key in keys):
            lines.append(f"SELECT create_distributed_table('{name}', 'id', colocate_with => '{SOURCE}');")
        else:
            lines.append(f"SELECT create_reference_table('{name}');")
    return "\n".join(lines)


def test_document_has_the_calls() -> None:
    """The calls of docs/scale.md are those of the tables that are declared, each once."""
    assert f"```sql\n{calls()}\n```" in DOCUMENT, f"paste this into docs/scale.md:\n\n{calls()}"
    assert {VALIDATIONS, DAILY} <= set(METADATA.tables)

"""The bench as a user starts it, and the plain tables that it compares with."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from programs import PROJECT, run
from refreshing import FEW, columns, enable, refresh
from sqlalchemy import Engine, text

from bench import former
from bench.__main__ import EXTRA, MEASURES
from bench.server import LAST, Database, Size, fill
from refresh.store.tables import METADATA

SIZE = Size(2, 100)


@pytest.fixture
def database(engine: Engine, prepared_url: str) -> Database:
    """A small database whose tables are built."""
    fill(engine, SIZE)
    enable(engine, FEW, periods=[10])
    refresh(engine)
    return Database(size=SIZE, url=prepared_url, engine=engine)


def compare(database: Database, target: str) -> tuple[int, int]:
    """The number of rows of a name, and of those that only it or only the plain table has."""
    names = ", ".join(columns(target))
    ours, plain = (f"SELECT {names} FROM {schema}.{target}" for schema in ("public", former.SCHEMA))
    differing = f"(({ours} EXCEPT ALL {plain}) UNION ALL ({plain} EXCEPT ALL {ours})) AS d"
    query = text(f"SELECT (SELECT count(*) FROM {target}), (SELECT count(*) FROM {differing})")
    with database.engine.connect() as connection:
        rows, differing_rows = connection.execute(query).one()
    return rows, differing_rows


def test_plain_tables_have_the_same_rows(database: Database, tmp_path: Path) -> None:
    """What is inserted from the names, and what psql copies from files of them, equals what the names return."""
    former.fill(database)
    inserted = {target: compare(database, target) for target in former.SHAPES}
    former.dump(database, tmp_path)
    former.create(database)
    former.load(database, tmp_path)
    assert {target: compare(database, target) for target in former.SHAPES} == inserted
    assert all(rows > 0 and differing == 0 for rows, differing in inserted.values())
    assert sum(rows for rows, _ in inserted.values()) == sum(former.count(database, asset=id) for id in (1, 2))


def test_plain_rows_since_a_time(database: Database) -> None:
    """Of the last day there is one row per series of an asset, and one daily bar."""
    last_day = former.count(database, asset=1, since=LAST)
    assert 0 < last_day < former.count(database, asset=1, since=LAST - timedelta(days=1))
    former.fill(database, since=LAST)
    with database.engine.connect() as connection:
        (ids,) = connection.execute(
            text(f"SELECT array_agg(id ORDER BY id) FROM {former.SCHEMA}.cmc_price_bars_1d")
        ).one()
    assert ids == [1, 2]


def test_tables_beside_exist() -> None:
    """The tables that are counted on both sides are tables of ours."""
    assert set(former.BESIDE) <= set(METADATA.tables)
    assert not set(former.BESIDE) & set(former.SHAPES)


@pytest.mark.parametrize("name", [*MEASURES, *EXTRA])
def test_measure_is_explained(name: str) -> None:
    """Each measure has a row in the document."""
    text = (PROJECT / "docs" / "performance.md").read_text(encoding="utf-8")
    assert f"\n| `{name}` | " in text


def test_bench(tmp_path: Path) -> None:
    """A small bench prints the machine, then a table with goals, and writes the same as JSON."""
    file = tmp_path / "figures.json"
    small = ("--only", "idle", "--scale", "0.001", "--pairs", "1", "--json", str(file))
    result = run("-m bench", *small, url="")
    assert result.returncode == 0, result.stderr
    machine, _, header, _, *rows = result.stdout.splitlines()
    assert machine.endswith("(fsync on, full_page_writes on, synchronous_commit on)")
    assert header.startswith("| measure")
    assert rows[0].startswith("| nothing to do |")
    assert rows[-1].endswith(f"as JSON in {file}")
    document = json.loads(file.read_text())
    assert [figure["measure"] for figure in document["figures"]] == ["nothing to do", "dry run"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("--only", "nights"), "invalid choice: 'nights'"), (("--scale", "0"), "0 is not above 0")],
)
def test_bench_refuses(arguments: tuple[str, ...], message: str) -> None:
    """What cannot be measured is refused before anything is."""
    result = run("-m bench", *arguments, url="")
    assert result.returncode == 2
    assert message in result.stderr

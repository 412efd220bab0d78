"""Tables that are cut into partitions when they are created: equal to whole ones, whatever happens to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from prices import fill
from refreshing import FEW, digests, enable, moved, refresh
from sqlalchemy import Engine
from statements import ask, execute

from refresh.catalog import legs
from refresh.errors import SchemaError, SettingsError
from refresh.options.request import Request
from refresh.store.database import connect, transaction
from refresh.store.history import end_run
from refresh.store.overview import table_bytes
from refresh.store.schema import looking, prepare
from refresh.store.tables import METADATA, source_table

TABLES = sorted(leg.table for _, leg in legs())
SOURCE, DAILY, SNAPSHOTS = "cmc_price_histories7", "cmc_price_bars_1d", "cmc_price_bars_multi_tf"
PACKED = "cmc_ema_multi_tf_packed"
IDS = range(1, 13)
PART_OF_5 = f"SELECT tableoid::regclass::text FROM {DAILY} WHERE id = 5 LIMIT 1"
NIGHTS = {
    "one more day": f"""
        INSERT INTO {SOURCE} (id, name, timeopen, timeclose, open, high, low, close, volume, timestamp)
        SELECT id, name, timeopen + interval '1 day', timeclose + interval '1 day', open, high, low, close, volume,
               timestamp + interval '1 day'
        FROM {SOURCE} s WHERE timestamp = (SELECT max(timestamp) FROM {SOURCE} WHERE id = s.id)""",
    "revised days": f"UPDATE {SOURCE} SET close = (high + low) / 2 WHERE id IN (2, 5) AND timestamp > '2024-02-01'",
    "deleted days": f"DELETE FROM {SOURCE} WHERE id IN (3, 8) AND timestamp::date IN ('2024-01-20', '2024-02-11')",
    "an asset less": f"DELETE FROM {SOURCE} WHERE id = 7",
}
ACCEPTED = Request(accept_restatement=True, prune=True)


def prepare_in(engine: Engine, parts: int | None = None) -> None:
    """Prepare a database as a run does that is given ``--partitions``."""
    with transaction(engine) as connection:
        prepare(connection, "UTC", parts)


def numbers(engine: Engine) -> dict[str, int]:
    """The partitions of each table of ours that has some."""
    query = "SELECT inhparent::regclass::text, count(*) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhparent "
    return dict(ask(engine, query + "WHERE c.relkind = 'p' GROUP BY 1"))


def fill_all(engine: Engine) -> None:
    """Ten weeks of different prices for each asset."""
    for id in IDS:
        fill(engine, id, f"2024-01-{id:02}", "2024-03-10")
    execute(engine, f"UPDATE {SOURCE} SET close = close + id * 0.07")


def begin(engine: Engine, parts: int | None) -> None:
    """A database with prices of a few assets, and a few series enabled."""
    with engine.begin() as connection:
        source_table(METADATA.__class__()).create(connection)
    prepare_in(engine, parts)
    enable(engine, FEW, (2, 10, 50))
    fill_all(engine)


@pytest.fixture
def empty(database_url: str) -> Iterator[Engine]:
    """An engine on an empty database."""
    with connect(database_url) as engine:
        yield engine


@pytest.fixture
def whole(engine: Engine) -> Engine:
    """A database without partitions that is built."""
    enable(engine, FEW, (2, 10, 50))
    fill_all(engine)
    refresh(engine)
    return engine


@pytest.fixture
def cut(empty: Engine) -> Engine:
    """The same with four partitions."""
    begin(empty, 4)
    refresh(empty)
    return empty


def test_every_table_of_days_is_cut(empty: Engine) -> None:
    """Bars and packed averages get the partitions, and nothing else does; columns are stored as in whole tables."""
    prepare_in(empty, 4)
    assert numbers(empty) == dict.fromkeys(TABLES, 4)
    columns = f"""SELECT DISTINCT a.attname, a.attstorage::text, coalesce(a.attstattarget, -1) FROM pg_attribute a
                  WHERE a.attrelid::regclass::text LIKE '{PACKED}_p%' AND a.attname IN ('ema', 'closed')
                    AND a.attrelid IN (SELECT inhrelid FROM pg_inherits) ORDER BY 1"""
    assert [row[1:] for row in ask(empty, columns) if row[0] == "ema"] == [("p", 0)]


def test_nights(whole: Engine, cut: Engine) -> None:
    """After each night the tables equal whole ones, and a night without changes writes nothing."""
    assert digests(cut) == digests(whole)
    for night in NIGHTS.values():
        for engine in (whole, cut):
            execute(engine, night)
            refresh(engine, ACCEPTED)
        assert digests(cut) == digests(whole)
    before = moved(cut)
    refresh(cut)
    assert moved(cut) == before


def test_rebuild(whole: Engine, cut: Engine) -> None:
    """A rebuild writes all rows again, into the partitions where they were."""
    refresh(cut, Request(full_rebuild=True))
    assert digests(cut) == digests(whole)


@pytest.mark.parametrize("table", [DAILY, SNAPSHOTS, PACKED])
@pytest.mark.parametrize(
    "damage",
    [
        lambda table: f"TRUNCATE {table}",
        lambda table: f"TRUNCATE {table}_p1",
        lambda table: f"DROP TABLE {table}_p2",
        lambda table: f"DROP TABLE {table} CASCADE",
        lambda table: f"DELETE FROM {table}_p3",
        lambda table: f"DROP TABLE {', '.join(f'{table}_p{part}' for part in range(4))}",
    ],
    ids=["truncated", "a partition truncated", "a partition dropped", "dropped", "deleted", "all partitions dropped"],
)
def test_damage_is_rebuilt(cut: Engine, table: str, damage: Callable[[str], str]) -> None:
    """Whatever was truncated, deleted or dropped, the next run builds it again, with the same partitions."""
    before = digests(cut)
    execute(cut, damage(table))
    refresh(cut)
    assert digests(cut) == before
    assert numbers(cut) == dict.fromkeys(TABLES, 4)


def test_only_what_a_partition_held_is_rebuilt(cut: Engine) -> None:
    """A partition that is gone costs a rebuild of its own assets; those of other partitions are left alone."""
    ((part,),) = ask(cut, PART_OF_5)
    inside = {id for (id,) in ask(cut, f"SELECT DISTINCT id FROM {part}")}
    execute(cut, f"DROP TABLE {part}")
    built = {outcome.id for outcome in refresh(cut) if outcome.rows}
    assert built == inside < set(IDS)


def test_lost_during_a_run_is_noted(cut: Engine) -> None:
    """A partition that is truncated marks the states of its assets at once, as a lost row does."""
    ((part,),) = ask(cut, PART_OF_5)
    inside = ask(cut, f"SELECT DISTINCT id FROM {part} ORDER BY 1")
    execute(cut, f"TRUNCATE {part}")
    assert ask(cut, f"SELECT id FROM {DAILY}_state WHERE version = 0 ORDER BY 1") == inside


def test_everything_dropped_is_cut_again(cut: Engine) -> None:
    """A database whose tables were all dropped gets its partitions again, or those that are asked for now."""
    execute(cut, f"DROP TABLE {', '.join(TABLES)} CASCADE")
    prepare_in(cut)
    assert numbers(cut) == dict.fromkeys(TABLES, 4)
    execute(cut, f"DROP TABLE {', '.join(TABLES)} CASCADE")
    prepare_in(cut, 2)
    assert numbers(cut) == dict.fromkeys(TABLES, 2)


@pytest.mark.parametrize(("built", "asked"), [(4, 8), (4, 1), (None, 4), (1, 2)])
def test_another_number_is_refused(empty: Engine, built: int | None, asked: int) -> None:
    """Tables that exist keep their partitions: the error says what exists. Looking refuses it too."""
    prepare_in(empty, built)
    exists = f"{len(TABLES)} tables exist with 4 partitions" if built == 4 else "tables exist without partitions"
    with pytest.raises(SettingsError, match=f"--partitions {asked}: .*{exists}"):
        prepare_in(empty, asked)
    with pytest.raises(SettingsError, match=exists), looking(empty, parts=asked):
        pass


@pytest.mark.parametrize(("built", "asked"), [(4, 4), (4, None), (1, None), (None, 1)])
def test_the_same_number_is_fine(empty: Engine, built: int | None, asked: int | None) -> None:
    """The number that the tables have may be given again, or left out."""
    prepare_in(empty, built)
    before = numbers(empty)
    prepare_in(empty, asked)
    assert numbers(empty) == before


def test_a_detached_partition_is_named(cut: Engine) -> None:
    """A partition that somebody detached is not replaced silently; attached again, its rows are checked and right."""
    before = digests(cut)
    execute(cut, f"ALTER TABLE {DAILY} DETACH PARTITION {DAILY}_p1")
    with pytest.raises(SchemaError, match="is no partition of") as caught:
        prepare_in(cut)
    attach = str(caught.value).partition(f"{DAILY}: ")[2].partition("; or")[0]
    execute(cut, attach)
    refresh(cut)
    assert digests(cut) == before


def test_partitions_of_somebody_else(engine: Engine) -> None:
    """A table that its user cut in another way is used as it is."""
    execute(
        engine,
        f"CREATE TABLE other (LIKE {DAILY} INCLUDING ALL) PARTITION BY LIST (id)",
        f"DROP TABLE {DAILY} CASCADE",
        f"ALTER TABLE other RENAME TO {DAILY}",
        f"CREATE TABLE first PARTITION OF {DAILY} FOR VALUES IN (1)",
        f"CREATE TABLE rest PARTITION OF {DAILY} DEFAULT",
    )
    prepare_in(engine)
    assert numbers(engine) == {DAILY: 2}
    with pytest.raises(SettingsError, match="1 table exists cut in another way"):
        prepare_in(engine, 2)


def test_sizes_include_partitions(cut: Engine) -> None:
    """The size of a table is that of its partitions, on the page and in the history."""
    with transaction(cut) as connection:
        sizes = table_bytes(connection)
    query = "SELECT sum(pg_total_relation_size(inhrelid))::bigint FROM pg_inherits WHERE inhparent = '{}'::regclass"
    for table in TABLES:
        assert [(sizes[table],)] == ask(cut, query.format(table))
    execute(
        cut,
        """INSERT INTO refresh_runs (run_id, command, arguments, host, pid, started_at, assets)
           VALUES ('r', 'c', '{}', 'h', 1, now(), 1)""",
    )
    with transaction(cut) as connection:
        end_run(connection, "r", 0, 0, {})
    ((noted,),) = ask(cut, "SELECT bytes FROM refresh_runs WHERE run_id = 'r'")
    assert noted > sum(sizes[table] for table in TABLES)


def test_the_largest_number_finds_room_for_its_locks(empty: Engine) -> None:
    """A server with its usual settings creates all tables with 64 partitions in one transaction."""
    prepare_in(empty, 64)
    assert numbers(empty) == dict.fromkeys(TABLES, 64)


def test_rows_are_deleted_where_their_asset_is(cut: Engine) -> None:
    """Deleting some rows of an asset looks into its partition alone, and finds them by address."""
    ((part,),) = ask(cut, PART_OF_5)
    plan = ask(
        cut,
        f"""EXPLAIN DELETE FROM {SNAPSHOTS} t WHERE t.ctid = ANY(CAST('{{"(0,1)","(0,2)"}}' AS tid[]))
            AND t.tableoid = 1 AND t.id = ANY(CAST('{{5}}' AS int[]))""",
    )
    lines = "\n".join(line for (line,) in plan)
    assert "Tid Scan" in lines
    assert lines.count(f"on {SNAPSHOTS}_p") == 2
    assert part.removeprefix(DAILY) in lines


def test_the_function_of_partitions_is_ours_alone(cut: Engine) -> None:
    """Nobody else may make a trigger of the function that works with the rights of the tables' owner."""
    query = "SELECT has_function_privilege('public', 'refresh_note_lost_part()', 'EXECUTE')"
    assert ask(cut, query) == [(False,)]
    execute(cut, "GRANT EXECUTE ON FUNCTION refresh_note_lost_part() TO PUBLIC")
    prepare_in(cut)
    assert ask(cut, query) == [(False,)]

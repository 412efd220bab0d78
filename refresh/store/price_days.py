"""One row per asset and day: what is stored for a file's days at other times, and the prices that it would empty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from refresh.catalog import SOURCE
from refresh.store.price_stage import SHOWN, STAGE, fine_in_source, has_prices
from refresh.store.statements import array_of

_SAME_DAY = """p.id = s.id AND p."timestamp" >= (s.day::timestamp AT TIME ZONE :tz)
    AND p."timestamp" < ((s.day + 1)::timestamp AT TIME ZONE :tz)"""
_IS_DAILY = "s.id <> ALL(CAST(:fine AS int[]))"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Days for which a file has no prices and the table has some, which stay: their number, and the first of them."""

    total: int = 0
    days: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """Days that were stored at another time: ``moved`` to that of the file; and ``removed`` rows beside the newest."""

    moved: int = 0
    removed: int = 0
    first_day: str = ""


def keep_prices(connection: Connection, fine: Sequence[int], tz: str) -> Kept:
    """Take those rows out of the stage that would empty prices."""
    of_same_slot = f"""EXISTS (SELECT FROM {SOURCE} p WHERE {_SAME_DAY} AND {has_prices("p")}
        AND ({_IS_DAILY} OR p."timestamp" = s."timestamp"))"""
    query = text(f"""
        WITH kept AS (
            DELETE FROM {STAGE.name} s WHERE NOT {has_prices("s")} AND {of_same_slot} RETURNING s.day, s.line)
        SELECT day, count(*) OVER () AS total FROM kept ORDER BY line LIMIT {SHOWN}
    """)
    rows = connection.execute(query, {"tz": tz, "fine": array_of(fine)}).all()
    return Kept(total=rows[0].total if rows else 0, days=tuple(str(row.day) for row in rows))


def move_days(connection: Connection, fine: Sequence[int], tz: str, *, has_load_ts: bool) -> Moved:
    """Move stored rows of the file's days to its times; of several rows of a day the one that was loaded last stays."""
    if not _may_have_others(connection, tz):
        return Moved()
    values = {"tz": tz, "fine": array_of(fine)}
    others = f"""SELECT DISTINCT s.id FROM {STAGE.name} s JOIN {SOURCE} p ON {_SAME_DAY}
        WHERE p."timestamp" <> s."timestamp" AND {_IS_DAILY}"""
    ids = list(connection.execute(text(others), values).scalars())
    if not ids:
        return Moved()
    values["fine"] = array_of([*fine, *fine_in_source(connection, ids, tz)])
    newest = 'p.load_ts DESC NULLS LAST, p."timestamp" DESC' if has_load_ts else 'p."timestamp" DESC'
    return _move(connection, values, newest)


def _may_have_others(connection: Connection, tz: str) -> bool:
    """Whether more is stored within the days of the file than rows of its own times."""
    bounds = f"SELECT id, min(day) AS first, max(day) AS last FROM {STAGE.name} GROUP BY id"
    query = text(f"""
        SELECT (SELECT count(*) FROM ({bounds}) AS b JOIN {SOURCE} p
                 ON p.id = b.id AND p."timestamp" >= (b.first::timestamp AT TIME ZONE :tz)
                AND p."timestamp" < ((b.last + 1)::timestamp AT TIME ZONE :tz))
             > (SELECT count(*) FROM {STAGE.name} JOIN {SOURCE} USING (id, "timestamp"))
    """)
    return bool(connection.execute(query, {"tz": tz}).scalar_one())


def _move(connection: Connection, values: dict[str, str], newest: str) -> Moved:
    ranked = f"""
        SELECT s.id, s.day, s."timestamp" AS wanted, p."timestamp" AS stored,
               row_number() OVER (PARTITION BY s.id, s.day
                                  ORDER BY p."timestamp" = s."timestamp" DESC, {newest}) AS place
        FROM {STAGE.name} s JOIN {SOURCE} p ON {_SAME_DAY} WHERE {_IS_DAILY}
    """
    removal = text(f"""
        WITH removed AS (
            DELETE FROM {SOURCE} p USING ({ranked}) AS r
            WHERE r.place > 1 AND p.id = r.id AND p."timestamp" = r.stored RETURNING r.day)
        SELECT count(*) AS number, min(day) AS first FROM removed
    """)
    moving = text(f"""
        WITH moved AS (
            UPDATE {SOURCE} p SET "timestamp" = r.wanted FROM ({ranked}) AS r
            WHERE r.place = 1 AND r.stored <> r.wanted AND p.id = r.id AND p."timestamp" = r.stored RETURNING r.day)
        SELECT count(*) AS number, min(day) AS first FROM moved
    """)
    removed, moved = connection.execute(removal, values).one(), connection.execute(moving, values).one()
    days = [str(row.first) for row in (removed, moved) if row.number]
    return Moved(moved=moved.number, removed=removed.number, first_day=min(days, default=""))

"""Views: the averages as rows, what was slow, which assets fail again and again, when each asset was last done."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, text

from refresh.catalog import Leg, legs
from refresh.errors import SchemaError
from refresh.store.reader_views import FRESHNESS, READER_VIEWS, is_defined, names_of, unpacked
from refresh.store.settings import remember, remembered
from refresh.store.source_times import create_function
from refresh.store.statements import SCHEMA, relation
from refresh.store.tables import METADATA, OUTCOMES, RUNS, STEPS


def _unpacked(leg: Leg) -> str:
    """The rows of packed averages, one per series. It computes nothing, so conditions on its columns reach the tables.

    A row has only the lanes up to the last series that is defined.
    """
    of_row = {name: f"p.{name}" for name in ("id", "ts", "ingested_at")}
    expressions = {**of_row, **unpacked(leg)}
    columns = ", ".join(f"{expressions[name]} AS {name}" for name in names_of(leg))
    return f"SELECT {columns} FROM {leg.table} p JOIN {leg.places} s ON s.shelf = p.shelf WHERE {is_defined(leg)}"


_HISTORY = {
    "refresh_slowest_steps": f"""
        SELECT s.run_id, s.builder, s.seconds, s.rows, s.assets, round((s.rows / nullif(s.seconds, 0))::numeric)
               AS rows_per_second, s.started_at
        FROM {STEPS} s WHERE s.ended_at IS NOT NULL ORDER BY s.seconds DESC""",
    "refresh_flaky_assets": f"""
        SELECT o.id, o.builder, count(*) FILTER (WHERE o.status = 'failed') AS failures,
               count(*) FILTER (WHERE o.status = 'done') AS successes, sum(o.retries) AS retries,
               max(o.noted_at) FILTER (WHERE o.status = 'failed') AS last_failed_at,
               (array_agg(o.error ORDER BY o.noted_at DESC) FILTER (WHERE o.status = 'failed'))[1] AS last_error
        FROM {OUTCOMES} o JOIN {RUNS} r USING (run_id) WHERE r.started_at > now() - interval '30 days'
        GROUP BY o.id, o.builder HAVING bool_or(o.status = 'failed') OR sum(o.retries) > 0 ORDER BY failures DESC""",
    "refresh_last_good": f"""
        SELECT DISTINCT ON (o.id, o.builder) o.id, o.builder, o.run_id, o.noted_at AS done_at, o.rows, o.reason
        FROM {OUTCOMES} o WHERE o.status = 'done' ORDER BY o.id, o.builder, o.noted_at DESC""",
}
VIEWS = {leg.target: _unpacked(leg) for _, leg in legs() if leg.averages} | _HISTORY | READER_VIEWS
"""The definition of each view by its name."""

_NAMED = [name for name in METADATA.tables if re.search(rf"\b{name}\b", " ".join(VIEWS.values()))]
"""The tables that views name."""
_SETTING, _SEEN = "views", "views seen"
"""The settings that remember a digest of the definitions, and one of what they are stored as."""
_DEFINITIONS = text(f"""
    SELECT n AS name, pg_get_viewdef(r) AS definition
    FROM unnest(CAST(:names AS text[])) AS n CROSS JOIN LATERAL {relation("n")} AS r WHERE r IS NOT NULL
""")
_STORED = text(f"""
    SELECT c.relname, c.relkind::text, c.oid::bigint, w.oid::bigint AS rule, w.xmin::text AS written, CASE c.relkind
           WHEN 'v' THEN (SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = c.oid) END
    FROM pg_class c LEFT JOIN pg_rewrite w ON w.ev_class = c.oid AND w.rulename = '_RETURN'
    WHERE c.oid = ANY (SELECT {relation("n")} FROM unnest(CAST(:names AS text[])) AS n) ORDER BY c.relname
""")


def prepare_views(connection: Connection) -> list[str]:
    """Create the views that do not exist, and verify the others. Returns those that were created.

    PostgreSQL writes definitions its own way. So they are compared with what it makes of ours, unless they are those
    that were compared last. That they are is mostly clear without having them written: each view is stored as it was
    then, and so is each table that it names. Raises ``SchemaError`` that names every view that is another.
    """
    stored = _stored(connection)
    taken = [row.relname for row in stored if row.relname in VIEWS and row.relkind != "v"]
    if taken:
        raise SchemaError("; ".join(f"{name} is not a view: ALTER TABLE {name} RENAME TO other" for name in taken))
    existing = {row.relname for row in stored}
    created = [name for name in VIEWS if name not in existing]
    if FRESHNESS in created:
        create_function(connection)
    if created:
        connection.execute(text("; ".join(f"CREATE VIEW {name} AS {VIEWS[name]}" for name in created)))
        stored = _stored(connection)
    seen = _digest([tuple(row) for row in stored])
    if remembered(connection, _SEEN) != seen:
        _verify(connection, created)
        remember(connection, _SEEN, seen)
    return created


def _stored(connection: Connection) -> Sequence[Any]:
    """What our views are stored as, and the tables that they name."""
    return connection.execute(_STORED, {"names": [*_NAMED, *VIEWS]}).all()


def _verify(connection: Connection, created: Sequence[str]) -> None:
    digest = _digest(sorted(_definitions(connection, VIEWS).items()))
    if remembered(connection, _SETTING) == digest:
        return
    others = [name for name in VIEWS if name not in created]
    same = _of_definition(connection, {name: VIEWS[name] for name in others})
    different = [name for name in others if name not in same]
    if different:
        mending = "; ".join(f"{name} is another view: DROP VIEW {name}" for name in different)
        raise SchemaError(f"the views do not fit, and are created again by the next run once dropped: {mending}")
    remember(connection, _SETTING, digest)


def replace_former(connection: Connection, former: Mapping[str, str]) -> None:
    """Give each view that has a ``former`` definition the present one. Its readers and their rights stay."""
    for name in _of_definition(connection, former):
        connection.execute(text(f"CREATE OR REPLACE VIEW {name} AS {VIEWS[name]}"))


def _of_definition(connection: Connection, queries: Mapping[str, str]) -> list[str]:
    """Those of some views that are defined by these queries: compared with copies, which are not kept."""
    found = _definitions(connection, queries)
    copies = {name: f"{name}_as_declared" for name in found}
    attempt = connection.begin_nested()
    for name, copy in copies.items():
        connection.execute(text(f"CREATE VIEW {SCHEMA}.{copy} AS {queries[name]}"))
    declared = _definitions(connection, copies.values())
    attempt.rollback()
    return [name for name, copy in copies.items() if found[name] == declared[copy]]


def _definitions(connection: Connection, names: Iterable[str]) -> dict[str, str]:
    return {row.name: row.definition for row in connection.execute(_DEFINITIONS, {"names": list(names)})}


def _digest(found: Sequence[tuple[Any, ...]]) -> str:
    """A digest of something about the views as they are, and of the views as they are declared."""
    return hashlib.sha256(repr((found, VIEWS)).encode()).hexdigest()

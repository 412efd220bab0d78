"""Views: the averages as rows, what was slow, which assets fail again and again, when each asset was last done."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, text

from refresh.catalog import Leg, legs
from refresh.errors import SchemaError
from refresh.shapes import CLOSED
from refresh.store.existing import existing_kinds
from refresh.store.settings import remember, remembered
from refresh.store.statements import SCHEMA, relation
from refresh.store.tables import OUTCOMES, RUNS, STEPS


def _unpacked(leg: Leg) -> str:
    """The rows of packed averages, one per series. It computes nothing, so conditions on its columns reach the tables.

    A row has only the lanes up to the last series that is defined.
    """
    of_row = {name: f"p.{name}" for name in ("id", "ts", "ingested_at")}
    of_series = {name: f"s.{name}" for name in ("tf", "period", "tf_days")}
    rolls = {average.roll: f"get_bit(p.{CLOSED}, s.place - 1) = 0" for average in leg.averages}
    values = {name: f'p."{name}"[s.place]' for average in leg.averages for name in average.columns}
    expressions = {**of_row, **of_series, **rolls, **values}
    columns = ", ".join(f"{expressions[column.name]} AS {column.name}" for column in leg.shape.columns)
    is_defined = f"{values[leg.averages[0].name]} IS NOT NULL"
    return f"SELECT {columns} FROM {leg.table} p JOIN {leg.places} s ON s.shelf = p.shelf WHERE {is_defined}"


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
VIEWS = {leg.target: _unpacked(leg) for _, leg in legs() if leg.averages} | _HISTORY
"""The definition of each view by its name."""

_SETTING = "views"
_DEFINITIONS = text(f"""
    SELECT n AS name, pg_get_viewdef(r) AS definition
    FROM unnest(CAST(:names AS text[])) AS n CROSS JOIN LATERAL {relation("n")} AS r WHERE r IS NOT NULL
""")


def prepare_views(connection: Connection) -> None:
    """Create the views that do not exist, and verify the others.

    PostgreSQL writes definitions its own way. So they are compared with what it makes of ours, unless they are those
    that were compared last. Raises ``SchemaError`` that names every view that is another.
    """
    kinds = existing_kinds(connection, VIEWS)
    taken = [name for name, kind in kinds.items() if kind != "v"]
    if taken:
        raise SchemaError("; ".join(f"{name} is not a view: ALTER TABLE {name} RENAME TO other" for name in taken))
    for name, query in VIEWS.items():
        if name not in kinds:
            connection.execute(text(f"CREATE VIEW {name} AS {query}"))
    digest = _digest(_definitions(connection, VIEWS))
    if remembered(connection, _SETTING) == digest:
        return
    _refuse_others(connection)
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


def _refuse_others(connection: Connection) -> None:
    same = _of_definition(connection, VIEWS)
    different = [name for name in VIEWS if name not in same]
    if different:
        mending = "; ".join(f"{name} is another view: DROP VIEW {name}" for name in different)
        raise SchemaError(f"the views do not fit, and are created again by the next run once dropped: {mending}")


def _definitions(connection: Connection, names: Iterable[str]) -> dict[str, str]:
    return {row.name: row.definition for row in connection.execute(_DEFINITIONS, {"names": list(names)})}


def _digest(found: Mapping[str, str]) -> str:
    """A digest of the views as they are and as they are declared."""
    return hashlib.sha256(repr((sorted(found.items()), VIEWS)).encode()).hexdigest()

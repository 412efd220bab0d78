"""The former layout of averages: a table with a row per value instead of a view of packed rows."""

from __future__ import annotations

from sqlalchemy import Engine
from statements import execute

from refresh.catalog import Leg, legs

AVERAGING = [leg for _, leg in legs() if leg.averages]


def unpack(engine: Engine, leg: Leg) -> None:
    """The former layout: a table of that name with a row per value, and nothing packed."""
    columns = ", ".join(f'"{name}"' for name in leg.shape.key)
    execute(
        engine,
        f"CREATE TABLE former AS TABLE {leg.target}",
        f"DROP TABLE {leg.table}, {leg.places} CASCADE",
        f"ALTER TABLE former RENAME TO {leg.target}",
        f"ALTER TABLE {leg.target} ADD PRIMARY KEY ({columns}), ALTER ingested_at SET DEFAULT now()",
        "DELETE FROM refresh_settings WHERE name LIKE '%given'",
    )

"""Lists of values on their way into a statement."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine, text

from refresh.store.statements import columns_of, rows_of

AWKWARD = [None, "", "NULL", "null", '"', "\\", '\\"', "{}", "{a,b}", " a ", "'", "Ξ", "a\nb\tc", "%s :name %(id)s"]
TIMES = [datetime(1, 1, 1, tzinfo=UTC), None, datetime(2025, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("text", AWKWARD),
        ("int", [-1, 0, None, 2**31 - 1]),
        ("float8", [0.1, -0.0, 5e-324, 1.7976931348623157e308, float("inf"), None]),
        ("bool", [True, None, False]),
        ("timestamptz", TIMES),
        ("jsonb", [None, '{"a": "\\\\ \\" {,}"}']),
        ("int", []),
    ],
)
def test_every_value_arrives_as_it_was(engine: Engine, kind: str, values: list[Any]) -> None:
    """Whatever is in a list, the statement sees the same values in the same order."""
    wanted = "value::text" if kind == "jsonb" else "value"
    query = text(f"SELECT {wanted} FROM {rows_of('u', ordinal='n', value=kind)} ORDER BY n")
    with engine.connect() as connection:
        arrived = connection.execute(query, columns_of("u", value=values)).scalars().all()
    assert list(map(repr, arrived)) == list(map(repr, values))

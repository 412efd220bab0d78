"""The former layout of averages, a table with a row per value: recognised, and never read or written by a refresh."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, text

from refresh.catalog import Leg, legs
from refresh.errors import SchemaError
from refresh.installation import command
from refresh.store.existing import existing_kinds
from refresh.store.statements import bytes_of
from refresh.wording import counted, listed

_TABLES = {"r", "p"}


def former_legs(connection: Connection) -> list[Leg]:
    """The legs whose target is still a table."""
    averaging = [leg for _, leg in legs() if leg.averages]
    kinds = existing_kinds(connection, [leg.target for leg in averaging])
    return [leg for leg in averaging if kinds.get(leg.target) in _TABLES]


def refuse_former(connection: Connection) -> None:
    """Raise ``SchemaError`` if there are tables of the former layout, saying what moving them will do."""
    former = former_legs(connection)
    if not former:
        return
    names = listed(leg.target for leg in former)
    raise SchemaError(
        f"{counted(len(former), 'table')} of the former layout, with a row per value: {names}. {command('move')} moves "
        f"them: it packs their rows into tables beside them, which takes about {_gigabytes(connection, former)} "
        "meanwhile, compares both, and only then puts views of the same names in their place; it can be stopped and "
        "started again at any time, and reads nothing but these tables"
    )


def _gigabytes(connection: Connection, former: Sequence[Leg]) -> str:
    """About the room that the packed rows take: half of that of the others, to be safe."""
    query = text(f"SELECT sum({bytes_of('n')}) / 2e9 FROM unnest(CAST(:names AS text[])) AS n")
    return f"{connection.execute(query, {'names': [leg.target for leg in former]}).scalar_one():.1f} GB"

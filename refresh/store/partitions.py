"""Tables of bars and averages that are cut into partitions by a hash of the id, when they are created.

A table that somebody has cut in another way is used as it is. What is lost together with a partition is known by its
hash, so that only the assets of that partition are rebuilt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import DDL, Connection, MetaData, Table, event, text

from refresh.catalog import legs
from refresh.errors import SchemaError, SettingsError
from refresh.store.declaration import keep_noise_in_rows
from refresh.store.existing import existing_kinds
from refresh.store.settings import remember, remembered
from refresh.store.statements import SCHEMA, relation
from refresh.store.tables import METADATA
from refresh.wording import counted, listed

CUT = frozenset(leg.table for _, leg in legs())
"""The tables that can be cut: those with rows for each asset and day."""
PARTITIONED = "p"
"""The kind of a table that has partitions."""
_SETTING = "partitions"
_PARTS = text(rf"""
    SELECT c.relname AS name, p.relname AS part, b.bound[1]::int AS modulus, b.bound[2]::int AS remainder,
           t.partstrat = 'h' AND t.partnatts = 1 AND t.partattrs[0] = a.attnum AS is_by_id
    FROM pg_class c JOIN pg_partitioned_table t ON t.partrelid = c.oid
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'id'
    LEFT JOIN pg_inherits i ON i.inhparent = c.oid LEFT JOIN pg_class p ON p.oid = i.inhrelid
    LEFT JOIN LATERAL regexp_match(
        pg_get_expr(p.relpartbound, p.oid), '^FOR VALUES WITH .modulus (\d+), remainder (\d+).$') AS b(bound) ON true
    WHERE c.oid = ANY (SELECT {relation("n")} FROM unnest(CAST(:names AS text[])) AS n)
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A partition of a table: the assets whose hash of the id leaves ``remainder`` when divided by ``number``."""

    table: str
    number: int
    remainder: int

    @property
    def name(self) -> str:
        """What it is called when it is created here."""
        return f"{self.table}_p{self.remainder}"

    @property
    def bound(self) -> str:
        """Which rows it holds, in SQL."""
        return f"FOR VALUES WITH (MODULUS {self.number}, REMAINDER {self.remainder})"

    @property
    def definition(self) -> str:
        """The statement that creates it."""
        return f"CREATE TABLE {SCHEMA}.{self.name} PARTITION OF {SCHEMA}.{self.table} {self.bound}"


@dataclass(slots=True)
class Cuts:
    """How the tables that exist are cut.

    ``numbers``: the partitions of each; 1 for a table without any, and 0 for one that somebody cut in another way, or
    of which nothing is left that says. ``parts``: the partitions that exist, with their names.
    """

    numbers: dict[str, int] = field(default_factory=dict)
    parts: dict[Part, str] = field(default_factory=dict)

    @property
    def missing(self) -> list[Part]:
        """The partitions that somebody has dropped or detached."""
        every = [
            Part(table=table, number=number, remainder=remainder)
            for table, number in self.numbers.items()
            for remainder in range(number if number > 1 else 0)
        ]
        return [part for part in every if part not in self.parts]


def existing_cuts(connection: Connection, kinds: Mapping[str, str]) -> Cuts:
    """How those of our tables are cut that exist, by their kind."""
    cuts = Cuts(numbers={name: int(kind != PARTITIONED) for name, kind in kinds.items() if name in CUT})
    names = [name for name, number in cuts.numbers.items() if number != 1]
    if not names:
        return cuts
    rows = connection.execute(_PARTS, {"names": names}).all()
    for name in names:
        own = [row for row in rows if row.name == name and row.is_by_id]
        moduli = {row.modulus for row in own if row.part is not None}
        if not moduli and own:
            cuts.numbers[name] = remembered_number(connection)
        elif len(moduli) == 1 and None not in moduli:
            cuts.numbers[name] = moduli.pop()
            for row in own:
                cuts.parts[Part(table=name, number=row.modulus, remainder=row.remainder)] = row.part
    return cuts


def remembered_number(connection: Connection) -> int:
    """The partitions that the tables got when they were created last; 1: none. Raises ``SettingsError``."""
    value = remembered(connection, _SETTING) or "1"
    if not value.isdecimal():
        raise SettingsError(f"refresh_settings, {_SETTING}: {value!r} is not a number of partitions")
    return int(value)


def number_of_new(connection: Connection, wanted: int | None, cuts: Cuts) -> int:
    """The partitions of tables that are created: those of the others, or ``wanted`` if there are no others.

    Raises ``SettingsError`` if others exist with another number.
    """
    existing = set(cuts.numbers.values())
    if wanted is not None and existing - {wanted}:
        raise SettingsError(
            f"--partitions {wanted}: {_described(cuts)}; tables are cut when they are created, so only a new database, "
            "or one whose tables of bars and averages were all dropped, can get another number: leave the option out"
        )
    if wanted is not None:
        return wanted
    return max(existing - {0}, default=0) or remembered_number(connection)


def _described(cuts: Cuts) -> str:
    words = {0: "cut in another way", 1: "without partitions"}
    numbers = sorted(Counter(cuts.numbers.values()).items())
    parts = []
    for number, tables in numbers:
        verb = "exists" if tables == 1 else "exist"
        parts.append(f"{counted(tables, 'table')} {verb} {words.get(number, f'with {number} partitions')}")
    return listed(parts)


def create_tables(connection: Connection, tables: Iterable[Table], number: int) -> None:
    """Create tables, those that can be cut with a number of partitions; 1: none."""
    tables = list(tables)
    cut = [table for table in tables if table.name in CUT and number > 1]
    METADATA.create_all(connection, [table for table in tables if table not in cut], checkfirst=False)
    for table in cut:
        _cut(table, number).create(connection, checkfirst=False)
    if CUT.intersection(table.name for table in tables) and (number > 1 or remembered_number(connection) > 1):
        remember(connection, _SETTING, str(number))


def _cut(table: Table, number: int) -> Table:
    """The table with its partitions, which come first: what is then changed in its columns is changed in theirs too."""
    cut = table.to_metadata(MetaData())
    cut.dialect_options["postgresql"]["partition_by"] = "HASH (id)"
    parts = [Part(table=table.name, number=number, remainder=remainder) for remainder in range(number)]
    create = DDL("; ".join(part.definition for part in parts))  # type: ignore[no-untyped-call]
    event.listen(cut, "after_create", create)
    keep_noise_in_rows(cut)
    return cut


def create_missing(connection: Connection, missing: Sequence[Part]) -> None:
    """Create the partitions that are missing, empty. Raises ``SchemaError`` if something else has the name of one."""
    taken = existing_kinds(connection, [part.name for part in missing])
    problems = []
    for part in missing:
        if part.name in taken:
            attach = f"ALTER TABLE {part.table} ATTACH PARTITION {part.name} {part.bound}"
            problems.append(f"{part.name} is no partition of {part.table}: {attach}; or DROP TABLE {part.name}")
    if problems:
        raise SchemaError("the tables do not fit: " + "; ".join(problems))
    for part in missing:
        connection.execute(text(part.definition))


def tables_cut(connection: Connection, names: Collection[str]) -> set[str]:
    """Those of some tables that have partitions, in whatever way."""
    return {name for name, kind in existing_kinds(connection, names).items() if kind == PARTITIONED}

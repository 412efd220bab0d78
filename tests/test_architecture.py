"""The rooms of the package: who may import whom, what a module may touch, and how long its parts may be."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]

CATALOGUE = {"catalog", "families", "legs", "shapes"}
"""The table of the builders, and the data of which its rows are made."""
MAY_IMPORT = {
    "refresh": set[str](),
    "errors": set[str](),
    "installation": set[str](),
    "wording": set[str](),
    "families": set[str](),
    "shapes": set[str](),
    "legs": {"families", "shapes"},
    "catalog": {"families", "shapes", "legs"},
    "records": set[str](),
    "stop": {"errors"},
    "outlet": {"wording"},
    "printing": {"errors", "stop", "outlet"},
    "forks": set[str](),
    "threads": set[str](),
    "core": {"errors", "families"},
    "server": {"errors", "wording", "installation"},
    "store": {"errors", "wording", "installation", *CATALOGUE, "records", "core", "server"},
    "due": {"errors", "wording", *CATALOGUE, "records", "core", "store"},
    "options": {"errors", "wording", "installation", *CATALOGUE, "due"},
    "reading": {"errors", "wording", *CATALOGUE, "core", "store", "due", "options"},
    "builder": {
        *("errors", "wording", *CATALOGUE, "records", "stop", "printing", "forks", "threads"),
        *("core", "store", "due", "options"),
    },
    "validate": {"errors", "wording", *CATALOGUE, "core", "store", "due", "builder"},
    "run": {
        *("errors", "wording", "installation", *CATALOGUE, "records", "stop", "forks", "threads"),
        *("due", "options", "validate"),
    },
    "shards": {"errors", "wording", "options"},
    "load": {"errors", "wording", "installation", "printing", "threads", "core", "store", "options", "shards"},
    "faces": {"errors", "wording", "installation", *CATALOGUE, "records", "outlet", "due", "validate", "run"},
}
"""One way: what each room may import beside itself and the package. Each imports only rooms above it."""

JOINING = "commands"
"""The only room that may import everything."""

SQL = {"sqlalchemy", "psycopg2"}
SPEAKS_SQL = {"store", "server"}
HANDLES = {"sqlalchemy.Connection", "sqlalchemy.Engine"}
NUMERIC = {"numpy", "pandas", "polars", "numba"}
LOADS_NONE = {"run": NUMERIC, "faces": NUMERIC, "options": NUMERIC | SQL}
"""What a room must not load, not even through what it imports."""
IMPURE = {*SQL, "os", "time", "logging", "random", "socket", "subprocess", "requests"}
IMPURE_NAMES = re.compile(r"(^|\.)((datetime|date)\.(now|utcnow|today)|os\.(environ|getenv))$")
OUTSIDE_OF_ARITHMETIC = re.compile(r"--[a-zA-Z]|\.csv")
"""A flag, or a file format."""
STARTS_PROGRAMS = {"refresh.run.process", "refresh.run.programs", "refresh.server.programs", "refresh.server.psql"}
KNOWS_KINDS = {"refresh.catalog", "refresh.builder.recipes"}
EMPTY_NAMES = re.compile(r"(^|_)(utils?|helpers?|common|misc|managers?)$|^base(_|$)")
LONGEST = 250
LONGEST_FUNCTION = 30
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(frozen=True)
class Import:
    """One imported name in full, e.g. ``refresh.store.database`` or ``numpy.ndarray``."""

    name: str
    line: int

    @property
    def package(self) -> str:
        """The outermost package."""
        return self.name.split(".")[0]


@dataclass(frozen=True)
class Module:
    """A module of the package: its dotted name and its text."""

    name: str
    text: str

    @property
    def path(self) -> str:
        """The file, as a message names it."""
        return self.name.replace(".", "/") + ".py"

    @property
    def room(self) -> str:
        """The room that the module belongs to."""
        return room(self.name)

    @property
    def nodes(self) -> Iterator[ast.AST]:
        """Every node of the syntax tree."""
        return ast.walk(ast.parse(self.text))

    @cached_property
    def imports(self) -> tuple[Import, ...]:
        """Whatever the module imports, at any depth."""
        return tuple(self._imports())

    def _imports(self) -> Iterator[Import]:
        for node in self.nodes:
            if isinstance(node, ast.Import):
                yield from (Import(alias.name, node.lineno) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                outer = self.name.split(".")[: -node.level] if node.level else []
                source = ".".join([*outer, *filter(None, [node.module])])
                yield from (Import(f"{source}.{alias.name}", node.lineno) for alias in node.names)


Modules = Mapping[str, Module]
Rule = Callable[[Modules], Iterator[str]]


def room(name: str) -> str:
    """The room of a dotted name of the package."""
    parts = name.split(".")
    return "refresh" if parts[1:] in ([], ["__init__"]) else parts[1]


def allowed(own: str) -> set[str]:
    """The rooms that a room may import."""
    return {JOINING, *MAY_IMPORT} if own == JOINING else MAY_IMPORT[own] | {own, "refresh"}


def imports_go_one_way(modules: Modules) -> Iterator[str]:
    """Each room imports only rooms that are listed above it in MAY_IMPORT; only ``commands`` may import everything."""
    for module in modules.values():
        if module.room not in {JOINING, *MAY_IMPORT}:
            yield f"{module.path}:1: {module.room} is missing in MAY_IMPORT of tests/test_architecture.py"
            continue
        for imported in module.imports:
            if imported.package == "refresh" and room(imported.name) not in allowed(module.room):
                other = room(imported.name)
                yield f"{module.path}:{imported.line}: {module.room} may not import {other} ({imported.name})"


def only_store_and_server_speak_sql(modules: Modules) -> Iterator[str]:
    """A room that uses the store may pass on a connection or an engine; every other use of SQL packages is theirs."""
    for module in modules.values():
        for imported in module.imports:
            is_passed_on = imported.name in HANDLES and "store" in allowed(module.room)
            if imported.package in SQL and module.room not in SPEAKS_SQL and not is_passed_on:
                yield (
                    f"{module.path}:{imported.line}: only store and server speak SQL, "
                    f"so {module.room} may not import {imported.name}"
                )


def core_is_pure(modules: Modules) -> Iterator[str]:
    """Arrays and values in, arrays and values out."""
    for module in (module for module in modules.values() if module.room == "core"):
        for imported in module.imports:
            if imported.package in IMPURE:
                yield f"{module.path}:{imported.line}: core is pure, so it may not import {imported.name}"
        for node in module.nodes:
            if isinstance(node, ast.Attribute) and IMPURE_NAMES.search(ast.unparse(node)):
                yield f"{module.path}:{node.lineno}: core is pure, so it may not read {ast.unparse(node)}"


def core_knows_no_command_line(modules: Modules) -> Iterator[str]:
    """Arithmetic names no flag and no file format, not even in a docstring."""
    for module in (module for module in modules.values() if module.room == "core"):
        for node in module.nodes:
            if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
                continue
            mention = OUTSIDE_OF_ARITHMETIC.search(node.value)
            if mention:
                yield f"{module.path}:{node.lineno}: core is arithmetic, so it may not mention {mention[0]}"


def light_rooms_load_no_heavy_package(modules: Modules) -> Iterator[str]:
    """The orchestrating process loads no numeric library, and options can be read without any database package."""
    for module in modules.values():
        heavy = LOADS_NONE.get(module.room, set())
        for chain in chains(modules, module):
            for imported in chain[-1].imports:
                if imported.package in heavy:
                    way = " imports ".join([*(link.name for link in chain), imported.name])
                    yield f"{chain[-1].path}:{imported.line}: {module.room} must not load {imported.package}: {way}"


def chains(modules: Modules, start: Module) -> Iterator[tuple[Module, ...]]:
    """The shortest chain of imports from ``start`` to each module of the package that it loads, itself included."""
    waiting: list[tuple[Module, ...]] = [(start,)]
    seen = {start.name}
    while waiting:
        chain = waiting.pop(0)
        yield chain
        for imported in chain[-1].imports:
            for name in loaded(imported):
                if name in modules and name not in seen:
                    seen.add(name)
                    waiting.append((*chain, modules[name]))


def loaded(imported: Import) -> Iterator[str]:
    """What the import runs: each package on the way, and the module, if it is one."""
    for outer in accumulate(imported.name.split("."), "{}.{}".format):
        yield from (outer, f"{outer}.__init__")


def few_start_programs(modules: Modules) -> Iterator[str]:
    """One module starts builders, another one PostgreSQL."""
    for module in modules.values():
        for imported in module.imports:
            if imported.package == "subprocess" and module.name not in STARTS_PROGRAMS:
                yield f"{module.path}:{imported.line}: only {' and '.join(sorted(STARTS_PROGRAMS))} start programs"


def kinds_are_dispatched_once(modules: Modules) -> Iterator[str]:
    """What differs between builders is data of the catalogue; only the recipes of builders depend on the kind."""
    for module in (module for module in modules.values() if module.name not in KNOWS_KINDS):
        for node in module.nodes:
            if isinstance(node, ast.Attribute) and is_about_kind(node):
                yield f"{module.path}:{node.lineno}: {ast.unparse(node)} belongs to {' or '.join(sorted(KNOWS_KINDS))}"
            elif isinstance(node, ast.Compare) and compares_builders(node):
                yield f"{module.path}:{node.lineno}: {ast.unparse(node)} belongs to the catalogue"


def is_about_kind(node: ast.Attribute) -> bool:
    """Whether an attribute is ``Kind.X`` or the kind of a builder; that of a NumPy type is another one."""
    owner = ast.unparse(node.value).split(".")[-1]
    return owner == "Kind" or (node.attr == "kind" and owner != "dtype")


def compares_builders(node: ast.Compare) -> bool:
    """Whether a comparison is about the group of a builder or the formula of a leg."""
    sides = [node.left, *node.comparators]
    return any(isinstance(side, ast.Attribute) and side.attr in {"group", "formula"} for side in sides)


def names_say_something(modules: Modules) -> Iterator[str]:
    """A module is named by its subject."""
    for module in modules.values():
        if any(EMPTY_NAMES.search(part) for part in module.name.split(".")):
            yield f"{module.path}:1: this name says nothing about the subject"


def modules_are_short(modules: Modules) -> Iterator[str]:
    """A module is about one subject."""
    for module in modules.values():
        lines = len(module.text.splitlines())
        if lines > LONGEST:
            yield f"{module.path}:{LONGEST + 1}: {lines} lines are more than {LONGEST}: split it by subject"


def functions_are_short(modules: Modules) -> Iterator[str]:
    """A function does one thing."""
    for module in modules.values():
        for node in module.nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > LONGEST_FUNCTION:
                    yield f"{module.path}:{node.lineno}: {node.name} has {lines} lines, more than {LONGEST_FUNCTION}"


def nothing_is_nested(modules: Modules) -> Iterator[str]:
    """A line holds one thought: what would be nested gets a name."""
    for module in modules.values():
        for node in module.nodes:
            inner = list(ast.walk(node))[1:]
            if isinstance(node, ast.IfExp | ast.JoinedStr) and any(isinstance(part, ast.IfExp) for part in inner):
                yield f"{module.path}:{node.lineno}: a conditional expression inside {ast.unparse(node)}"
            elif isinstance(node, COMPREHENSIONS) and any(isinstance(part, COMPREHENSIONS) for part in inner):
                yield f"{module.path}:{node.lineno}: a comprehension inside {ast.unparse(node)}"


RULES: tuple[Rule, ...] = (
    imports_go_one_way,
    only_store_and_server_speak_sql,
    core_is_pure,
    core_knows_no_command_line,
    light_rooms_load_no_heavy_package,
    few_start_programs,
    kinds_are_dispatched_once,
    names_say_something,
    modules_are_short,
    functions_are_short,
    nothing_is_nested,
)

BROKEN = (
    (imports_go_one_way, "core.bars", "from refresh.store import bulk", ":1: core may not import store (refresh.store"),
    (imports_go_one_way, "core.bars", "from refresh.wording import listed", ":1: core may not import wording"),
    (imports_go_one_way, "core.bars", "from refresh.options import help", ":1: core may not import options"),
    (imports_go_one_way, "store.bulk", "\nimport refresh.builder.work", ":2: store may not import builder"),
    (imports_go_one_way, "store.state", "from refresh.options import request", ":1: store may not import options"),
    (imports_go_one_way, "store.state", "from refresh.due import survey", ":1: store may not import due"),
    (imports_go_one_way, "server.cluster", "from refresh.store import bulk", ":1: server may not import store"),
    (imports_go_one_way, "errors", "from refresh import catalog", ":1: errors may not import catalog"),
    (imports_go_one_way, "run.plan", "from refresh.store.state import due", ":1: run may not import store"),
    (imports_go_one_way, "run.plan", "from refresh.commands import check", ":1: run may not import commands"),
    (imports_go_one_way, "faces.html", "from ..store import state", ":1: faces may not import store"),
    (imports_go_one_way, "load.lines", "from refresh.run import plan", ":1: load may not import run"),
    (imports_go_one_way, "builder.work", "def f():\n import refresh.faces.log", ":2: builder may not import faces"),
    (imports_go_one_way, "extra", "", ":1: extra is missing in MAY_IMPORT"),
    (only_store_and_server_speak_sql, "run.plan", "from sqlalchemy import Engine", ":1: only store and server speak"),
    (only_store_and_server_speak_sql, "builder.work", "from sqlalchemy import text", ":1: only store and server speak"),
    (only_store_and_server_speak_sql, "commands.page", "import psycopg2", ":1: only store and server speak SQL"),
    (core_is_pure, "core.span", "import logging", ":1: core is pure, so it may not import logging"),
    (core_is_pure, "core.span", "from os import environ", ":1: core is pure, so it may not import os.environ"),
    (core_is_pure, "core.span", "def f():\n return datetime.now(UTC)", ":2: core is pure, so it may not read datetime"),
    (core_is_pure, "core.span", "day = datetime.date.today()", ":1: core is pure, so it may not read datetime.date.to"),
    (core_knows_no_command_line, "core.span", "f'{n}: use --tz'", ":1: core is arithmetic, so it may not mention --t"),
    (core_knows_no_command_line, "core.span", "'''Of a.csv.'''", ":1: core is arithmetic, so it may not mention .csv"),
    (light_rooms_load_no_heavy_package, "run.plan", "import numpy as np", ":1: run must not load numpy"),
    (light_rooms_load_no_heavy_package, "faces.html", "from numpy import nan", ":1: faces must not load numpy"),
    (light_rooms_load_no_heavy_package, "options.values", "import sqlalchemy", ":1: options must not load sqlalchemy"),
    (
        few_start_programs,
        "builder.work",
        "import subprocess",
        ":1: only refresh.run.process and refresh.run.programs",
    ),
    (kinds_are_dispatched_once, "run.plan", "if kind is Kind.DAILY: pass", ":1: Kind.DAILY belongs to"),
    (kinds_are_dispatched_once, "run.plan", "x = step.builder.kind", ":1: step.builder.kind belongs to"),
    (
        kinds_are_dispatched_once,
        "run.plan",
        "x = builder.group is Group.BARS",
        ":1: builder.group is Group.BARS belongs",
    ),
    (kinds_are_dispatched_once, "run.plan", "x = leg.formula == 'simple'", ":1: leg.formula == 'simple' belongs"),
    (names_say_something, "core.utils", "", ":1: this name says nothing"),
    (names_say_something, "store.base_table", "", ":1: this name says nothing"),
    (names_say_something, "run.step_manager", "", ":1: this name says nothing"),
    (modules_are_short, "load", "\n" * 251, ":251: 251 lines are more than 250"),
    (functions_are_short, "load", "class A:\n def f():\n" + "  x = 1\n" * 30, ":2: f has 31 lines, more than 30"),
    (nothing_is_nested, "load", "x = 1 if a else (2 if b else 3)", ":1: a conditional expression inside 1 if a else"),
    (nothing_is_nested, "load", "x = f\"{'s' if a else ''}\"", ":1: a conditional expression inside f"),
    (nothing_is_nested, "load", "x = [sum(n for n in part) for part in parts]", ":1: a comprehension inside [sum("),
)


@pytest.fixture(scope="module")
def house() -> Modules:
    """Every module of the package."""
    files = sorted((CHECKOUT / "refresh").rglob("*.py"))
    names = {file: ".".join(file.relative_to(CHECKOUT).with_suffix("").parts) for file in files}
    return {name: Module(name, file.read_text(encoding="utf-8")) for file, name in names.items()}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_house_keeps_its_rules(rule: Rule, house: Modules) -> None:
    """No module breaks the rule."""
    broken = list(rule(house))
    assert not broken, "\n".join([str(rule.__doc__), *broken])


@pytest.mark.parametrize(("rule", "name", "text", "message"), BROKEN)
def test_broken_rule_is_named(rule: Rule, name: str, text: str, message: str) -> None:
    """Each rule notices a module that breaks it, and names the file, the line and the rule."""
    module = Module(f"refresh.{name}", text)
    (line,) = rule({module.name: module})
    assert line.startswith(f"{module.path}{message}")


def test_every_rule_is_shown_to_fail() -> None:
    """A rule that cannot fail guards nothing."""
    assert {rule for rule, *_ in BROKEN} == set(RULES)


def test_rooms_are_listed_in_order() -> None:
    """A room may import only rooms that are listed before it, so there is no circle."""
    rooms = list(MAY_IMPORT)
    for position, own in enumerate(rooms):
        assert MAY_IMPORT[own] <= set(rooms[:position]), own


def test_chain_to_a_heavy_package_is_shown() -> None:
    """What the run imports may not import a numeric library either."""
    modules = {
        "refresh.run.plan": Module("refresh.run.plan", "from refresh.core.ema import alpha"),
        "refresh.core.ema": Module("refresh.core.ema", "\nfrom numpy import ndarray"),
    }
    (line,) = light_rooms_load_no_heavy_package(modules)
    assert line.startswith("refresh/core/ema.py:2: ")
    assert line.endswith("refresh.run.plan imports refresh.core.ema imports numpy.ndarray")


@pytest.mark.parametrize("name", ["builder.work", "due.survey", "load.loading", "validate.whole", "commands.record"])
def test_connection_may_be_passed_on(name: str) -> None:
    """A room that uses the store passes on a connection without speaking SQL."""
    holder = Module(f"refresh.{name}", "from sqlalchemy import Connection, Engine")
    assert not list(only_store_and_server_speak_sql({holder.name: holder}))


@pytest.mark.parametrize("text", ["x = column.dtype.kind", "x = leg.formula", "x = builder.group.noun"])
def test_reading_the_catalogue_is_no_dispatch(text: str) -> None:
    """Data of the catalogue may be read and passed on; the kind of a NumPy type is not that of a builder."""
    module = Module("refresh.run.plan", text)
    assert not list(kinds_are_dispatched_once({module.name: module}))

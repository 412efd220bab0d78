"""The house as its imports draw it: who may know whom, and who may touch what."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]

MAY_IMPORT = {
    "refresh": set[str](),
    "errors": set[str](),
    "catalog": {"errors"},
    "outcome": {"errors", "catalog"},
    "settings": set[str](),
    "stop": set[str](),
    "core": {"errors", "catalog"},
    "option_values": set[str](),
    "options": {"errors", "catalog", "core", "option_values"},
    "price_files": {"errors", "core"},
    "store": {"errors", "catalog", "outcome", "core", "options"},
    "load": {"errors", "catalog", "core", "price_files", "store", "settings"},
    "builder": {"errors", "catalog", "outcome", "core", "options", "store", "settings", "stop"},
    "validation": {"catalog", "core", "store", "builder"},
    "run": {"errors", "catalog", "outcome", "core", "options", "stop"},
    "faces": {"errors", "catalog", "outcome", "core", "options", "run"},
    "faces.job": {"catalog", "options", "store"},
    "faces.record": {"errors", "catalog", "outcome", "core", "run", "faces", "store"},
    "faces.looks": {"errors", "catalog", "core", "run", "faces", "faces.job", "store", "validation"},
    "faces.nightly": {
        *("errors", "options", "run", "stop", "faces", "faces.job", "faces.looks", "faces.record", "store", "load"),
    },
    "faces.cli": {
        *("errors", "option_values", "options", "run", "settings", "stop"),
        *("faces", "faces.job", "faces.looks", "faces.nightly", "store"),
    },
}
"""One way: whom each layer may import beside itself and the package."""

JOINING = [["faces", name] for name in ("cli", "job", "looks", "nightly", "record")]
"""The faces that join store and run."""
SQL = {"sqlalchemy", "psycopg2"}
HOLDS_A_CONNECTION = {"builder", "load", "validation", "faces.record", "faces.looks"}
HANDLES = {"sqlalchemy.Connection", "sqlalchemy.Engine"}
IMPURE = {*SQL, "os", "time", "logging", "random", "socket", "subprocess", "requests"}
IMPURE_NAMES = re.compile(r"(^|\.)((datetime|date)\.(now|utcnow|today)|os\.(environ|getenv))$")
NUMERIC = {"numpy", "pandas", "polars", "numba"}
STARTS_PROGRAMS = {"refresh.run.launch", "refresh.store.programs"}
EMPTY_NAMES = re.compile(r"(^|_)(utils?|helpers?|common|misc|managers?)$|^base(_|$)")
LONGEST = 400


@dataclass(frozen=True)
class Import:
    """One imported name, spelt in full, e.g. ``refresh.store.database`` or ``numpy.ndarray``."""

    name: str
    line: int

    @property
    def package(self) -> str:
        """The outermost package."""
        return self.name.split(".")[0]


@dataclass(frozen=True)
class Module:
    """A module of ours: its dotted name and its text."""

    name: str
    text: str

    @property
    def path(self) -> str:
        """The file, as a message names it."""
        return self.name.replace(".", "/") + ".py"

    @property
    def tree(self) -> ast.Module:
        """The text, parsed."""
        return ast.parse(self.text)

    @property
    def imports(self) -> Iterator[Import]:
        """Whatever the module imports, wherever it does."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (Import(alias.name, node.lineno) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                outer = self.name.split(".")[: -node.level] if node.level else []
                source = ".".join([*outer, *filter(None, [node.module])])
                yield from (Import(f"{source}.{alias.name}", node.lineno) for alias in node.names)


Modules = Mapping[str, Module]
Rule = Callable[[Modules], Iterator[str]]


def layer(name: str) -> str:
    """The layer of a dotted name of ours."""
    parts = name.split(".")
    if parts[1:3] in JOINING:
        return ".".join(parts[1:3])
    return "refresh" if parts[1:] in ([], ["__init__"]) else parts[1]


def imports_go_one_way(modules: Modules) -> Iterator[str]:
    """One way: errors <- core <- store <- builder; errors, catalog <- run <- faces; a few faces join store and run."""
    for module in modules.values():
        own = layer(module.name)
        if own not in MAY_IMPORT:
            yield f"{module.path}:1: {own} has no place in MAY_IMPORT of tests/test_architecture.py"
            continue
        for one in module.imports:
            if one.package == "refresh" and layer(one.name) not in MAY_IMPORT[own] | {own, "refresh"}:
                yield f"{module.path}:{one.line}: {own} may not import {layer(one.name)} ({one.name})"


def only_the_store_speaks_sql(modules: Modules) -> Iterator[str]:
    """Others at most hold a connection, to hand it on."""
    for module in modules.values():
        own = layer(module.name)
        for one in module.imports:
            handle = own in HOLDS_A_CONNECTION and one.name in HANDLES
            if one.package in SQL and own != "store" and not handle:
                yield f"{module.path}:{one.line}: only refresh/store speaks SQL, so {own} may not import {one.name}"


def core_is_pure(modules: Modules) -> Iterator[str]:
    """Arrays and values in, arrays and values out."""
    for module in (module for module in modules.values() if layer(module.name) == "core"):
        for one in module.imports:
            if one.package in IMPURE:
                yield f"{module.path}:{one.line}: core is pure, so it may not import {one.name}"
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Attribute) and IMPURE_NAMES.search(ast.unparse(node)):
                yield f"{module.path}:{node.lineno}: core is pure, so it may not ask {ast.unparse(node)}"


def run_and_faces_load_no_numeric_library(modules: Modules) -> Iterator[str]:
    """The orchestrating process stays small, also through what it imports; ``faces/cli.py`` has to ask the store."""
    for module in modules.values():
        if layer(module.name) not in {"run", "faces"}:
            continue
        for chain in chains(modules, module):
            for one in chain[-1].imports:
                if one.package in NUMERIC:
                    way = " imports ".join([*(link.name for link in chain), one.name])
                    yield f"{chain[-1].path}:{one.line}: run and faces load no numeric library: {way}"


def chains(modules: Modules, start: Module) -> Iterator[tuple[Module, ...]]:
    """The shortest chain of imports from ``start`` to each module of ours that it loads, itself included."""
    waiting: list[tuple[Module, ...]] = [(start,)]
    seen = {start.name}
    while waiting:
        chain = waiting.pop(0)
        yield chain
        for name in (name for one in chain[-1].imports for name in loaded(one)):
            if name in modules and name not in seen:
                seen.add(name)
                waiting.append((*chain, modules[name]))


def loaded(one: Import) -> Iterator[str]:
    """What the import runs: each package on the way, and the module, if it is one."""
    for outer in accumulate(one.name.split("."), "{}.{}".format):
        yield from (outer, f"{outer}.__init__")


def few_start_programs(modules: Modules) -> Iterator[str]:
    """A builder is started in one place, PostgreSQL in another."""
    for module in modules.values():
        for one in module.imports:
            if one.package == "subprocess" and module.name not in STARTS_PROGRAMS:
                yield f"{module.path}:{one.line}: only {' and '.join(sorted(STARTS_PROGRAMS))} start programs"


def names_say_something(modules: Modules) -> Iterator[str]:
    """A module is named by its subject."""
    for module in modules.values():
        if any(EMPTY_NAMES.search(part) for part in module.name.split(".")):
            yield f"{module.path}:1: this name says nothing of the subject"


def modules_are_short(modules: Modules) -> Iterator[str]:
    """A module is about one subject."""
    for module in modules.values():
        lines = len(module.text.splitlines())
        if lines > LONGEST:
            yield f"{module.path}:{LONGEST + 1}: {lines} lines are more than {LONGEST}: split it by subject"


RULES: tuple[Rule, ...] = (
    imports_go_one_way,
    only_the_store_speaks_sql,
    core_is_pure,
    run_and_faces_load_no_numeric_library,
    few_start_programs,
    names_say_something,
    modules_are_short,
)

BROKEN = (
    (
        imports_go_one_way,
        "core.bars",
        "from refresh.store import bulk",
        ":1: core may not import store (refresh.store.b",
    ),
    (imports_go_one_way, "store.bulk", "\nimport refresh.builder.work", ":2: store may not import builder"),
    (imports_go_one_way, "errors", "from refresh import catalog", ":1: errors may not import catalog"),
    (imports_go_one_way, "run.plan", "from refresh.store.state import due", ":1: run may not import store"),
    (imports_go_one_way, "run.plan", "from refresh.faces import cli", ":1: run may not import faces.cli"),
    (imports_go_one_way, "faces.html", "from ..store import state", ":1: faces may not import store"),
    (imports_go_one_way, "load", "from refresh.run import plan", ":1: load may not import run"),
    (imports_go_one_way, "builder.work", "def f():\n import refresh.faces.log", ":2: builder may not import faces"),
    (imports_go_one_way, "extra", "", ":1: extra has no place in MAY_IMPORT"),
    (only_the_store_speaks_sql, "run.plan", "from sqlalchemy import Engine", ":1: only refresh/store speaks SQL"),
    (only_the_store_speaks_sql, "builder.work", "from sqlalchemy import text", ":1: only refresh/store speaks SQL"),
    (only_the_store_speaks_sql, "faces.cli", "import psycopg2", ":1: only refresh/store speaks SQL"),
    (core_is_pure, "core.span", "import logging", ":1: core is pure, so it may not import logging"),
    (core_is_pure, "core.span", "from os import environ", ":1: core is pure, so it may not import os.environ"),
    (core_is_pure, "core.span", "def f():\n return datetime.now(UTC)", ":2: core is pure, so it may not ask datetime"),
    (
        core_is_pure,
        "core.span",
        "day = datetime.date.today()",
        ":1: core is pure, so it may not ask datetime.date.today",
    ),
    (run_and_faces_load_no_numeric_library, "run.plan", "import numpy as np", ":1: run and faces load no numeric"),
    (few_start_programs, "builder.work", "import subprocess", ":1: only refresh.run.launch and refresh.store.programs"),
    (names_say_something, "core.utils", "", ":1: this name says nothing"),
    (names_say_something, "store.base_table", "", ":1: this name says nothing"),
    (names_say_something, "run.step_manager", "", ":1: this name says nothing"),
    (modules_are_short, "load", "\n" * 401, ":401: 401 lines are more than 400"),
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
    """Each rule sees a module that breaks it, and names the file, the line and the rule."""
    module = Module(f"refresh.{name}", text)
    (found,) = rule({module.name: module})
    assert found.startswith(f"{module.path}{message}")


def test_every_rule_is_shown_to_fail() -> None:
    """A rule that cannot fail guards nothing."""
    assert {rule for rule, *_ in BROKEN} == set(RULES)


def test_chain_to_a_numeric_library_is_told() -> None:
    """What the run imports may not import a numeric library either."""
    modules = {
        "refresh.run.plan": Module("refresh.run.plan", "from refresh.core.ema import alpha"),
        "refresh.core.ema": Module("refresh.core.ema", "\nfrom numpy import ndarray"),
    }
    (found,) = run_and_faces_load_no_numeric_library(modules)
    assert found.startswith("refresh/core/ema.py:2: ")
    assert found.endswith("refresh.run.plan imports refresh.core.ema imports numpy.ndarray")


def test_connection_may_be_handed_on() -> None:
    """A builder holds a connection without speaking SQL."""
    holder = Module("refresh.builder.work", "from sqlalchemy import Connection, Engine")
    assert not list(only_the_store_speaks_sql({holder.name: holder}))

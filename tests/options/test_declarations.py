"""The declarations: each field of a request is one option, and everything else derives from it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import pytest

from refresh.catalog import BUILDERS
from refresh.due.selection import Detection, Filters, Selection
from refresh.options.declaration import EVERY_BUILDER, Option, Program
from refresh.options.load_request import LOAD_OPTIONS, LoadRequest, options_of
from refresh.options.parsing import parse
from refresh.options.request import OPTIONS, Request
from refresh.options.subcommands import SUBCOMMANDS

PASSWORD = "s3cret/pa@ss"  # noqa: S105 - of nobody
URL = f"postgresql://user:{PASSWORD}@host/prices"
ABOUT_THE_REQUEST = {"given", "from_environment"}
LIGHT = """
import sys
from refresh.options import arguments, builders, documents, environment, load_request, parsing
print(sorted({"numpy", "sqlalchemy", "psycopg2"} & sys.modules.keys()))
"""


@pytest.mark.parametrize(("request_class", "options"), [(Request, OPTIONS), (LoadRequest, LOAD_OPTIONS)])
def test_every_field_is_declared(request_class: type[Any], options: tuple[Option, ...]) -> None:
    """Each field is the option of its name, with its default; the others say where the values came from."""
    declared = {option.name: option.default for option in options}
    defaults = {field.name: field.default for field in fields(request_class) if field.name not in ABOUT_THE_REQUEST}
    assert defaults == declared
    assert len(declared) == len(options)


@pytest.mark.parametrize("option", [*OPTIONS, *LOAD_OPTIONS], ids=lambda option: option.name)
def test_declaration_is_complete(option: Option) -> None:
    """An option has a help, somebody who takes it, and companions that exist."""
    assert option.help
    assert option.programs
    assert not option.goes_with or option.goes_with in {other.name for other in OPTIONS if other.is_switch}
    assert not option.environment or option.default_text


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_concerned_builders_exist(option: Option) -> None:
    """Some builder gets each option that is for builders, and every program that refreshes takes it."""
    assert any(option.is_for(builder) for builder in BUILDERS) == option.is_forwarded
    assert option.concerns != EVERY_BUILDER or all(option.is_for(builder) for builder in BUILDERS)
    assert not option.is_forwarded or option.programs == {program.whole for program in Program} - {Program.LOAD}


def test_options_of_programs() -> None:
    """A program takes what declares it, and loading has a request of its own."""
    for program in {program.whole for program in Program} - {Program.LOAD}:
        assert options_of(program) == tuple(option for option in OPTIONS if program in option.programs)
    assert options_of(Program.LOAD) == options_of(Program.LOAD_FILES) == LOAD_OPTIONS


@pytest.mark.parametrize("part", SUBCOMMANDS, ids=lambda part: part.name)
def test_options_of_subcommands(part: Program) -> None:
    """A subcommand takes options of its program, says others, and what is typed plainly is one that it takes."""
    subcommand = SUBCOMMANDS[part]
    whole = {option.name for option in options_of(part.whole)}
    assert {*subcommand.takes, *subcommand.means, subcommand.target} - {""} <= whole
    assert subcommand.plain in {"", *subcommand.takes}
    assert subcommand.takes == {option.name for option in options_of(part)}


def test_every_option_is_of_some_subcommand() -> None:
    """Whatever the daily refresh can do, the one command can do as well."""
    offered = {name for part in SUBCOMMANDS.values() for name in (*part.takes, *part.means)}
    assert {option.name for option in options_of(Program.DAILY)} == offered


@pytest.mark.parametrize(
    "request_", [Request(db_url=URL), LoadRequest(db_url=URL), parse(Program.BARS, [], {"TARGET_DB_URL": URL})]
)
def test_no_password_in_a_repr(request_: Request | LoadRequest) -> None:
    """A request that is printed shows nothing of the database's address."""
    assert request_.db_url == URL
    for part in (URL, PASSWORD, "s3cret", "pa@ss", "postgresql"):
        assert part not in repr(request_)


def test_what_is_given() -> None:
    """An option is given if it was named, even as its default, and if its value differs from the default."""
    assert Request().given == frozenset()
    assert Request(tfs=("7d",), retries=4).given == {"tfs"}
    assert replace(Request(), tfs=("7d",)).given == {"tfs"}
    assert parse(Program.BARS, ["--retries", "4"]).given == {"retries"}
    assert replace(Request(given=frozenset({"retries"})), tfs=("7d",)).given == {"retries", "tfs"}


def test_selection() -> None:
    """The selection is what the store and the decisions get to see of a request."""
    assert Request().selection == Selection(
        ids=None,
        filters=Filters(),
        rebuild=False,
        detection=Detection(lookback_days=None, restate_limit=20.0, accept_restatement=False, prune=False),
        max_lag=timedelta(days=1),
        retries=4,
        tz="UTC",
    )
    request = Request(
        ids=(52, 1),
        tfs=("7d",),
        periods=(10,),
        tf_period_combos=(("1w", 20),),
        full_rebuild=True,
        detect="lookback",
        lookback_days=30,
        restate_limit=12.5,
        accept_restatement=True,
        prune=True,
        max_lag=timedelta(hours=36),
        retries=2,
        tz="Asia/Tokyo",
    )
    assert request.selection == Selection(
        ids=(52, 1),
        filters=Filters(tfs=("7d",), periods=(10,), pairs=(("1w", 20),)),
        rebuild=True,
        detection=Detection(lookback_days=30, restate_limit=12.5, accept_restatement=True, prune=True),
        max_lag=timedelta(hours=36),
        retries=2,
        tz="Asia/Tokyo",
    )


def test_options_load_nothing_heavy() -> None:
    """A command line is read without the database's libraries and without numpy."""
    ended = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"

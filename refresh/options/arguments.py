"""A request becomes arguments again: for a builder, for the history, for a run that resumes, for people.

Arguments never hold a secret.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from refresh.catalog import BuilderConfig
from refresh.errors import UsageError
from refresh.options.declaration import Option, Program, Section
from refresh.options.load_request import options_of
from refresh.options.parsing import parse
from refresh.options.request import OPTIONS, Request
from refresh.options.subcommands import SUBCOMMANDS

IDS_AT_ONCE = 10_000
"""How many assets one argument names: Linux takes no argument that is longer than 128 KiB."""

_BY_NAME = {option.name: option for option in OPTIONS}
_FORWARDED = [option for option in OPTIONS if option.is_forwarded]
_DETECTION = {"detect", "lookback_days"}
"""Options that are one choice."""


def builder_arguments(builder: BuilderConfig, request: Request, ids: Sequence[int] | None) -> list[str]:
    """The arguments that make a builder process do its part of a request, for these assets (``None``: all)."""
    return [builder.key, *id_arguments(ids), *builder_options(builder, request)]


def builder_options(builder: BuilderConfig, request: Request) -> list[str]:
    """Those of these arguments that do not name assets."""
    concerning = [option for option in _FORWARDED if option.is_for(builder)]
    return _arguments(request, concerning)


def id_arguments(ids: Sequence[int] | None) -> Iterator[str]:
    """The assets, in parts that an argument can hold. No assets at all are still named, and refused by the builder."""
    if ids is None:
        yield from ("--ids", "all")
        return
    for start in range(0, len(ids) or 1, IDS_AT_ONCE):
        yield from _BY_NAME["ids"].arguments(ids[start : start + IDS_AT_ONCE])


def _arguments(request: Request, options: Iterable[Option]) -> list[str]:
    """The options among these that were given, as arguments."""
    arguments: list[str] = []
    for option in options:
        if option.name in request.given:
            arguments += option.arguments(getattr(request, option.name))
    return arguments


def filter_flags() -> list[str]:
    """The flags that narrow a run to some series."""
    return [option.flag for option in _FORWARDED if option.section is Section.SERIES]


def remembered(request: Request) -> list[str]:
    """The arguments by which a run can be resumed: all that change what builders do."""
    return _arguments(request, _FORWARDED)


def typed(program: Program, request: Request) -> str:
    """The command line as it was typed, without the address of the database, which may hold a password."""
    return shlex.join([*program.value.split(), *typed_arguments(program, request)])


def typed_arguments(program: Program, request: Request) -> list[str]:
    """The arguments of that command line."""
    part = SUBCOMMANDS.get(program)
    said = part.said(()) if part else {}
    hidden = request.from_environment.union(name for name, value in said.items() if getattr(request, name) == value)
    shown = [option for option in options_of(program) if not option.is_secret and option.name not in hidden]
    return _arguments(request, shown)


def resumed(request: Request, arguments: Sequence[str]) -> Request:
    """The request narrowed to the selection of an earlier run, which remembered these arguments.

    Raises ``UsageError`` where the two have nothing in common.
    """
    earlier = parse(Program.BUILDER, ["resumed", *arguments])
    kept = [option for option in _FORWARDED if option.name in earlier.given]
    if "detect" in request.given:
        kept = [option for option in kept if option.name not in _DETECTION]
    values = {option.name: _narrowed(option, request, earlier) for option in kept}
    return replace(request, **values, given=request.given.union(values))


def _narrowed(option: Option, request: Request, earlier: Request) -> Any:
    """What both runs were given in common; what cannot be narrowed is as the request says."""
    value, before = getattr(request, option.name), getattr(earlier, option.name)
    if option.name not in request.given:
        return before
    if not isinstance(value, tuple):
        return value
    common = tuple(item for item in value if item in before)
    if not common:
        show = option.value.show
        raise UsageError(f"{option.flag} {show(value)}: the run to resume had {show(before)}")
    return common

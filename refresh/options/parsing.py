"""A command line and the environment become a request; options that do not fit together are refused.

A message never repeats the address of a database, which may hold a password.
"""

from __future__ import annotations

from argparse import SUPPRESS as ABSENT
from argparse import Action, ArgumentError, ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn

from refresh.errors import SettingsError, UsageError
from refresh.installation import NAME, VERSION
from refresh.options.declaration import Option, Program, Section
from refresh.options.discretion import reader, strange_words, without_values
from refresh.options.help import Formatter, description, epilog, usage
from refresh.options.load_request import LOAD_OPTIONS, LoadRequest, options_of
from refresh.options.request import OPTIONS, Request
from refresh.options.subcommands import SUBCOMMANDS, TARGETS


class _Parser(ArgumentParser):
    """Reports what is wrong in one line; the usage is for ``--help``."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{without_values(message.removeprefix('argument '))} (see --help)") from None

    def read(self, arguments: Sequence[str]) -> dict[str, Any]:
        """The values of a command line, by option."""
        values, strange = self.parse_known_args(arguments)
        if strange:
            self.error(strange_words(strange, arguments, self._option_string_actions))
        return vars(values)


class _Joined(Action):
    """A list that is given in parts is one list; of everything else the last word counts."""

    def __call__(self, _: ArgumentParser, namespace: Namespace, values: Any, __: Any = None) -> None:
        if self.option_strings and values == []:  # argparse drops a value that is ``--``
            raise ArgumentError(self, "'--' is no value")
        before = getattr(namespace, self.dest, None)
        if isinstance(values, list):
            values = tuple(values)
        if isinstance(before, tuple) and isinstance(values, tuple):
            values = tuple(dict.fromkeys((*before, *values)))
        setattr(namespace, self.dest, values)


def parser(program: Program) -> _Parser:
    """The parser of one program. Raises ``UsageError`` for an unknown option or a value that cannot be read."""
    arguments = _Parser(
        prog=program.value,
        usage=usage(program),
        description=description(program),
        epilog=epilog(program),
        formatter_class=Formatter,
        argument_default=ABSENT,
        allow_abbrev=False,
        add_help=False,
    )
    fill(arguments, program)
    return arguments


def fill(arguments: ArgumentParser, program: Program) -> dict[str, Action]:
    """Give a parser the options of a program, in their groups. Returns what reads each, by the option's name."""
    groups = {section: arguments.add_argument_group(section.value) for section in Section}
    actions: dict[str, Action] = {}
    for option in options_of(program):
        group = groups[option.section]
        actions[option.name] = group.add_argument(*_names(option), help=option.meaning, **_reading(option))
    output, version = groups[Section.OUTPUT], f"{NAME} {VERSION}"
    output.add_argument("--version", action="version", version=version, help="print the version")
    output.add_argument("-h", "--help", action="help", help="print this help")
    return actions


def _names(option: Option) -> Sequence[str]:
    return [option.name] if option.is_positional else [option.flag]


def _reading(option: Option) -> dict[str, Any]:
    """How argparse reads the option."""
    if option.is_switch:
        return {"action": "store_true"}
    return {"action": _Joined, "metavar": option.value.metavar, "type": reader(option), "nargs": option.nargs}


def parse(program: Program, arguments: Sequence[str], environ: Mapping[str, str] | None = None) -> Request:
    """The request of a command line, completed by the environment.

    Raises ``UsageError`` where options do not fit together, ``SettingsError`` for a setting that cannot be used.
    """
    typed = _typed(program, arguments)
    request = Request(**typed, given=frozenset(typed))
    _check_targets(program, request)
    _check_companions(request)
    return completed(program, request, environ or {})


def completed(program: Program, request: Request, environ: Mapping[str, str]) -> Request:
    """The request with what the environment gives to options that were not typed. Raises ``SettingsError``."""
    settings = _from_environment(program, environ, request.given)
    return replace(request, **settings, given=request.given.union(settings), from_environment=frozenset(settings))


def parse_load(arguments: Sequence[str], program: Program = Program.LOAD) -> LoadRequest:
    """The request of a command line that loads price files. Raises ``UsageError``."""
    typed = _typed(program, arguments)
    request = LoadRequest(**typed)
    if request.name and request.id is None:
        raise UsageError("--name names the asset of --id; say --id as well")
    if request.symbol and request.id is None:
        raise UsageError("--symbol picks the lines of the asset of --id; say --id as well")
    if request.manifest and request.id is not None:
        raise UsageError("--manifest: not allowed with argument --id; both say which asset a file holds")
    if not request.files and not request.sample:
        raise UsageError("name one or more price files, or say --sample")
    return request


def completed_load(request: LoadRequest, environ: Mapping[str, str]) -> LoadRequest:
    """The same with what the environment gives. Raises ``SettingsError``."""
    typed = {option.name for option in LOAD_OPTIONS if getattr(request, option.name) != option.default}
    return replace(request, **_from_environment(Program.LOAD, environ, typed))


def _typed(program: Program, arguments: Sequence[str]) -> dict[str, Any]:
    """The values that were typed, by option, and those that the program says by itself.

    The word for all assets is the same as not naming any.
    """
    values = parser(program).read(arguments)
    typed = {name: value for name, value in values.items() if value is not None}
    part = SUBCOMMANDS.get(program)
    return {**part.said(typed), **typed} if part else typed


def _from_environment(program: Program, environ: Mapping[str, str], typed: Collection[str]) -> dict[str, Any]:
    """The values that the environment gives to options that were not typed. Raises ``SettingsError``."""
    values = {}
    for option in options_of(program.whole):  # a part takes fewer, and has the same settings
        text = environ.get(option.environment, "")
        if text and option.name not in typed:
            values[option.name] = _read_setting(option, text)
    return values


def _read_setting(option: Option, text: str) -> Any:
    try:
        return reader(option)(text)
    except ArgumentTypeError as error:
        raise SettingsError(f"{option.environment}: {error}") from None


def _check_targets(program: Program, request: Request) -> None:
    targets = [f"--{name}" for name in TARGETS if getattr(request, name)]
    if program.whole is Program.DAILY and request.launches and len(targets) != 1:
        named = " and ".join(targets) or "none of them"
        raise UsageError(f"name exactly one of --all, --bars and --emas, not {named}")
    if request.shards and request.db_url:
        raise UsageError("--shards: not allowed with argument --db-url; the file names the databases")
    if request.bars and request.refreshers:
        raise UsageError("--refreshers names EMA refreshers, but --bars runs none; use --all or --emas")
    if request.emas and request.builders:
        raise UsageError("--builders names bar builders, but --emas runs none; use --all or --bars")


def _check_companions(request: Request) -> None:
    if (request.detect == "lookback") != (request.lookback_days is not None):
        raise UsageError("--detect lookback and --lookback-days go together: say both or neither")
    for option in OPTIONS:
        is_alone = option.goes_with and not getattr(request, option.goes_with)
        if is_alone and option.name in request.given:
            raise UsageError(f"{option.flag} goes with --{option.goes_with}")

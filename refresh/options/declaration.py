"""What an option is: the metadata of a dataclass field. Knows no particular option, and reads no command line."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from enum import Enum
from typing import Any, Self

from refresh.catalog import BuilderConfig
from refresh.options.values import SWITCH, ValueKind

_KEY = "option"
EVERY_BUILDER = "every builder"


class Program(Enum):
    """The programs, by the name that their help shows. A subcommand of ``daily-refresh`` is a part of another one."""

    def __new__(cls, spoken: str, part_of: str = "") -> Self:
        """A program by its name; ``part_of``: the one whose code and options a subcommand has."""
        member = object.__new__(cls)
        member._value_ = spoken
        member.part_of = part_of
        return member

    part_of: str

    DAILY = "run_daily_refresh.py"
    BARS = "run_all_bar_builders.py"
    EMAS = "run_all_ema_refreshes.py"
    BUILDER = "python -m refresh.builder"
    LOAD = "python -m refresh.load"
    RUN = "daily-refresh run", "DAILY"
    PLAN = "daily-refresh plan", "DAILY"
    CHECK = "daily-refresh check", "DAILY"
    EXPLAIN = "daily-refresh explain", "DAILY"
    VALIDATE = "daily-refresh validate", "DAILY"
    PAGE = "daily-refresh page", "DAILY"
    DIGEST = "daily-refresh digest", "DAILY"
    METRICS = "daily-refresh metrics", "DAILY"
    SETTINGS = "daily-refresh settings", "DAILY"
    DEMO = "daily-refresh demo", "DAILY"
    LOAD_FILES = "daily-refresh load", "LOAD"

    @property
    def whole(self) -> Program:
        """The program whose code runs: itself, or that of which it is a part."""
        return Program[self.part_of] if self.part_of else self

    @property
    def key(self) -> str:
        """What the history calls it, e.g. ``daily``."""
        return self.whole.name.lower()

    @property
    def command(self) -> str:
        """What a user types to start it, e.g. ``python run_daily_refresh.py``."""
        if self.part_of:
            return str(self.value)
        return f"python {self.value.removeprefix('python ')}"

    @property
    def word(self) -> str:
        """The word that names a subcommand, e.g. ``run``."""
        return str(self.value).split()[-1]

    @property
    def resumed_by(self) -> Program:
        """The program that does what a run of this one left."""
        return Program.RUN if self.part_of else self


DAILY = frozenset({Program.DAILY})
WITH_BARS = DAILY | {Program.BARS}
WITH_EMAS = DAILY | {Program.EMAS}
DRIVERS = WITH_BARS | WITH_EMAS
BUILDER = frozenset({Program.BUILDER})
LOAD = frozenset({Program.LOAD})
REFRESHING = DRIVERS | BUILDER
EVERYWHERE = REFRESHING | LOAD


class Section(Enum):
    """The groups of the help, in their order."""

    FILES = "which files"
    WHAT = "what to run"
    SERIES = "which series"
    CHANGES = "changes"
    CONNECTION = "connection"
    OUTPUT = "output"
    WATCHING = "watching"


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """A variable of the environment. ``default`` says in words what holds while it is unset."""

    name: str
    help: str
    default: str = ""
    example: str = ""
    is_secret: bool = False
    value: ValueKind | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Option:
    """One option, under the name of its field.

    ``value``: how its value is read and written. ``default_words``: the default in the help, where it is computed or
    too long to show. ``programs``: those that take it. ``concerns``: what a builder has to accept to be given the
    option; builders get such an option, and ``--resume`` keeps it. ``goes_with``: the switch without which it means
    nothing. ``environment``: the variable that gives it when it is not typed, with an ``example``. ``nargs``: of a
    positional argument, in the sense of argparse.
    """

    name: str = ""
    value: ValueKind
    help: str
    section: Section
    default: Any
    default_words: str = ""
    programs: frozenset[Program] = DRIVERS
    concerns: str | None = None
    goes_with: str = ""
    environment: str = ""
    example: str = ""
    is_secret: bool = False
    is_positional: bool = False
    nargs: str | None = None

    @property
    def flag(self) -> str:
        """How it is typed, e.g. ``--tf-period-combos``."""
        return "--" + self.name.replace("_", "-")

    @property
    def synopsis(self) -> str:
        """How it is typed with its value, e.g. ``--ids IDS``."""
        if self.is_positional:
            return self.value.metavar
        return f"{self.flag} {self.value.metavar}".rstrip()

    @property
    def is_switch(self) -> bool:
        """Whether it has no value."""
        return self.value is SWITCH

    @property
    def is_forwarded(self) -> bool:
        """Whether it changes what builders do: they get it, and a run remembers it for ``--resume``."""
        return self.concerns is not None

    @property
    def default_text(self) -> str:
        """The default without the environment, in words; empty where there is nothing to say."""
        if self.default_words or self.is_switch or self.default in {None, ()}:
            return self.default_words
        return self.value.show(self.default)

    @property
    def meaning(self) -> str:
        """The help with what it goes with and the default."""
        text = f"with --{self.goes_with}: {self.help}" if self.goes_with else self.help
        default = self.default_text
        if self.environment:
            default = f"{self.environment}, else {default}"
        return f"{text} (default: {default})" if default else text

    @property
    def setting(self) -> Setting:
        """The variable of the environment that gives the option."""
        return Setting(
            name=self.environment, help=self.help, default=self.default_text, example=self.example,
            is_secret=self.is_secret, value=self.value,
        )  # fmt: skip

    def is_for(self, builder: BuilderConfig) -> bool:
        """Whether the builder is given the option."""
        return self.concerns == EVERY_BUILDER or self.concerns in builder.accepts

    def arguments(self, content: Any) -> list[str]:
        """The words that give the option this content; none for ``None`` and for a switch that is off."""
        if content is None or content is False:
            return []
        if self.is_switch:
            return [self.flag]
        text = self.value.show(content)
        if self.is_positional:
            return [text]
        if text.startswith("-") and text != "-":  # argparse would take it for an option
            return [f"{self.flag}={text}"]
        return [self.flag, text]


def option(value: ValueKind, help: str, *, default: Any = None, is_secret: bool = False, **attributes: Any) -> Any:
    """Declare a dataclass field as an option; ``attributes`` are those of ``Option``. No ``repr`` shows a secret.

    What concerns builders is taken by every program that refreshes.
    """
    if attributes.get("concerns"):
        attributes["programs"] = REFRESHING
    declared = Option(value=value, help=help, default=default, is_secret=is_secret, **attributes)
    return field(default=default, repr=not is_secret, metadata={_KEY: declared})


def declared_options(request: type[Any]) -> tuple[Option, ...]:
    """The options that the fields of a dataclass declare, in their order."""
    declared = [item for item in fields(request) if _KEY in item.metadata]
    return tuple(replace(item.metadata[_KEY], name=item.name) for item in declared)

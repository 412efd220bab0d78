"""Every option, declared once: parser, help, forwarding to builders and the table in the README derive from here."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, NoReturn

from refresh.catalog import BUILDERS, BuilderConfig, Group
from refresh.core.series import Filters
from refresh.core.timeframe import nearest
from refresh.errors import UsageError
from refresh.option_values import (
    COUNT,
    DAYS,
    DESCRIPTOR,
    FILE,
    HOW,
    ID,
    IDS,
    JOBS,
    NAMES,
    NUMBERS,
    PAIRS,
    PERCENT,
    RUN,
    SAMPLE,
    SPAN,
    TIME,
    URL,
    ZONE,
    Text,
    listed,
)


class Command(Enum):
    """The programs that share the options."""

    DAILY = "run_daily_refresh.py"
    BARS = "run_all_bar_builders.py"
    EMAS = "run_all_ema_refreshes.py"
    BUILDER = "python -m refresh.builder"


DAILY = frozenset({Command.DAILY})
WITH_BARS = frozenset({Command.DAILY, Command.BARS})
WITH_EMAS = frozenset({Command.DAILY, Command.EMAS})
DRIVERS = WITH_BARS | WITH_EMAS
BUILDER = frozenset({Command.BUILDER})
EVERYWHERE = frozenset(Command)

IDS_AT_ONCE = 10_000
"""How many assets one argument names: Linux takes none that is longer than 128 KiB."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asks for. ``None`` means that the option was not given.

    ``launches``: builders are to be run; without a target, other things that were asked for are done alone.
    """

    all: bool = False
    bars: bool = False
    emas: bool = False
    builders: tuple[str, ...] | None = None
    refreshers: tuple[str, ...] | None = None
    skip: tuple[str, ...] | None = None
    ids: tuple[int, ...] | None = None
    tfs: tuple[str, ...] | None = None
    periods: tuple[int, ...] | None = None
    tf_period_combos: tuple[tuple[str, int], ...] | None = None
    full_rebuild: bool = False
    detect: str | None = None
    lookback_days: int | None = None
    restate_limit: float | None = None
    accept_restatement: bool = False
    prune: bool = False
    retries: int | None = None
    resume: bool = False
    dry_run: bool = False
    explain: int | None = None
    max_lag: timedelta | None = None
    jobs: int | None = None
    timeout: timedelta | None = None
    wait_lock: timedelta | None = None
    json: str | None = None
    log_dir: str | None = None
    keep_logs: int | None = None
    alert_on_error: bool = False
    check: bool = False
    html: str | None = None
    validate: bool = False
    sample: int | str | None = None
    max_age: timedelta | None = None
    db_url: str | None = None
    tz: str | None = None
    quiet: bool = False
    verbose: bool = False
    builder: str | None = None
    run_id: str | None = None
    now: datetime | None = None
    outcomes_fd: int | None = None
    launches: bool = True

    @property
    def filters(self) -> Filters:
        """The narrowing of timeframes and periods."""
        return Filters(self.tfs, self.periods, self.tf_period_combos)


@dataclass(frozen=True, slots=True)
class Option:
    """One option: its field of ``Request``, who takes it, its value (``None``: a switch), whether builders get it."""

    name: str
    help: str
    where: frozenset[Command]
    text: Text | None = None
    forwarded: bool = False

    @property
    def flag(self) -> str:
        """How it is typed, e.g. ``--tf-period-combos``."""
        return "--" + self.name.replace("_", "-")


OPTIONS: tuple[Option, ...] = (
    Option("all", "bars, then EMAs", DAILY),
    Option("bars", "the six bar builders", DAILY),
    Option("emas", "the four EMA refreshers", DAILY),
    Option("builders", "only these bar builders, e.g. 1d,cal_us", WITH_BARS, NAMES),
    Option("refreshers", "only these EMA refreshers, e.g. cal,v2", WITH_EMAS, NAMES),
    Option("skip", "leave these builders out; bars.multi_tf or emas.multi_tf for one of two", DRIVERS, NAMES),
    Option("ids", "only these assets, e.g. 1,52, or all", EVERYWHERE, IDS),
    Option("tfs", "only these timeframes, e.g. 7d,1w,3M_CAL", EVERYWHERE, NAMES, forwarded=True),
    Option("periods", "only EMAs of these periods, e.g. 10,20", EVERYWHERE, NUMBERS, forwarded=True),
    Option("tf_period_combos", "only these EMA series, e.g. 7d:10,7d:20", EVERYWHERE, PAIRS, forwarded=True),
    Option("full_rebuild", "build what is selected anew from the first day", EVERYWHERE, forwarded=True),
    Option("detect", "how changes are found: digest (default) or lookback", EVERYWHERE, HOW, forwarded=True),
    Option(
        "lookback_days", "with --detect lookback: days before now that are looked at", EVERYWHERE, DAYS, forwarded=True
    ),
    Option(
        "restate_limit",
        "refuse when more than so many percent are restated (default: 20)",
        EVERYWHERE,
        PERCENT,
        forwarded=True,
    ),
    Option("accept_restatement", "take in restatements that were refused", EVERYWHERE, forwarded=True),
    Option("prune", "remove assets that are gone from the source from every table", EVERYWHERE, forwarded=True),
    Option(
        "retries",
        "how often work is begun anew that the database interrupted (default: 4)",
        EVERYWHERE,
        COUNT,
        forwarded=True,
    ),
    Option("resume", "only what the latest run with failures or an interruption left", DRIVERS),
    Option("dry_run", "print the plan and write nothing", DRIVERS),
    Option("explain", "print what is known of one asset, and what a run would do to it and why", DRIVERS, ID),
    Option("max_lag", "build EMAs only on bars that are at most so far behind the source (default: 1d)", DRIVERS, SPAN),
    Option("jobs", "how many builders run side by side (default: the number of cores)", DRIVERS, JOBS),
    Option("timeout", "how long a builder may take (default: ten times what it should, at least 30m)", DRIVERS, SPAN),
    Option("wait_lock", "wait so long for another refresh of the database to end, e.g. 10m", DRIVERS, SPAN),
    Option("json", "write the run, or the plan of a dry run, as JSON; - is the terminal", DRIVERS, FILE),
    Option("log_dir", "the folder of the logs (default: .logs beside the programs)", DRIVERS, FILE),
    Option("keep_logs", "how many days logs are kept (default: 30)", DRIVERS, DAYS),
    Option("alert_on_error", "warn where an alert would have nobody to go to", DRIVERS),
    Option("html", "write a page to look at; without a target, write it alone", DAILY, FILE),
    Option("validate", "check every table after the refresh; without a target, check alone", DAILY),
    Option("sample", "with --validate: compute so many assets anew, or all (default: 1 in 100)", DAILY, SAMPLE),
    Option("check", "print whether the last good run is recent enough, and end with 0 or 1", DAILY),
    Option("max_age", "with --check: how old the last good run may be (default: 26h)", DAILY, SPAN),
    Option("db_url", "the database (default: TARGET_DB_URL, else the embedded PostgreSQL)", EVERYWHERE, URL),
    Option("tz", "the time zone that makes days of timestamps (default: UTC)", EVERYWHERE, ZONE, forwarded=True),
    Option("quiet", "print only the summary, and errors", DRIVERS),
    Option("verbose", "print tracebacks of errors", EVERYWHERE),
    Option("run_id", "the run that the builder works for", BUILDER, RUN),
    Option("now", "the run's clock", BUILDER, TIME),
    Option("outcomes_fd", "where to write an outcome per asset, as JSON lines", BUILDER, DESCRIPTOR),
)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line; the usage is for ``--help``."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message.removeprefix('argument ')} (see --help)")


def parser(command: Command) -> argparse.ArgumentParser:
    """The parser of one program. Raises ``UsageError`` for an unknown option or a value that cannot be read."""
    made = _Parser(prog=command.value, description=_ABOUT[command], allow_abbrev=False)
    if command is Command.BUILDER:
        made.add_argument("builder", metavar="NAME", help="the builder, e.g. bars.1d or emas.cal")
    for option in OPTIONS:
        if command not in option.where:
            continue
        if option.text is None:
            made.add_argument(option.flag, action="store_true", help=option.help)
        else:
            kind, metavar = option.text.read, option.text.metavar
            made.add_argument(option.flag, action=_Joined, metavar=metavar, type=kind, help=option.help)
    return made


class _Joined(argparse.Action):
    """A list that is given in parts is one list; of everything else the last word counts."""

    def __call__(self, _: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, __: Any = None) -> None:
        before = getattr(namespace, self.dest)
        both = isinstance(before, tuple) and isinstance(values, tuple)
        setattr(namespace, self.dest, tuple(dict.fromkeys((*before, *values))) if both else values)


_ABOUT = {
    Command.DAILY: "Bring price bars and EMAs up to date: exactly one of --all, --bars, --emas. Without any of them "
    "--explain, --check, --validate and --html look at what is there.",
    Command.BARS: "Bring the six tables of price bars up to date.",
    Command.EMAS: "Bring the EMA tables up to date.",
    Command.BUILDER: "Run one builder by itself, as the other programs start it.",
}


def parse(command: Command, arguments: Sequence[str]) -> Request:
    """The request of a command line. Raises ``UsageError`` where options do not fit together."""
    known = {field.name for field in fields(Request)}
    given = vars(parser(command).parse_args(arguments))
    request = Request(**{name: value for name, value in given.items() if name in known})
    targets = [name for name in ("all", "bars", "emas") if getattr(request, name)]
    if command is Command.DAILY and not targets and _looks(request):
        request = replace(request, all=True, launches=False)
    elif command is Command.DAILY and len(targets) != 1:
        found = " and ".join(f"--{name}" for name in targets) or "none of them"
        raise UsageError(f"name exactly one of --all, --bars and --emas, not {found}")
    if (request.detect == "lookback") != (request.lookback_days is not None):
        raise UsageError("--detect lookback and --lookback-days go together: say both or neither")
    if request.sample is not None and not request.validate:
        raise UsageError("--sample goes with --validate")
    if request.max_age is not None and not request.check:
        raise UsageError("--max-age goes with --check")
    if request.bars and request.refreshers:
        raise UsageError("--refreshers names EMA refreshers, but --bars runs none; use --all or --emas")
    if request.emas and request.builders:
        raise UsageError("--builders names bar builders, but --emas runs none; use --all or --bars")
    return request


def _looks(request: Request) -> bool:
    """Whether there is something to do without running a builder."""
    return request.check or request.validate or request.html is not None or request.explain is not None


def selected(command: Command, request: Request) -> tuple[BuilderConfig, ...]:
    """The builders to run, in their fixed order. Raises ``UsageError`` for unknown names or an empty selection."""
    groups = {
        Group.BARS: request.all or request.bars or command is Command.BARS,
        Group.EMAS: request.all or request.emas or command is Command.EMAS,
    }
    offered = [builder for builder in BUILDERS if groups[builder.group]]
    wanted = {
        *_named("--builders", request.builders, [one for one in offered if one.group is Group.BARS]),
        *_named("--refreshers", request.refreshers, [one for one in offered if one.group is Group.EMAS]),
    }
    skipped = _named("--skip", request.skip, offered) if request.skip else []
    chosen = tuple(builder for builder in offered if builder in wanted and builder not in skipped)
    if not chosen:
        raise UsageError("--builders, --refreshers and --skip together leave nothing to run; loosen one of them")
    return chosen


def _named(option: str, names: Sequence[str] | None, offered: Sequence[BuilderConfig]) -> list[BuilderConfig]:
    """The builders that answer to the names, all of them where none is given."""
    if names is None:
        return list(offered)
    for name in names:
        if not any(name in {builder.name, builder.key} for builder in offered):
            spellings = [builder.name for builder in offered]
            raise UsageError(f"{option} {name}: no such builder; {nearest(name, spellings)}")
    return [builder for builder in offered if builder.name in names or builder.key in names]


def builder_arguments(builder: BuilderConfig, request: Request, ids: Sequence[int] | None) -> list[str]:
    """The arguments that make a builder process do its part of a request. They never hold a secret."""
    return [builder.key, *_named_ids(ids), *_forwarded(request, builder)]


def _named_ids(ids: Sequence[int] | None) -> Iterator[str]:
    """The assets in as many arguments as their number needs; none at all are still named, and refused."""
    parts = ["all"] if ids is None else [listed(ids[n : n + IDS_AT_ONCE]) for n in range(0, len(ids) or 1, IDS_AT_ONCE)]
    for part in parts:
        yield from [f"--ids={part}"] if part.startswith("-") else ["--ids", part]


def _forwarded(request: Request, builder: BuilderConfig | None) -> list[str]:
    """The options that builders get, as far as they were given and concern the builder (``None``: any)."""
    arguments: list[str] = []
    for option in OPTIONS:
        value = getattr(request, option.name)
        if not option.forwarded or value is None or value is False:
            continue
        if builder and not _accepts(builder, option.name):
            continue
        arguments += [option.flag, option.text.show(value)] if option.text else [option.flag]
    return arguments


def remembered(request: Request) -> list[str]:
    """The arguments by which a run can be taken up again: all that change what builders do. They hold no secret."""
    return _forwarded(request, None)


def resumed(request: Request, arguments: Sequence[str]) -> Request:
    """The request narrowed to what an earlier run with these arguments was about.

    Raises ``UsageError`` where the two have nothing in common.
    """
    earlier = parse(Command.BUILDER, ["resumed", *arguments])
    if request.detect is not None:  # the two options are one choice
        earlier = replace(earlier, detect=request.detect, lookback_days=request.lookback_days)
    merged: dict[str, Any] = {}
    for option in OPTIONS:
        if option.forwarded:
            now, then = getattr(request, option.name), getattr(earlier, option.name)
            merged[option.name] = _narrowed(option, now, then)
    return replace(request, **merged)


def _narrowed(option: Option, now: Any, then: Any) -> Any:
    given, earlier = (value is not None and value is not False for value in (now, then))
    if not (given and earlier):
        return now if given else then
    if not isinstance(now, tuple):
        return now
    common = tuple(one for one in now if one in then)
    if not common and option.text:
        raise UsageError(f"{option.flag} {option.text.show(now)}: the run to resume had {option.text.show(then)}")
    return common


def _accepts(builder: BuilderConfig, name: str) -> bool:
    return name not in _CONCERNS or _CONCERNS[name] in builder.accepts


_CONCERNS = {
    "tfs": "tfs",
    "periods": "periods",
    "tf_period_combos": "periods",
    "detect": "source",
    "lookback_days": "source",
    "prune": "source",
    "restate_limit": "source",
    "accept_restatement": "source",
}
"""Options that only some builders take, and what those must accept."""

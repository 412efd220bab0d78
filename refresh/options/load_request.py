"""What a command line asks of the loading of price files, each option declared once; and the options of every program.

Knows what options mean; refuses to know how they are typed, and which of them fit together.
"""

# ruff: noqa: RUF009 - the call that declares an option returns a dataclass field

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from refresh.options.connection import database_option, settings_option, shards_option
from refresh.options.declaration import LOAD, Option, Program, Section, declared_options, option
from refresh.options.load_values import DATE_ORDER, DECIMAL, SYMBOL
from refresh.options.request import OPTIONS
from refresh.options.subcommands import SUBCOMMANDS
from refresh.options.values import NAME, PATH, SWITCH, TEXT_ID, ZONE

SAMPLE_ID = 900_000_001
"""Far above the ids that CoinMarketCap gives out, and below what an integer column holds."""

loading = partial(option, section=Section.FILES, programs=LOAD)


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadRequest:
    """What a command line asks of the loading of price files.

    ``dates``: ``mdy``, ``dmy``, ``ymd`` or not said; ``decimal``: the sign, or not said; ``symbol``: the title of the
    column of symbols, which may be empty, and the symbol.
    """

    files: tuple[Path, ...] = loading(
        PATH, "CSV with a header; also .gz; - is standard input", default=(), is_positional=True, nargs="*"
    )
    manifest: Path | None = loading(PATH, "CSV of file,id,name,symbol", default_words="manifest.csv beside a file")
    id: str | None = loading(TEXT_ID, "the asset that all files hold")
    name: str | None = loading(NAME, "the name of the asset of --id")
    symbol: tuple[str, str] | None = loading(
        SYMBOL, "load only the lines of SYMBOL as the asset of --id; TITLE=SYMBOL names the column, too"
    )
    dates: str | None = loading(DATE_ORDER, "mdy, dmy or ymd: how to read 04/05/2013 in a file that leaves it open")
    decimal: str | None = loading(DECIMAL, ". or , begins decimals in a file that leaves open what 1.234 is")
    tz: str | None = loading(
        ZONE,
        "time zone of dates, and of times without one",
        default_words="that of the tables, or UTC",
        environment="REFRESH_TZ",
    )
    replace_with_empty: bool = loading(SWITCH, "empty prices replace stored ones of the same day", default=False)
    dry_run: bool = loading(
        SWITCH, "show how each column would be read, with three lines, and load nothing", default=False
    )
    sample: bool = loading(SWITCH, f"load the daily prices of Apple, 2019 to 2024, as asset {SAMPLE_ID}", default=False)
    db_url: str | None = database_option()
    config: str | None = settings_option()
    shards: str | None = shards_option()


LOAD_OPTIONS = declared_options(LoadRequest)


def options_of(program: Program) -> tuple[Option, ...]:
    """The options that a program takes."""
    whole = program.whole
    declared = LOAD_OPTIONS if whole is Program.LOAD else OPTIONS
    taken = tuple(item for item in declared if whole in item.programs)
    part = SUBCOMMANDS.get(program)
    return tuple(part.shown(item) for item in taken if item.name in part.takes) if part else taken

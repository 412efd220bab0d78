"""The options by which every program finds its database and its settings."""

from __future__ import annotations

from argparse import ArgumentTypeError
from functools import partial
from typing import Any

from refresh.options.declaration import DRIVERS, EVERYWHERE, LOAD, REFRESHING, Section, option
from refresh.options.values import COUNT, FILE, URL, ValueKind

connection = partial(option, section=Section.CONNECTION)
MOST_PARTS = 64
"""The largest number of partitions. A first run creates those of all tables at once, and the server locks each."""


def database_option() -> Any:
    """The address of the database, which every program takes."""
    return connection(
        URL,
        "the database",
        default_words="the embedded PostgreSQL",
        programs=EVERYWHERE,
        environment="TARGET_DB_URL",
        example="postgresql://user:password@localhost:5432/prices",
        is_secret=True,
    )


def settings_option() -> Any:
    """The file of settings, which every program takes."""
    return connection(
        FILE,
        "file of settings; none of the usual ones is read then",
        default_words=".env in a checkout, and ~/.config/daily-refresh/.env",
        programs=EVERYWHERE,
        environment="REFRESH_CONFIG",
        example="/etc/daily-refresh.env",
    )


def shards_option() -> Any:
    """The databases over which assets are spread, which every program takes that a user starts."""
    return connection(
        FILE,
        "work on all databases that this file names, see docs/shards.md",
        default_words="one database",
        programs=DRIVERS | LOAD,
        environment="REFRESH_SHARDS",
        example="/etc/shards.toml",
    )


def _read_parts(text: str) -> int:
    parts: int = COUNT.read(text)
    if not 1 <= parts <= MOST_PARTS:
        raise ArgumentTypeError(f"{text} is not a number from 1 to {MOST_PARTS}")
    return parts


PARTS = ValueKind(metavar="N", read=_read_parts)


def partitions_option() -> Any:
    """The number of partitions, which every program takes that creates tables of bars and averages."""
    return connection(
        PARTS,
        "cut new tables of bars and EMAs into N partitions by a hash of the id, 1 to 64",
        default_words="those of the tables, 1 for new ones",
        programs=REFRESHING,
    )

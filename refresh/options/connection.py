"""The options by which every program finds its database and its settings."""

from __future__ import annotations

from functools import partial
from typing import Any

from refresh.options.declaration import DRIVERS, EVERYWHERE, LOAD, Section, option
from refresh.options.values import FILE, URL

connection = partial(option, section=Section.CONNECTION)


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

"""The environment: which settings there are beside those of options, and what the environment and ``.env`` say."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from refresh.options.declaration import Setting
from refresh.options.request import OPTIONS
from refresh.options.settings_file import places, read_settings

SETTINGS = (
    Setting(
        name="REFRESH_DB_VARIABLE",
        help="with --cluster: the variable in which workers have the address of the database",
        default="TARGET_DB_URL",
        example="PRICES_DB_URL",
    ),
    Setting(
        name="REFRESH_DATA_DIR",
        help="folder in which the embedded PostgreSQL keeps its data",
        default="~/.local/share/daily-refresh, for root /var/lib/daily-refresh",
    ),
    Setting(
        name="PG_BIN_DIR",
        help="folder of the initdb, postgres and pg_ctl to use",
        default="those of the package",
        example="/usr/lib/postgresql/16/bin",
    ),
    Setting(
        name="TELEGRAM_BOT_TOKEN",
        help="token of the Telegram bot that sends alerts",
        default="no messages",
        is_secret=True,
    ),
    Setting(name="TELEGRAM_CHAT_ID", help="Telegram chat that receives alerts", default="no messages"),
    Setting(
        name="TELEGRAM_API_URL",
        help="server of the Telegram Bot API",
        default="https://api.telegram.org",
        example="https://api.telegram.org",
        is_secret=True,
    ),
    Setting(
        name="ALERT_URLS",
        help="other alert channels, as addresses of the package apprise, with spaces between them",
        default="none",
        is_secret=True,
    ),
    Setting(
        name="ALERT_LEVEL",
        help="the lowest severity that is sent: info, warning, error or critical",
        default="info",
        example="info",
    ),
    Setting(
        name="HEARTBEAT_URL",
        help="address to request at the start and end of a run, as healthchecks.io expects",
        default="none",
        is_secret=True,
    ),
)
"""The settings that no option gives."""
CONFIG = "REFRESH_CONFIG"


def every_setting() -> Iterator[Setting]:
    """Every variable of the environment, those of options first."""
    for option in OPTIONS:
        if option.environment:
            yield option.setting
    yield from SETTINGS


NAMES = frozenset(setting.name for setting in every_setting())


class Settings(Mapping[str, str]):
    """What the environment says, and for names that it lacks a file. An empty value counts as unset."""

    def __init__(
        self, environ: Mapping[str, str], files: Mapping[str, Mapping[str, str]] | None = None, places: str = "nothing"
    ) -> None:
        """``files``: what each says, by its path; the first one that has a name counts. ``places``: all, in words."""
        self.places = places
        origins = {"the environment": environ, **(files or {})}
        self._values: dict[str, str] = {}
        self._origins: dict[str, str] = {}
        for origin, values in origins.items():
            for name, value in values.items():
                if value and name not in self._values:
                    self._values[name], self._origins[name] = value, origin

    def source(self, name: str, typed: str = "") -> str:
        """What gave a setting, for a sentence: the option that was typed, else its name and where it is from."""
        return typed or f"{name} in {self._origins.get(name, 'no place')}"

    def origin(self, name: str) -> str:
        """Where a setting is from, for a sentence."""
        return self._origins[name]

    @property
    def of_libpq(self) -> list[str]:
        """The variables that libpq reads."""
        return sorted(name for name in self._values if name.startswith("PG") and name not in NAMES)

    def __getitem__(self, name: str) -> str:
        """The value of a setting. Raises ``KeyError`` if it is unset."""
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        """The names of what is set."""
        return iter(self._values)

    def __len__(self) -> int:
        """The number of settings."""
        return len(self._values)


def settings(environ: Mapping[str, str], file: str | None = None) -> Settings:
    """The environment over a file of settings: ``file``, else that of ``REFRESH_CONFIG``, else those in their places.

    Names of libpq from a file are set for this process too, because libpq itself looks for them there.
    Raises ``SettingsError`` for a file that is broken or not to be believed.
    """
    named = file or environ.get(CONFIG)
    if named:
        environ = {**environ, CONFIG: named}  # builders read the same
    paths = [Path(named)] if named else places()
    read = [path for path in paths if path != Path(os.devnull) and (named or _exists(path))]
    in_words = [f"{path} ({('not there', 'read')[path in read]})" for path in paths]
    merged = Settings(environ, {str(path): read_settings(path, NAMES) for path in read}, ", then ".join(in_words))
    for name in merged.of_libpq:
        os.environ.setdefault(name, merged[name])
    return merged


def _exists(path: Path) -> bool:
    """Whether there is a file; what lies in a folder of another user is none of ours."""
    try:
        path.lstat()
    except OSError:
        return False
    return True

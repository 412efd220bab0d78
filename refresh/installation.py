"""How the program is installed: its version, where its files lie by default, and how its user starts the parts of it.

In a checkout the files lie beside the programs; elsewhere the platform says where a user's files belong.
"""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import PlatformDirs

NAME = "daily-refresh"
"""Of the distribution, of its command, and of its folders."""
VERSION = "0.1.0"
PROGRAMS = Path(__file__).resolve().parents[1]
IN_CHECKOUT = (PROGRAMS / "run_daily_refresh.py").is_file() and (PROGRAMS / "pyproject.toml").is_file()

_IN_CHECKOUT = {
    "run": "python run_daily_refresh.py --all",
    "load": "python -m refresh.load",
    "move": "python -m refresh.commands.move",
}


def command(subcommand: str) -> str:
    """How a user starts a part of the program here, e.g. ``daily-refresh load``."""
    return _IN_CHECKOUT[subcommand] if IN_CHECKOUT else f"{NAME} {subcommand}"


def log_folder() -> Path:
    """Where logs are written unless somebody names another folder."""
    return PROGRAMS / ".logs" if IN_CHECKOUT else _folders().user_log_path


def settings_folders() -> list[Path]:
    """Where settings are looked for, the first folder before the second. A user's folder counts if it is absolute."""
    own = _folders().user_config_path
    return [*([PROGRAMS] if IN_CHECKOUT else []), *([own] if own.is_absolute() else [])]


def data_folder() -> Path | None:
    """Where the data of this user lies; ``None`` for a user without a home."""
    folder = _folders().user_data_path
    return folder if folder.is_absolute() else None


def _folders() -> PlatformDirs:
    if not os.environ.get("HOME"):  # empty, it is no folder; without it, the system knows the home of its user
        os.environ.pop("HOME", None)
    return PlatformDirs(NAME, appauthor=False)
